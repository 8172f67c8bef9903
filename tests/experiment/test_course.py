"""The experiments on courses' claims: what they measure, choose and write."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "course"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "common")
MEASURED = sorted(path.stem for path in (FOLDER / "results").glob("*.json"))


@pytest.fixture
def open_file(monkeypatch):
    """Returns a function that gives what a file of the folder defines."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: SimpleNamespace(**runpy.run_path(str(FOLDER / f"{name}.py")))
    sys.modules.pop("common", None)


@pytest.fixture
def common(open_file):
    return open_file("common")


class Recorded:
    """Stands for a trainer whose accuracies are known, and counts what it does."""

    score = "accuracy"
    parts = SimpleNamespace(test="test part")

    def __init__(self):
        self.runs, self.tests = [], []

    def run(self, seed, rate, steps, state=None):
        self.runs.append((seed, rate, steps))
        curve = [{"step": steps, "accuracy": {1e-3: 0.6, 1e-2: 0.9, 0.1: 0.2}[rate]}]
        return SimpleNamespace(state=(seed, rate), curve=curve)

    def measure(self, state, data):
        self.tests.append((state, data))
        return {"accuracy": state[0] / 10}


def test_the_rate_is_chosen_on_validation_and_each_run_tested_once(common):
    trainer, settings = Recorded(), common.Settings(seeds=3)
    found = common.train_seeds(trainer, settings, 7, (1e-3, 1e-2, 0.1))
    assert found["rate"] == 1e-2
    assert found["tried"] == {1e-3: 0.6, 1e-2: 0.9, 0.1: 0.2}
    first = [(0, rate, 7) for rate in (1e-3, 1e-2, 0.1)]
    assert trainer.runs == [*first, (1, 1e-2, 7), (2, 1e-2, 7)]
    assert trainer.tests == [((seed, 1e-2), "test part") for seed in range(3)]
    assert common.accuracies(found) == pytest.approx([0, 10, 20])


def test_no_image_is_in_two_parts(common, monkeypatch):
    def numbered(name, split):
        last = int(split.split(":")[1].rstrip("]"))
        images = np.arange(last, dtype=np.float32)[:, None, None, None]
        return common.Source(name, images, np.arange(last) % 2, ("a", "b"), split)

    monkeypatch.setitem(common.load_parts.__globals__, "load_source", numbered)
    settings = common.Settings(seeds=2)
    parts = common.load_parts(
        "mnist", settings, images=4, batch_size=2, held_out=6, tested=8
    )
    held = parts.validation.source.images.ravel().tolist()
    train = [data.source.images.ravel().tolist() for data in parts.train]
    assert held == list(range(6))
    assert train == [[6, 7, 8, 9], [10, 11, 12, 13]]
    assert [data.seed for data in parts.train] == [0, 1]


def test_wrong_flags_are_refused(common):
    with pytest.raises(ValueError, match="seeds"):
        common.Settings(seeds=0)
    with pytest.raises(ValueError, match="steps"):
        common.Settings(steps=0)


def test_results_become_json_of_five_digits(common):
    tree = {1e-3: np.array([1 / 3]), "n": (2, np.float32(0.1234567)), "s": "x"}
    assert common.rounded(tree) == {
        "0.001": [0.33333],
        "n": [2, 0.12346],
        "s": "x",
    }


def test_digits_are_moved_by_the_pixels_asked_for(open_file):
    images = np.zeros((8, 9, 9, 1), np.uint8)
    images[:, 4, 4] = 1
    found = open_file("mlp_against_cnn").moved(images, 2)[..., 0]
    places = {tuple(np.argwhere(image)[0] - 4) for image in found}
    ways = {(y, x) for y in (-2, 0, 2) for x in (-2, 0, 2)} - {(0, 0)}
    assert places == ways
    assert found.sum() == 8


def test_sobels_share_of_its_own_kernels_of_others_and_of_noise(open_file):
    file = open_file("filters_learned")
    assert file.share_of_sobel(file.FOUR) == pytest.approx(1)
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[:, :, None, None]
    assert file.share_of_sobel(laplacian) == pytest.approx(0)
    noise = np.random.default_rng(0).normal(size=(3, 3, 1, 20000))
    assert file.share_of_sobel(noise) == pytest.approx(2 / 9, abs=0.01)


def test_a_checkerboard_is_uneven_and_a_plain_image_is_not(open_file):
    unevenness = open_file("checkerboard").unevenness
    rows, columns = np.mgrid[:28, :28]
    assert unevenness(np.ones((28, 28))) == 0
    # Pixels of 1 and 3: their mean is 2, the deviation between the four kinds 1.
    assert unevenness(1 + 2 * ((rows + columns) % 2)) == pytest.approx(0.5)


def test_when_a_curve_reaches_an_accuracy(open_file):
    curve = [{"step": 10, "accuracy": 0.3}, {"step": 20, "accuracy": 0.5}]
    steps_to = open_file("batch_norm_position").steps_to
    assert steps_to({"curves": [curve]}, 0.4) == pytest.approx(15)
    assert steps_to({"curves": [curve]}, 0.2) == pytest.approx(5)


def test_channels_that_equal_another_are_counted_once(open_file):
    kernel = np.arange(18.0).reshape(3, 3, 1, 2)
    different = open_file("initialisations").different
    assert different(np.concatenate([kernel, kernel], axis=-1)) == 2
    assert different(kernel) == 2


def test_classes_are_parted_and_cut(open_file):
    file = open_file("little_data")
    labels = np.tile(np.arange(10), 3)
    images = np.uint8(labels)[:, None, None, None]
    source = file.Source("ten", images, labels, tuple("0123456789"), "train")
    part = file.of_classes(source, 5, 2)
    assert part.images.ravel().tolist() == [5, 6, 7, 8, 9] * 2
    assert part.labels.tolist() == [0, 1, 2, 3, 4] * 2
    assert part.class_names == tuple("56789")


@pytest.mark.thorough
@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_makes_a_table_and_a_picture(name, open_file, tmp_path):
    file = open_file(name)
    written = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    assert written["flags"] == {"seeds": 3, "steps": None, "fast": False}
    file.draw(written["results"], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert len(file.table(written["results"]).splitlines()) > 3


def run_fast(name, open_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    monkeypatch.setattr(sys, "argv", [name, "--fast", "--out", str(tmp_path)])
    file = open_file(name)
    file.main(file.__doc__, file.__file__, file.run, file.draw, file.table)
    assert (tmp_path / f"course_{name}.png").exists()
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["flags"]["fast"]
    assert file.table(written["results"]) in capsys.readouterr().out


@pytest.mark.thorough
def test_one_file_runs_as_a_whole(open_file, tmp_path, monkeypatch, capsys):
    run_fast("mlp_against_cnn", open_file, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_file_runs(name, open_file, tmp_path, monkeypatch, capsys):
    run_fast(name, open_file, tmp_path, monkeypatch, capsys)
