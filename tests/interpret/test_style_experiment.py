"""`experiments/style_transfer.py`: flags, files and clear errors."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.registry import create_model
from jaxcnn.transfer.load import Loaded
from jaxcnn.transfer.pretrained import PretrainedConfig
from jaxcnn.transfer.save import save_loaded
from jaxcnn.tree import flatten_named

FILE = Path(__file__).parents[2] / "experiments" / "style_transfer.py"
PREPROCESS = PreprocessConfig((0.5,) * 3, (0.5,) * 3, size=(16, 16))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("style_transfer", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds two pictures, a network that says what it is, and one that does not."""
    folder = tmp_path_factory.mktemp("style")
    rng = np.random.default_rng(0)
    for name, shape in (("photo.png", (12, 16, 3)), ("paint.png", (20, 14, 3))):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    model = create_model("cnn", num_classes=2, features=(4,))
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    config = PretrainedConfig(
        "cnn", "x", PREPROCESS, (16, 16, 3), 2, model_args={"features": [4]}
    )
    save_loaded(folder / "net.safetensors", Loaded(model, variables, config))
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    lenet = jax.eval_shape(create_model("lenet").init, jax.random.key(0), images)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), lenet)
    np.savez(folder / "net.npz", **flatten_named(zeros))
    (folder / "text.png").write_text("no picture")
    return folder


def run(script, folder, *flags, weights="net.safetensors", styles=("paint.png",)):
    names = ["photo.png", *styles]
    layers = ["--content-layers", "stage1_conv1", "--style-layers", "stage1_conv1"]
    small = ["--sizes", "16", "--steps", "2", "--weights", str(folder / weights)]
    out = ["--out", str(folder / "out.png")]
    return script.command(
        [*(str(folder / name) for name in names), *out, *small, *layers, *flags]
    )


@pytest.mark.thorough
def test_pictures_and_curves_are_written(script, folder, capsys):
    curves = folder / "curves.png"
    assert run(script, folder, "--every", "1", "--curves", str(curves)) == 0
    names = sorted(file.name for file in folder.glob("out*"))
    assert names == ["out.png", "out_00000.png", "out_00001.png", "out_00002.png"]
    first, last = (script.read_picture(str(folder / names[k])) for k in (1, 3))
    assert first.shape == (12, 16, 3)
    assert (first != last).any()
    assert curves.exists()
    assert "3 pictures on the way, content" in capsys.readouterr().out


def test_flags_are_the_options(script):
    flags = script.Flags(
        "a", ("b",), style_layers=("x=0.5", "y=2"), content_layers=("z",), steps=(3,)
    )
    options = script.options_of(flags)
    assert options.style_layers == {"x": 0.5, "y": 2}
    assert options.content_layers == {"z": 1}
    assert options.steps == 3
    assert script.options_of(script.Flags("a", ("b",))) == script.StyleOptions(
        sizes=tuple(script.StyleOptions.sizes)
    )


@pytest.mark.parametrize(
    ("flags", "options", "message"),
    [
        (["--optimizer", "adma"], {}, "optimizer"),
        (["--every", "-1"], {}, "--every must be 0 or more, got -1"),
        (["--style-layers", "x=a"], {}, "--style-layers: 'a' in 'x=a' is no number"),
        (["--sizes", "32", "16"], {}, r"sizes must grow .* got \(32, 16\)"),
        ([], {"styles": ()}, "STYLE is missing"),
        ([], {"styles": ("text.png",)}, "text.png is no picture"),
        ([], {"weights": "net.npz"}, "does not say of which model it is: give --model"),
        (
            ["--model", "lenet"],
            {"weights": "net.npz"},
            "how its images are prepared: give --like",
        ),
        (
            ["--average-pool"],
            {"weights": "nothing.npz"},
            r"no file or folder .*needs --model",
        ),
    ],
)
def test_errors_are_clear(script, folder, flags, options, message):
    with pytest.raises((ValueError, OSError), match=message):
        run(script, folder, *flags, **options)


def test_a_picture_that_is_not_there(script, folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        run(script, folder, styles=("nowhere.png",))


def test_an_ending_that_is_none(script, folder):
    with pytest.raises(ValueError, match=r"out.xyz cannot be written: unknown file"):
        script.write_picture(folder / "out.xyz", np.zeros((2, 2, 3)))


@pytest.mark.thorough
def test_without_weights_it_is_vgg_with_the_papers_layers(script, folder, monkeypatch):
    """Where the download would go there is no network: the message says what to do."""
    monkeypatch.setenv("JAXCNN_HOME", str(folder / "home"))
    monkeypatch.setattr(
        "urllib.request.urlopen", lambda *a, **k: (_ for _ in ()).throw(OSError("off"))
    )
    with pytest.raises(OSError, match=r"of vgg19 is not in the cache .* and put it at"):
        script.load_network(script.Flags("a", ("b",)))
