"""The command `jaxcnn predict`: folders to tables."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli
from jaxcnn.commands.progress import shown
from jaxcnn.run import Run, RunConfig

NAMES = ("dark", 'a "bright", one')


class Gray(Run):
    """A run whose class 1 is as probable as a picture is bright."""

    def predict(self, images, **options):
        bright = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)


@pytest.fixture
def run(monkeypatch):
    config = RunConfig("mlp", {}, "classification", (4, 4, 1), NAMES)
    found = Gray(None, {}, config, 1)
    monkeypatch.setattr("jaxcnn.run.load_run", lambda folder, **options: found)


@pytest.fixture
def folder(tmp_path):
    """Returns a folder of ten pictures of gray 0, 20, ... and one that is none."""
    place = tmp_path / "pictures"
    place.mkdir()
    for k in range(10):
        gray = np.full((4, 4), 20 * k, np.uint8)
        Image.fromarray(gray).save(place / f"{k}.png")
    (place / "broken.png").write_text("no picture")
    return place


def call(*args):
    return cli.dispatch(["predict", "RUN", *map(str, args)])


def test_a_folder_becomes_a_table(run, folder, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert call(folder, "--top", "1", "--csv", out, "--batch-size", "4") == 1
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert list(rows[0]) == ["path", "class_1", "probability_1"]
    assert [row["path"] for row in rows] == [
        str(folder / f"{k}.png") for k in range(10)
    ]
    assert [row["class_1"] for row in rows] == [NAMES[0]] * 7 + [NAMES[1]] * 3
    assert float(rows[9]["probability_1"]) == pytest.approx(180 / 255, abs=1e-6)
    said = capsys.readouterr()
    assert not said.out
    assert f"{out}: 10 files\n1 file cannot be read:\n" in said.err
    assert "broken.png: " in said.err


def test_all_classes_and_the_exit_code_of_good_files(run, folder, capsys):
    assert call(folder / "9.png", "--top", "all", "--csv", "-") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["class_1"] == NAMES[1]
    assert row["class_2"] == NAMES[0]
    assert float(row["probability_1"]) + float(row["probability_2"]) == pytest.approx(1)


def test_the_table_is_written_whole_or_not_at_all(run, folder, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("what was there")
    with pytest.raises(ValueError, match=r"broken.png cannot be read"):
        call(folder, "--csv", out, "--on-broken", "error", "--batch-size", "1")
    assert out.read_text() == "what was there"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "pictures"]
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        call(folder, "--csv", tmp_path / "no" / "out.csv")


def test_nothing_that_can_be_read_is_an_error(run, folder, tmp_path):
    with pytest.raises(ValueError, match=r"None of 1 file can be read: .*broken.png"):
        call(folder / "broken.png", "--csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_lines_of_json_name_broken_files_too(run, folder, capsys):
    assert call(folder, "--json", "--top", "1") == 1
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(objects) == 11
    assert objects[0]["top"] == [{"class": "dark", "probability": 1.0}]
    assert [set(o) for o in objects if "error" in o] == [{"file", "error"}]


def test_a_threshold_decides_between_two_classes(run, folder, capsys):
    args = (folder / "5.png", folder / "6.png", "--threshold", "0.45")
    call(*args)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"5.png: dark (dark 60.8 %, {NAMES[1]} 39.2 %)")
    assert f"6.png: {NAMES[1]} (dark 52.9 %" in lines[1]
    call(*args, "--csv", "-")
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["predicted"] for row in rows] == list(NAMES)
    call(*args, "--json")
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(o["predicted"], o["threshold"]) for o in found] == [
        (name, 0.45) for name in NAMES
    ]


def test_a_threshold_is_chosen_on_the_validation_part(run, folder, monkeypatch, capsys):
    asked = []

    def chosen(*args, **options):
        asked.append((args, options))
        return 0.1

    monkeypatch.setattr("jaxcnn.commands.predict.threshold_of", chosen)
    call(folder / "2.png", "--threshold", "validation:f1", "--data-dir", "there")
    assert NAMES[1] in capsys.readouterr().out.split("(")[0]
    options = {"step": None, "raw": False, "data_dir": "there", "views": ()}
    assert asked == [(("RUN", "validation:f1"), options)]


def test_a_list_from_standard_input(run, folder, monkeypatch, capsys):
    text = f"{folder / '3.png'}\n\n{folder / 'gone.png'}\n{folder / '4.png'}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert call("-") == 1
    said = capsys.readouterr()
    assert [line.split(":")[0][-5:] for line in said.out.splitlines()] == [
        "3.png",
        "4.png",
    ]
    assert "gone.png: there is no file" in said.err
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(ValueError, match="at least one path on standard input"):
        call("-")


def test_many_broken_files_are_counted(run, folder, capsys):
    for k in range(30):
        (folder / f"bad{k:02d}.png").write_text("no picture")
    assert call(folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "31 files cannot be read:"
    assert (len(lines), lines[-1]) == (22, "  and 11 more")


def test_plain_lines_say_how_far_it_is():
    file = io.StringIO()
    items = list(shown(range(4), 4, "files", file=file, every_seconds=0.0))
    assert items == [0, 1, 2, 3]
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("2 of 4 files, ")
    assert lines[1].endswith("0:00:00 left")


def test_a_terminal_gets_a_bar():
    file = io.StringIO()
    assert list(shown(range(3), 3, "files", file=file, bar=True)) == [0, 1, 2]
    assert "3/3" in file.getvalue()
