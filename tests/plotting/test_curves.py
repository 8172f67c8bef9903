import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.plotting import learning_curves

NAN = float("nan")


def records(split, epochs, **metrics):
    return [
        {"step": 10 * epoch, "epoch": epoch, "split": split}
        | {name: values[index] for name, values in metrics.items()}
        for index, epoch in enumerate(epochs)
    ]


RUN = [
    *records("train", [1, 2, 3], loss=[2.0, 1.0, 0.5], accuracy=[0.3, 0.6, 0.9]),
    *records("validation", [1, 2, 3], loss=[1.9, 0.8, 0.9], accuracy=[0.4, 0.6, 0.8]),
    *records("test", [3], loss=[0.7], accuracy=[0.85]),
]


def draw(tmp_path, run, **arguments):
    """Returns the texts of the picture, which an SVG keeps as comments."""
    learning_curves(tmp_path / "curves.svg", run, **arguments)
    return re.findall(r"<!-- (.*?) -->", (tmp_path / "curves.svg").read_text())


def bests(written):
    return [text for text in written if text.startswith("best")]


def test_a_panel_a_metric_with_labelled_axes_and_a_legend(tmp_path):
    written = draw(tmp_path, RUN, title="A run")
    assert {"Loss", "Accuracy", "A run"} <= set(written)
    for name in ("Epoch", "train", "validation", "test"):
        assert written.count(name) == 2, name
    assert bests(written) == [
        "best validation: 0.8 at epoch 2",
        "best validation: 80.00% at epoch 3",
    ]


def test_order_of_the_records_does_not_matter(tmp_path):
    assert draw(tmp_path, RUN) == draw(tmp_path, RUN[::-1])


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("loss", "0.1 at epoch 2"),
        ("squared_error", "0.1 at epoch 2"),
        ("mse", "0.1 at epoch 2"),
        ("psnr", "0.7 at epoch 3"),
        ("top_5_accuracy", "70.00% at epoch 3"),
    ],
)
def test_best_is_the_lowest_or_the_highest(tmp_path, metric, best):
    run = records("validation", [1, 2, 3, 4], **{metric: [0.4, 0.1, 0.7, NAN]})
    assert bests(draw(tmp_path, run)) == [f"best validation: {best}"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (records("train", [1, 2], loss=[2, 1]), ["best train: 1 at epoch 2"]),
        (records("train", [1], loss=[2.0]), []),
        (records("validation", [1, 2], loss=[NAN, NAN]), []),
        (
            records("train", [1, 2], loss=[2, 1])
            + records("validation", [2], loss=[1]),
            [],
        ),
        (records("mine", [1, 2], loss=[2, 1]), ["best mine: 1 at epoch 2"]),
    ],
    ids=["train alone", "one record", "nan", "one validation", "a split of one's own"],
)
def test_best_of_other_runs(tmp_path, run, expected):
    assert bests(draw(tmp_path, run)) == expected


def test_the_axis_is_the_step_where_epochs_lack(tmp_path):
    run = [{k: v for k, v in record.items() if k != "epoch"} for record in RUN]
    written = draw(tmp_path, run)
    assert "Step" in written
    assert "Epoch" not in written
    assert bests(written)[0] == "best validation: 0.8 at step 20"


def test_metrics_are_those_of_the_evaluations_unless_named(tmp_path):
    run = [{**record, "note": "text", "flag": True} for record in RUN]
    run[0]["learning_rate"] = 0.1
    axes = {"Loss", "Accuracy", "Learning rate", "Note", "Flag", "Step"}
    assert axes & set(draw(tmp_path, run)) == {"Loss", "Accuracy"}
    named = draw(tmp_path, run, metrics=["learning_rate"])
    assert axes & set(named) == {"Learning rate"}


def test_long_training_curves_are_smoothed(tmp_path):
    long = records("train", range(60), loss=np.linspace(2, 1, 60).tolist())
    assert "train (smoothed)" in draw(tmp_path, long)
    assert "train (smoothed)" not in draw(tmp_path, long[:50])
    long[7]["loss"] = NAN
    draw(tmp_path, long)


def test_a_wide_range_is_drawn_on_a_logarithmic_axis(tmp_path):
    ticks = {"0.01", "0.1", "1"}
    wide = records("train", [1, 2, 3], loss=[2.0, 0.1, 0.01])
    assert ticks <= set(draw(tmp_path, wide))
    assert not ticks <= set(draw(tmp_path, RUN))


def test_the_start_of_an_accuracy_is_left_out(tmp_path):
    accuracy = [0.1] + [0.9] * 18 + [0.98]
    run = records("validation", range(1, 21), accuracy=accuracy)
    assert any(text.startswith("10") for text in draw(tmp_path, run[:9]))
    ticks = [text for text in draw(tmp_path, run) if text.endswith("%")]
    assert ticks
    assert all(89 <= float(text[:-1]) <= 99 for text in ticks)


@pytest.mark.thorough
def test_more_than_three_panels_wrap(tmp_path):
    names = ["loss", "accuracy", "psnr", "top_5_accuracy"]
    run = records("validation", [1, 2], **{name: [0.5, 0.7] for name in names})
    learning_curves(tmp_path / "four.png", run)
    learning_curves(tmp_path / "three.png", run, metrics=names[:3])
    with Image.open(tmp_path / "four.png") as picture:
        four = picture.size
    with Image.open(tmp_path / "three.png") as picture:
        three = picture.size
    assert four[1] > 1.8 * three[1]
    assert abs(four[0] - three[0]) < 50


@pytest.mark.parametrize(
    ("run", "metrics", "message"),
    [
        ([], None, "There are no records to draw learning curves of"),
        ([{"step": 1, "loss": 1.0}], None, r"The record .* lacks 'split'"),
        ([{"split": "train", "loss": 1.0}], None, r"The record .* lacks 'step'"),
        (
            [{"split": "train", "step": 1, "epoch": 0.5}],
            None,
            "The records hold no metric to draw",
        ),
        (
            RUN,
            ["acuracy"],
            r"No record has the metric 'acuracy'\. Did you mean 'accuracy'\?",
        ),
    ],
)
def test_refuses(tmp_path, run, metrics, message):
    with pytest.raises(ValueError, match=message):
        learning_curves(tmp_path / "curves.png", run, metrics=metrics)
    assert not list(tmp_path.iterdir())
