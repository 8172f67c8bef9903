import dataclasses

import numpy as np
import pytest

from jaxcnn import plotting
from jaxcnn.cli import dispatch
from jaxcnn.experiment.config import DataConfig, ExperimentConfig, ModelConfig
from jaxcnn.experiment.preview import draw_preview

FILE = """
from jaxcnn.experiment.config import DataConfig, ExperimentConfig, ModelConfig

RECIPES = ("mixed",)


def get_config(recipe="default"):
    augment = ("mixup(alpha=1.0)",) if recipe == "mixed" else (recipe,)
    data = DataConfig("digits", augment=augment, batch_size=16)
    return ExperimentConfig(model=ModelConfig("mlp"), data=data)
"""


@pytest.fixture
def drawn(monkeypatch):
    """What was handed over to be drawn."""
    found = {}

    def grid(path, rows, *, notes, title, subtitle):
        found.update(path=path, rows=rows, notes=notes, title=title, subtitle=subtitle)

    monkeypatch.setattr(plotting, "comparison_grid", grid)
    return found


def config(*augment, **options):
    data = DataConfig("digits", augment=augment, batch_size=16)
    return ExperimentConfig(model=ModelConfig("mlp"), data=data, **options)


def test_without_augmentation_all_rows_are_the_original(drawn):
    # Standardised for the model, and back.
    draw_preview(config(), "x.png", images=4, draws=2)
    assert list(drawn["rows"]) == ["original", "draw 1", "draw 2"]
    for images in drawn["rows"].values():
        assert images.shape == (4, 28, 28, 1)
        np.testing.assert_allclose(images, drawn["rows"]["original"], atol=1e-6)
    assert len(drawn["notes"]["original"]) == 4
    assert drawn["subtitle"] == "no augmentation"


@pytest.mark.thorough
def test_a_file_its_recipe_and_other_augmentations(drawn, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    dispatch(["augment", "--preview", str(path), "--images", "3", "--draws", "1"])
    assert capsys.readouterr().out == "preview.png: random_shift(max_pixels=2)\n"
    first, draw = drawn["rows"].values()
    assert first.shape == (3, 28, 28, 1)
    assert not np.array_equal(first, draw)
    dispatch(["augment", "--preview", str(path), "--recipe", "mixed", "--out", "a.png"])
    assert drawn["path"] == "a.png"
    assert all("%" in note for note in drawn["notes"]["draw 1"])
    dispatch(["augment", "--preview", str(path), "--augment", "random_invert"])
    assert drawn["subtitle"] == "random_invert"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--preview", "nowhere"], "'nowhere' is neither a run folder nor an exper"),
        (["--preview", "nowhere.py"], "There is no experiment file nowhere.py"),
        (["--preview", "x", "--recipe", "a"], "--recipe is of an experiment file"),
        (["--preview", "x", "--images", "0"], "--images must be 1 or more, got 0"),
        (["--preview", "x", "--draws", "0"], "--draws must be 1 or more, got 0"),
    ],
)
def test_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        dispatch(["augment", *args])


@pytest.mark.thorough
def test_writes_a_picture_of_a_run(tmp_path):
    from PIL import Image

    from jaxcnn.experiment.main import run

    folder = tmp_path / "run"
    trial = dataclasses.replace(config("default"), run=str(folder), fast_dev_run=1)
    assert run(trial) == 0
    out = tmp_path / "preview.png"
    assert dispatch(["augment", "--preview", f"{folder}-dev", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.width > 300
