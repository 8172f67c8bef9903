"""`jaxcnn data`: what it prints, draws and returns."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli
from jaxcnn.data.resize import resize_image


def photo(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3))
    return resize_image(coarse.astype(np.uint8), (48, 48))


def save(folder, path, pixels, **options):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / path, **options)


@pytest.fixture
def clean(tmp_path):
    for k in range(8):
        split, name = ("test" if k >= 6 else "train"), ("cat", "dog")[k % 2]
        save(tmp_path, f"{split}/{name}/{k}.png", photo(k))
    return tmp_path


@pytest.fixture
def leaky(clean):
    save(clean, "test/dog/leak.png", photo(1))
    return clean


@pytest.fixture
def nearly(clean):
    save(clean, "test/dog/near.jpg", photo(1), quality=95)
    return clean


def call(capsys, *args):
    code = cli.dispatch(["data", *map(str, args)])
    return code, capsys.readouterr().out


def test_a_clean_folder(clean, capsys):
    code, text = call(capsys, clean, "--strict", "--strict-near")
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == f"folder:{clean}: 8 examples"
    assert "cat        3     1" in lines
    assert "all        6     2" in lines
    assert "Broken files: none." in lines
    assert "Equal pixels within a split: none." in lines
    assert "Leaks, equal pixels in two splits: 0 of test in train." in lines
    assert "Equal pixels under two labels: none." in lines
    assert lines[-1].endswith("differ; look at them): none.")
    assert "48x48, 48x48, 48x48               RGB (6)" in text


def test_only_strict_makes_a_leak_fail(leaky, capsys):
    code, text = call(capsys, leaky)
    assert code == 0
    assert "1 of test in train.\n" in text
    assert f"{leaky}/train/dog/1.png (dog) = {leaky}/test/dog/leak.png (dog)" in text
    assert call(capsys, leaky, "--strict")[0] == 1
    assert call(capsys, leaky, "--strict-near")[0] == 1
    assert call(capsys, leaky, "--strict", "--no-near", "--json")[0] == 1


def test_near_ones_are_reported_apart(nearly, capsys):
    code, text = call(capsys, nearly, "--strict")
    assert code == 0
    assert "two splits: 0 of test in train." in text
    assert "1 pairs, 0 of them under two labels; 1 of test in train." in text
    assert f"{nearly}/train/dog/1.png (dog) ~ {nearly}/test/dog/near.jpg (dog)" in text
    assert call(capsys, nearly, "--strict-near")[0] == 1
    code, text = call(capsys, nearly, "--no-near", "--strict")
    assert code == 0
    assert "Alike" not in text
    code, text = call(capsys, nearly, "--near-bits", "0")
    assert "at most 0 of 255 bits" in text
    assert text.rstrip().endswith("none.")


def test_everything_that_is_wrong_is_named(leaky, capsys):
    save(leaky, "train/cat/1.png", photo(1))
    (leaky / "train" / "cat" / "broken.png").write_bytes(b"x")
    save(leaky, "test/cat/plain.png", np.zeros((48, 48, 3), np.uint8))
    code, text = call(capsys, leaky, "--strict")
    assert code == 1
    assert f"Broken files: 1.\n  {leaky}/train/cat/broken.png: cannot ident" in text
    assert "Equal pixels within a split: 1 in train repeat another one." in text
    assert "Equal pixels under two labels: 1.\n" in text
    assert "1 are too small or too plain for this." in text


def test_long_lists_are_cut(clean, capsys):
    for k in range(5):
        save(clean, f"train/cat/again{k}.png", photo(0))
        (clean / "train" / "dog" / f"broken{k}.png").write_bytes(b"x")
    _, text = call(capsys, clean, "--show", "2")
    assert text.count("cannot identify") == 2
    assert "\n  and 3 more\n" in text
    _, text = call(capsys, clean, "--json")
    assert len(json.loads(text)["splits"]["train"]["broken"]) == 5


def test_json_holds_the_findings(leaky, capsys):
    _, text = call(capsys, leaky, "--json")
    report = json.loads(text)
    assert report["leaks"] == [{"from": "train", "to": "test", "count": 1}]
    assert report["splits"]["test"]["classes"] == {"cat": 1, "dog": 2}
    [group] = report["exact"]
    assert [member["split"] for member in group["members"]] == ["train", "test"]
    assert report["near_bits"] == 16
    assert report["picture"] is None


def test_a_picture_of_samples(clean, capsys):
    path = clean / "samples.png"
    _, text = call(capsys, clean, "--picture", path, "--per-class", "2")
    assert text.rstrip().endswith(f"Samples of every class: {path}")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 100
    flags = ["--json", "--no-near", "--per-class", "1"]
    _, text = call(capsys, "digits", "--picture", path, *flags)
    assert json.loads(text)["picture"] == str(path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["digits", "--near-bits", "65"], "--near-bits must be 0 to 64, got 65"),
        (["digits", "--show", "-1"], "--show must be 0 or more, got -1"),
        (["digits", "--per-class", "0"], "--per-class must be 1 or more, got 0"),
        (["digits", "--strict-near", "--no-near"], "exclude each other"),
        (["digits", "--strickt"], "Did you mean --strict"),
        ([], "jaxcnn data --help"),
    ],
)
def test_bad_flags(args, message):
    with pytest.raises(ValueError, match=message):
        cli.dispatch(["data", *args])


@pytest.mark.slow
def test_bad_input_is_one_line_and_code_2(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "jaxcnn", "data", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr == f"jaxcnn: '{tmp_path}' has no folders of classes\n"


def test_many_classes_are_cut_in_the_picture(tmp_path, monkeypatch, capsys):
    drawn = {}
    monkeypatch.setattr(
        "jaxcnn.plotting.comparison_grid",
        lambda path, rows, **options: drawn.update(rows=rows, **options),
    )
    for k in range(42):
        save(tmp_path, f"c{k:02}/x.png", photo(k))
    call(capsys, tmp_path, "--picture", tmp_path / "x.png", "--no-near")
    assert len(drawn["rows"]) == 40
    assert drawn["subtitle"] == "all; the first 40 of 42 classes"
