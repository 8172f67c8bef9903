"""Surface defects and graded retinas: both experiments run from generated folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = ["--model", "cnn", "--model.args", '{"features": [4, 8], "norm": "batch"}']


def write_photos(root, classes, counts, mode):
    """Writes noisy pictures that are brighter from class to class."""
    rng = np.random.default_rng(0)
    channels = {"L": (), "RGB": (3,)}[mode]
    for label, (name, count) in enumerate(zip(classes, counts, strict=True)):
        (root / name).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 120, (24, 28, *channels)) + 30 * label
            Image.fromarray(np.uint8(pixels)).save(root / name / f"{k}.png")
    return root


def train(name, folder, run, *flags):
    """Trains the experiment on the folder by the command line."""
    data = ["--data", f"folder:{folder}", "--data.image-size", "24"]
    args = ["train", str(EXPERIMENTS / name), *data, *flags, "--run", str(run)]
    return cli.dispatch(args)


@pytest.mark.thorough
def test_defects_from_a_folder_to_a_report(tmp_path, capsys):
    classes = ("crack", "patch", "scratch")
    folder = write_photos(tmp_path / "steel", classes, (40, 20, 10), "L")
    run = tmp_path / "run"
    assert train("defects.py", folder, run, *SMALL, "--steps", "2") == 0
    capsys.readouterr()
    assert cli.dispatch(["evaluate", str(run), "--report", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["class_names"] == list(classes)
    assert [sum(row) for row in report["confusion"]] == [8, 4, 2]
    config = json.loads((run / "config.json").read_text())
    assert config["image_shape"] == [24, 24, 1]
    weights = config["class_weights"]
    assert weights == sorted(weights)
    assert weights[0] < weights[-1]


@pytest.mark.thorough
def test_retinopathy_chooses_and_reports_kappa(tmp_path, capsys):
    folder = write_photos(tmp_path / "eyes", "01234", (40, 10, 10, 10, 10), "RGB")
    run = tmp_path / "run"
    flags = ["--data.workers", "0", "--steps", "4"]
    assert train("retinopathy.py", folder, run, *SMALL, *flags) == 0
    assert "quadratic kappa" in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert (config["best"], config["mode"]) == ("quadratic_kappa", "max")
    assert config["class_weights"][0] < config["class_weights"][4]
    kappa = json.loads((run / "results.json").read_text())["metrics"]["quadratic_kappa"]
    assert cli.dispatch(["evaluate", str(run), "--report", "--json", "--ordered"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["overall"]["quadratic_kappa"] == pytest.approx(kappa)
