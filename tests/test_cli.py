import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli, registry
from jaxcnn.data import load_source
from jaxcnn.experiment.main import exit_cleanly
from jaxcnn.models import counts
from jaxcnn.run import RunConfig, load_run, read_image
from tests.experiment.conftest import finished, small  # noqa: F401

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Returns three digit pictures, one of them of another size and mode."""
    folder = tmp_path_factory.mktemp("digits")
    source = load_source("digits", "test[:3]")
    paths = []
    for k, image in enumerate(source.images):
        picture = Image.fromarray(image[..., 0])
        if k == 2:
            picture = picture.resize((50, 40)).convert("RGB")
        picture.save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
    return paths


@pytest.fixture
def run(finished):  # noqa: F811
    return finished[0].directory


def call(capsys, *args):
    assert cli.dispatch(list(args)) == 0
    return capsys.readouterr().out


def test_usage_and_version(capsys):
    assert "jaxcnn COMMAND" in call(capsys)
    assert "predict RUN PATH" in call(capsys, "--help")
    assert call(capsys, "--version").strip()[0].isdigit()


def test_predict_names_classes_with_probabilities(capsys, run, digits):
    lines = call(capsys, "predict", run, *digits, "--top", "2").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{digits[0]}: ")
    assert lines[0].count("%") == 2


def test_a_picture_of_16_bits_is_that_of_8(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "8.png")
    Image.fromarray(pixels * np.uint16(257)).save(tmp_path / "16.png")
    for name in ("8.png", "16.png"):
        image = read_image(tmp_path / name, (16, 16, 1))
        np.testing.assert_array_equal(image[..., 0], pixels)


def test_a_picture_is_turned_as_its_exif_entry_says(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=exif)
    found = read_image(tmp_path / "turned.png", (8, 8, 1))
    assert (found[..., 0] == pixels).all()


def test_a_picture_cut_short_is_named(digits, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(Path(digits[0]).read_bytes()[:90])
    with pytest.raises(ValueError, match=r"The picture .*cut\.png cannot be read"):
        read_image(path, (28, 28, 1))


def test_a_model_of_sequences_takes_no_picture(digits):
    with pytest.raises(
        ValueError, match=r"model takes arrays of shape \[128, 6\]: give"
    ):
        read_image(digits[0], (128, 6))


def test_predict_as_csv_and_json_agree(capsys, run, digits):
    text = call(capsys, "predict", run, *digits, "--csv", "-")
    table = list(csv.DictReader(io.StringIO(text)))
    objects = call(capsys, "predict", run, *digits, "--json").splitlines()
    assert len(table) == len(objects) == 3
    for row, line, path in zip(table, objects, digits, strict=True):
        values = json.loads(line)
        assert values["file"] == row["path"] == path
        for rank, entry in enumerate(values["top"], 1):
            assert row[f"class_{rank}"] == entry["class"]
            assert float(row[f"probability_{rank}"]) == pytest.approx(
                entry["probability"], abs=1e-6
            )
        probabilities = [entry["probability"] for entry in values["top"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_evaluate_gives_the_result_of_the_run(capsys, run, finished):  # noqa: F811
    values = json.loads(
        call(capsys, "evaluate", run, "--split", "test[:100]", "--json")
    )
    assert values["accuracy"] == pytest.approx(finished[0].metrics["accuracy"])
    text = call(capsys, "evaluate", run, "--split", "validation", "--step", "latest")
    assert text.startswith("validation, step 12: ")
    assert "accuracy" in text


@pytest.mark.thorough
def test_views_are_averaged_by_evaluate_and_predict(capsys, run, digits):
    source, model = load_source("digits", "test[:100]"), load_run(run)
    mirrored = source.images[:, :, ::-1]
    expected = (model.predict(source.images) + model.predict(mirrored)) / 2
    averaged = model.predict(source.images, views="flip")
    np.testing.assert_allclose(averaged, expected, atol=1e-5)
    args = ("--split", "test[:100]", "--tta", "flip", "--json")
    values = json.loads(call(capsys, "evaluate", run, *args))
    right = (expected.argmax(axis=1) == source.labels).mean()
    assert values["accuracy"] == pytest.approx(right)
    named = json.loads(
        call(capsys, "predict", run, digits[0], "--tta", "flip", "--json")
    )
    assert named["top"][0]["probability"] == pytest.approx(expected[0].max(), abs=1e-5)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_view_that_there_is_not(run, digits, command):
    files = digits[:1] if command == "predict" else []
    with pytest.raises(ValueError, match="Unknown view 'flp'"):
        cli.dispatch([command, run, *files, "--tta", "flp"])


def test_models_lists_names_kinds_and_counts(capsys):
    lines = call(capsys, "models").splitlines()
    assert lines[0].split() == (
        "name kind parameters multiply-adds image weights".split()
    )
    (line,) = (line for line in lines if line.startswith("resnet50 "))
    assert line.split()[:6] == (
        "resnet50 classifier 25,557,032 4,089.18 M 224x224x3".split()
    )
    lines = call(capsys, "models", "*", "--kind", "autoencoder").splitlines()[2:]
    assert any(line.startswith("conv_autoencoder ") for line in lines)
    assert {line.split()[1] for line in lines} == {"autoencoder"}


def test_models_as_json_and_without_counts(capsys, monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    registry.register_model(lambda: None, name="of_mine", kind="mine")
    (row,) = json.loads(call(capsys, "models", "of_*", "--json"))
    assert row == {
        "name": "of_mine",
        "kind": "mine",
        "params": None,
        "macs": None,
        "image": None,
        "weights": [],
    }
    assert call(capsys, "models", "of_*").split()[-2:] == ["of_mine", "mine"]


def test_models_names_the_published_weights(capsys, monkeypatch):
    one = counts.PublishedSet("somewhere:SET_1", "loaded")
    two = counts.PublishedSet("somewhere:SET_2", "mapped only")
    monkeypatch.setattr(counts, "published_sets", lambda: {"lenet": (one, two)})
    text = call(capsys, "models", "lenet")
    assert "28x28x1  somewhere:SET_1*, somewhere:SET_2\n\nWeights marked *" in text
    (row,) = json.loads(call(capsys, "models", "lenet", "--json"))
    assert row["weights"] == [
        {"name": "somewhere:SET_1", "status": "loaded"},
        {"name": "somewhere:SET_2", "status": "mapped only"},
    ]


def test_tables_of_published_weights_are_read(tmp_path, monkeypatch):
    (tmp_path / "published").mkdir()
    row = {"status": "loaded", "top1": 69.8}
    tables = {
        "resnet.json": {"resnet18": {"a:ONE": row, "a:TWO": {"status": "mapped only"}}},
        "classes_imagenet.json": ["tench"],
    }
    for name, table in tables.items():
        (tmp_path / "published" / name).write_text(json.dumps(table))
    monkeypatch.setattr(counts.resources, "files", lambda package: tmp_path)
    assert counts.published_sets.__wrapped__() == {
        "resnet18": (
            counts.PublishedSet("a:ONE", "loaded"),
            counts.PublishedSet("a:TWO", "mapped only"),
        )
    }


def test_models_counts_the_sets_that_would_make_a_line_long(capsys, monkeypatch):
    sets = tuple(counts.PublishedSet(f"a:{n}", "mapped only") for n in range(5))
    known = {"lenet": sets, "mlp": sets[:3]}
    monkeypatch.setattr(counts, "published_sets", lambda: known)
    text = call(capsys, "models", "*le*")
    assert "28x28x1  a:0, a:1 and 3 more\n" in text
    assert "28x28x1  a:0, a:1, a:2\n" in call(capsys, "models", "mlp")
    assert "28x28x1  a:0, a:1, a:2, a:3, a:4\n" in call(capsys, "models", "lenet")


def test_models_traces_nothing(capsys, monkeypatch):
    monkeypatch.setattr("jax.eval_shape", None)
    assert "resnet152" in call(capsys, "models")


def test_summary_of_a_name_and_of_a_run(capsys, run):
    assert "8,490" in call(capsys, "summary", "lenet")
    values = json.loads(call(capsys, "summary", "resnet18", "--size", "224", "--json"))
    assert values["params"] == 11_689_512
    shape = "x".join(map(str, RunConfig.load(run).image_shape))
    assert f"input            1x{shape}\n" in call(capsys, "summary", run)


def summary_of(capsys, *args):
    return json.loads(call(capsys, "summary", *args, "--json"))


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        ([], [1, 28, 28, 1]),
        (["--size", "40"], [1, 40, 40, 1]),
        (["--size", "40", "32", "--channels", "3"], [1, 40, 32, 3]),
        (["--channels", "2", "--batch", "7"], [7, 28, 28, 2]),
    ],
)
def test_summary_of_images_of_other_shapes(capsys, flags, shape):
    assert summary_of(capsys, "lenet", *flags)["input_shape"] == shape


def test_summary_counts_memory_by_batch_and_dtype(capsys):
    one = summary_of(capsys, "lenet")
    assert summary_of(capsys, "lenet", "--batch", "8")["memory"] == 8 * one["memory"]
    half = summary_of(capsys, "lenet", "--dtype", "bfloat16")
    assert half["memory"] - 40 == (one["memory"] - 40) / 2  # the logits stay float32
    assert half["macs"] == one["macs"]


def test_summary_to_a_depth(capsys):
    values = summary_of(capsys, "resnet18", "--depth", "1")
    assert [row["path"] for row in values["rows"]][:2] == ["stem", "stage1_block1"]
    assert sum(row["memory"] for row in values["rows"]) == values["memory"]
    assert values["totals"]["convolution"]["layers"] == 20


@pytest.mark.thorough
def test_train_from_flags_and_from_a_file(capsys, tmp_path):
    flags = [
        *("--data.split", "train[:200]", "--data.test-split", "test[:50]"),
        *("--data.eval-batch-size", "50", "--steps", "2"),
    ]
    text = call(capsys, "train", *flags, "--run", str(tmp_path / "a"), "--model", "mlp")
    assert "Finished after 2 steps" in text
    file = str(ROOT / "experiments" / "digits_lenet.py")
    text = call(capsys, "train", file, *flags, "--run", str(tmp_path / "b"))
    assert "Finished after 2 steps" in text
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["experiment"]["name"] == "digits_lenet"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], r"Unknown command 'trian'. Did you mean 'train'\?"),
        (["train", "no.py"], "no experiment file no.py"),
        (["train", "--stpes", "3"], r"Did you mean --steps\?"),
        (["models", "resnet5"], r"No model is named 'resnet5'. Did you mean"),
        (["models", "--kind", "classifer"], r"Did you mean 'classifier'\?"),
        (["summary", "lenett"], r"Did you mean 'lenet"),
        (["summary", "lenet", "--size", "1", "2", "3"], "LeNet needs images of shape"),
        (["summary", "lenet", "--size", "4"], "LeNet needs images of at least 16x16"),
        (["summary", "lenet", "--size", "0"], "positive integers"),
        (["summary", "lenet", "--batch", "0"], r"positive integers.*got \(0, 28"),
        (["summary", "lenet", "--depth", "0"], "depth must be at least 1"),
        (["summary", "lenet", "--dtype", "bfloat"], "Did you mean 'bfloat16'"),
        (["evaluate", "nowhere"], "nowhere is not a run folder"),
        (["predict", "nowhere", "a.png"], "nowhere is not a run folder"),
        (["predict", "RUN", "--top", "0", "a.png"], "--top must be 1 or more"),
        (["predict", "RUN", "--top", "few", "a.png"], "1 or more, or all, got 'few'"),
        (["predict", "RUN"], "at least one picture|paths"),
        (["predict", "RUN", "a.png", "--csv", "-", "--json"], "exclude each other"),
        (["predict", "RUN", "RUN", "--batch-size", "0"], "batch_size must be"),
        (
            ["predict", "RUN", "a.png", "--on-broken", "stop"],
            "skip or error, got 'stop'",
        ),
        (["predict", "RUN", "a.png", "-"], "- stands for a list of paths"),
        (["predict", "RUN", "RUN", "--threshold", "half"], "got 'half'"),
        (["predict", "RUN", "RUN", "--threshold", "0.5"], "for two classes; there are"),
        (["predict", "RUN", "missing.png"], "There is no picture missing.png"),
        (["predict", "RUN", "RUN/config.json"], "is not a picture"),
        (
            ["predict", "RUN", "a.png", "--step", "x"],
            "--step is best, latest or a number",
        ),
        (["predict", "RUN", "a.png", "--step", "7"], "no good checkpoint of step 7"),
        (["evaluate", "RUN", "--split", "tets"], "tets"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, run):
    args = [arg.replace("RUN", run) for arg in args]
    with pytest.raises((ValueError, OSError), match=message):
        cli.dispatch(args)


def test_an_experiment_file_may_import_its_neighbour(tmp_path):
    (tmp_path / "a_neighbour.py").write_text("NAME = 'lenett'\n")
    (tmp_path / "one.py").write_text(
        "from jaxcnn.experiment import ExperimentConfig, ModelConfig\n"
        "import a_neighbour\n"
        "def get_config():\n"
        "    return ExperimentConfig(model=ModelConfig(a_neighbour.NAME))\n"
    )
    with pytest.raises(ValueError, match="Unknown model 'lenett'"):
        cli.dispatch(["train", str(tmp_path / "one.py")])


def test_a_file_without_a_config(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"has no function get_config"):
        cli.dispatch(["train", str(tmp_path / "empty.py")])


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("two\nlines"), 2, "jaxcnn: two lines\n"),
        (OSError("gone"), 2, "jaxcnn: gone\n"),
        (KeyboardInterrupt(), 130, "jaxcnn: aborted\n"),
    ],
)
def test_errors_become_a_line_and_a_code(error, code, text, capsys):
    def command():
        raise error

    with pytest.raises(SystemExit) as stop:
        exit_cleanly(command)
    assert stop.value.code == code
    assert capsys.readouterr().err == text


def test_the_program_itself_exits_with_2_and_no_traceback():
    ended = subprocess.run(
        [sys.executable, "-m", "jaxcnn", "summary", "resnet5"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "Did you mean" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_recipe_of_an_experiment_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from jaxcnn.experiment import ExperimentConfig\n"
        "RECIPES = ('a', 'b')\n"
        "def get_config(recipe='a'):\n"
        "    return ExperimentConfig(name=recipe, epochs=-1)\n"
    )
    file = str(tmp_path / "mine.py")
    assert cli._config_of(Path(file), "b").name == "b"
    with pytest.raises(ValueError, match="epochs must be above 0"):
        cli.dispatch(["train", file, "b"])
    with pytest.raises(ValueError, match=r"recipes of .*mine.py are: a, b; got 'c'"):
        cli.dispatch(["train", file, "c", "--steps", "1"])
