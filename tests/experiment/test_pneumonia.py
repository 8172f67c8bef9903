"""The experiment on chest X-rays runs from a generated folder of pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli

FILE = Path(__file__).parents[2] / "experiments" / "pneumonia.py"


@pytest.fixture
def folder(tmp_path):
    """Returns a folder with pictures of two classes, one of them rare."""
    rng = np.random.default_rng(0)
    for part, counts in {"train": (20, 60), "test": (6, 10)}.items():
        for label, count in zip(("normal", "pneumonia"), counts, strict=True):
            place = tmp_path / "xrays" / part / label
            place.mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 200, (30, 34)) + 50 * (label == "pneumonia")
                Image.fromarray(np.uint8(pixels)).save(place / f"{k}.png")
    return tmp_path / "xrays"


@pytest.mark.thorough
def test_from_a_folder_to_a_report(folder, tmp_path, capsys):
    run = str(tmp_path / "run")
    flags = ["--data", f"folder:{folder}", "--data.image-size", "28", "--steps", "2"]
    assert cli.dispatch(["train", str(FILE), *flags, "--run", run]) == 0
    capsys.readouterr()
    flags = ["--report", "--threshold", "validation", "--json", "--bootstrap", "9"]
    assert cli.dispatch(["evaluate", run, *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["class_names"] == ["normal", "pneumonia"]
    assert [sum(row) for row in report["confusion"]] == [6, 10]
    config = json.loads((Path(run) / "config.json").read_text())
    assert config["class_weights"][0] > config["class_weights"][1]
