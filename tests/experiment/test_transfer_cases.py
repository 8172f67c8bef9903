"""The comparison of four ways to use weights: its data, its runs and its table."""

import argparse
import json
import runpy
import statistics
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import Source
from jaxcnn.experiment import TransferConfig

FILE = Path(__file__).parents[2] / "experiments" / "transfer_cases.py"


@pytest.fixture
def cases():
    """Returns what the experiment file defines."""
    return runpy.run_path(str(FILE))


def arguments(folder, case="cifar", **others):
    return argparse.Namespace(folder=folder, case=case, **others)


def ten_classes(name, split):
    """Returns 40 images of each of ten classes, whose pixels say the class."""
    labels = np.tile(np.arange(10), 40)
    pixels = np.uint8(labels)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return Source(name, pixels, labels, tuple("0123456789"), split)


def test_no_class_is_in_both_parts_and_a_tenth_is_of_every_class(tmp_path, cases):
    write_parts = cases["write_parts"]
    write_parts.__globals__["load_source"] = ten_classes
    write_parts(tmp_path)
    first, last = (np.load(tmp_path / f"{name}.npz") for name in ("first", "last"))
    assert set(first["train_images"].ravel()) == set(range(5))
    assert set(last["train_images"].ravel()) == set(range(5, 10))
    assert np.bincount(first["train_labels"]).tolist() == [40] * 5
    assert np.bincount(last["train_labels"]).tolist() == [4] * 5
    assert np.bincount(last["test_labels"]).tolist() == [40] * 5
    images, labels = last["test_images"][:, 0, 0, 0], last["test_labels"]
    assert (images == labels + 5).all()


def test_each_case_starts_from_its_own_weights(tmp_path, cases):
    run_of = cases["run_of"]
    cifar = run_of(arguments(tmp_path), "fine_tune", 1e-3, 2)
    assert cifar.transfer.weights == str(tmp_path / "pretrain")
    assert cifar.data.name == f"npz:{tmp_path / 'last.npz'}"
    args = arguments(tmp_path, "xrays", xrays="x.npz", weights="published.th")
    xrays = run_of(args, "cut_early", 1e-3, 2)
    assert (xrays.transfer.weights, xrays.seed) == ("published.th", 2)
    assert run_of(args, "scratch", 1e-3, 2).transfer == TransferConfig()


def test_runs_of_a_case_differ_in_strategy_rate_and_seed_alone(tmp_path, cases):
    runs = [
        cases["run_of"](arguments(tmp_path), strategy, rate, seed)
        for strategy, (_, rates) in cases["STRATEGIES"].items()
        for rate in rates
        for seed in cases["SEEDS"]
    ]
    assert len({run.run for run in runs}) == len(runs) == 5 * 2 * 5
    assert all(run.data == runs[0].data for run in runs)
    assert {(run.epochs, run.model.name) for run in runs} == {(6, "cnn")}
    assert all(run.data.test_split == "" for run in runs)


def test_the_table_has_means_and_deviations(tmp_path, cases, capsys):
    values = (0.7, 0.8, 0.9)
    for seed, value in enumerate(values):
        folder = tmp_path / "cifar" / "fine_tune" / "0.003" / str(seed)
        folder.mkdir(parents=True)
        test = dict.fromkeys(cases["MEASURED"], value)
        found = {"test": test, "validation": 0.5, "tried": {"0.003": 0.5}}
        (folder / "test.json").write_text(json.dumps(found))
    cases["summarise"].__globals__["RESULTS"] = tmp_path / "results.json"
    cases["summarise"](arguments(tmp_path))
    assert (
        "| cifar | fine_tune | 0.003 | 3 | 80.00 (sd 10.00) |"
        in capsys.readouterr().out
    )
    entry = json.loads((tmp_path / "results.json").read_text())["cases"]["cifar"]
    assert entry["fine_tune"]["learning_rate"] == 0.003
    assert entry["fine_tune"]["accuracy"]["sd"] == pytest.approx(
        statistics.stdev(values)
    )
