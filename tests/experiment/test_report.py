import dataclasses
import json
import re

import numpy as np
import pytest
from sklearn import metrics as sk

from jaxcnn import cli
from jaxcnn.data import load_source
from jaxcnn.experiment import DataConfig, ExperimentConfig, ModelConfig, train
from jaxcnn.experiment.measure import measure_run
from jaxcnn.experiment.report import parse_threshold, predict_split, report_run
from jaxcnn.run import RunConfig, load_run
from jaxcnn.train import Predictions


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Returns the folder of a run that tells dark from bright, but not surely."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in {"train": 80, "test": 50}.items():
        labels = (rng.random(n) < 0.3).astype(np.int64)
        images = rng.integers(0, 200, (n, 4, 4, 1)) + 12 * labels[:, None, None, None]
        arrays |= {f"{part}_images": np.uint8(images), f"{part}_labels": labels}
    np.savez(folder / "two.npz", class_names=["dark", "bright"], **arrays)
    config = ExperimentConfig(
        run=str(folder / "run"),
        model=ModelConfig("mlp", args={"hidden": [4]}),
        data=DataConfig(f"npz:{folder / 'two.npz'}", batch_size=16, validation=0.4),
        steps=3,
    )
    return train(config).directory


@pytest.mark.thorough
def test_the_predictions_of_a_split_are_those_of_the_run(two):
    step, names, found = predict_split(two)
    assert (step, names) == (load_run(two).step, ("dark", "bright"))
    source = load_source(RunConfig.load(two).data["name"], "test")
    np.testing.assert_array_equal(found.labels, source.labels)
    expected = load_run(two).predict(source.images)
    np.testing.assert_allclose(found.outputs, expected, atol=1e-6)


def test_the_report_agrees_with_the_metrics_of_the_run(two):
    step, report = report_run(two, bootstrap=0)
    measured_step, metrics = measure_run(two)
    assert step == measured_step
    assert report.overall["accuracy"] == pytest.approx(metrics["accuracy"])


@pytest.mark.parametrize("rule", ["validation", "validation:recall=0.8"])
def test_a_threshold_is_chosen_on_validation(two, rule):
    _, report = report_run(two, threshold=rule, bootstrap=0)
    _, _, held_out = predict_split(two, "validation")
    scores = held_out.outputs[:, 1]

    def recalls(threshold):
        called = scores >= threshold
        return sk.recall_score(held_out.labels, called, average=None, zero_division=0)

    if rule == "validation":
        best = max(recalls(t).sum() for t in scores)
        assert recalls(report.threshold).sum() == pytest.approx(best)
    else:
        assert recalls(report.threshold)[1] >= 0.8
        assert recalls(np.nextafter(report.threshold, 2))[1] < 0.8
    _, _, test = predict_split(two)
    expected = sk.confusion_matrix(test.labels, test.outputs[:, 1] >= report.threshold)
    np.testing.assert_array_equal(report.counts, expected)


def call(capsys, *args):
    assert cli.dispatch(["evaluate", *args]) == 0
    return capsys.readouterr().out


def test_the_command_prints_tables(capsys, two):
    text = call(capsys, two, "--report", "--threshold", "0.3", "--bootstrap", "20")
    first, _, classes, *_ = text.splitlines()
    assert re.fullmatch(r"test, step \d+, 50 examples, threshold 0.3", first)
    assert classes.startswith("class ")
    assert "recall of bright" in text


def test_the_command_prints_json(capsys, two):
    flags = ["--report", "--json", "--bootstrap", "0", "--ordered", "--tta", "flip"]
    values = json.loads(call(capsys, two, *flags, "--split", "validation"))
    assert values["split"] == "validation"
    assert values["class_names"] == ["dark", "bright"]
    assert sum(map(sum, values["confusion"])) == values["examples"] == 32
    assert "quadratic_kappa" in values["overall"]
    assert values["threshold"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        (".25", 0.25),
        ("1", 1.0),
        ("1e-3", 0.001),
        ("validation", {"rule": "youden", "at_least": None}),
        ("validation:f1", {"rule": "f1", "at_least": None}),
        ("validation:precision=0.9", {"rule": "precision", "at_least": 0.9}),
    ],
)
def test_thresholds_by_words(text, expected):
    assert parse_threshold(text) == expected


@pytest.mark.parametrize(
    "text",
    ["half", "1.5", "-1", "validation:recall", "validation:f1=0.5", "validation:f2"],
)
def test_other_words_are_no_threshold(text):
    with pytest.raises(ValueError, match=rf"validation:youden, .*got '{text}'"):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--threshold", "0.5"], "--threshold is for --report"),
        (["--ordered"], "--ordered is for --report"),
        (["--bootstrap", "9"], "--bootstrap is for --report"),
        (["--report", "--bootstrap", "-1"], "bootstrap must be 0 or more"),
        (["--report", "--threshold", "val"], "got 'val'"),
        (
            ["--report", "--threshold", "validation", "--split", "validation"],
            "'validation' would be too good",
        ),
    ],
)
def test_bad_flags(two, flags, message):
    with pytest.raises(ValueError, match=message):
        cli.dispatch(["evaluate", two, *flags])


@pytest.mark.parametrize("threshold", ["0.5", "validation"])
def test_thresholds_are_for_two_classes(monkeypatch, threshold):
    from jaxcnn.experiment import report

    found = Predictions(np.eye(3), np.arange(3), np.arange(3))
    monkeypatch.setattr(
        report, "predict_split", lambda *a, **k: (7, tuple("abc"), found)
    )
    with pytest.raises(ValueError, match=r"for two classes; there are"):
        report_run("run", threshold=threshold)


def test_a_report_is_of_classes(two, monkeypatch):
    from jaxcnn.experiment import report

    opened = report.opened_run(two)

    def other(*args, **options):
        return opened[0], dataclasses.replace(opened[1], task="reconstruction")

    monkeypatch.setattr(report, "opened_run", other)
    with pytest.raises(ValueError, match="not 'reconstruction'"):
        report_run(two)
