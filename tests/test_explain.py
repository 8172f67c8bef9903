"""The command `jaxcnn explain`: one picture of what a model looked at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from jaxcnn import cli
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.run import Run, RunConfig

NAMES = ("dark", "bright", "odd")


class Halves(nn.Module):
    """Class 1 is the brightness of the left half, seen by a layer `conv`."""

    @nn.compact
    def __call__(self, images, *, train=False):
        ones = nn.initializers.ones
        x = nn.Conv(1, (1, 1), kernel_init=ones, name="conv")(images)
        left = nn.relu(x)[:, :, : x.shape[2] // 2].mean(axis=(1, 2, 3))
        return jnp.stack([0 * left, 4 * left, left - 1], axis=1)


def run_of(**changes):
    settings = {"preprocess": PreprocessConfig((0.1,), (2.0,))} | changes
    shape = settings.pop("image_shape", (8, 8, 1))
    config = RunConfig("mlp", {}, "classification", shape, NAMES, **settings)
    model = Halves()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    return Run(model, variables, config, 1)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr("jaxcnn.run.load_run", lambda folder, **options: run_of())


@pytest.fixture
def folder(tmp_path):
    """Returns a folder of three pictures and one that is none."""
    place = tmp_path / "pictures"
    place.mkdir()
    for k in range(3):
        gray = np.full((8, 8), 60 + 60 * k, np.uint8)
        gray[:4, :4] = 255
        Image.fromarray(gray).save(place / f"{k}.png")
    (place / "broken.png").write_text("no picture")
    return place


def call(*args):
    return cli.dispatch(["explain", *map(str, args)])


def test_one_picture_for_a_folder(run, folder, tmp_path, capsys, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "jaxcnn.plotting.attribution_sheet",
        lambda path, images, maps, **rest: drawn.update(
            rest, path=path, images=images, maps=maps
        ),
    )
    out = tmp_path / "out.png"
    methods = ("grad_cam", "occlusion(window=4, stride=4)")
    assert call("RUN", folder, "-o", out, "--method", *methods, "--check") == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    # The left half's mean, standardised: (157.5 / 255 - 0.1) / 2 = 0.2588.
    assert lines[0].endswith("0.png: bright 65.6 %, dark 23.3 %, odd 11.1 %")
    assert lines[3].startswith("grad_cam: deletion 0.")
    assert ", insertion 0." in lines[4]
    assert f"cannot be read: {folder / 'broken.png'}: " in said.err
    assert drawn["titles"] == ["0.png", "1.png", "2.png"]
    assert drawn["explained"] == ["bright"] * 3
    assert list(drawn["maps"]) == list(methods)
    # As the model gets them, in the colours of the file.
    assert drawn["images"].shape == (3, 8, 8, 1)
    assert drawn["images"][0, 0, 0, 0] == 1
    cam, occluded = drawn["maps"].values()
    assert cam[0, 0, 0] == 1
    assert occluded[0, :4, :4].min() > occluded[0, 4:, :4].max() > 0
    np.testing.assert_allclose(occluded[:, :, 4:], 0, atol=1e-7)


@pytest.mark.thorough
def test_another_class_another_layer_and_a_limit(run, folder, tmp_path, capsys):
    out = tmp_path / "out.png"
    args = ("RUN", folder / "0.png", folder / "2.png", "-o", out)
    assert call(*args, "--target", "odd", "--layer", "conv", "--limit", "1") == 0
    said = capsys.readouterr()
    assert "1 more are left out: --limit." in said.err
    assert len(said.out.splitlines()) == 1
    with Image.open(out) as image:
        assert image.width > image.height > 100


@pytest.mark.thorough
def test_a_model_with_weights_instead_of_a_run(folder, tmp_path, capsys):
    """Probabilities are those of load_model; without preprocessing, in its size."""
    import jaxcnn
    from jaxcnn.tree import flatten_named

    model = jaxcnn.create_model("lenet", num_classes=4)
    images = jnp.zeros((1, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    weights = tmp_path / "weights.npz"
    np.savez(weights, **{k: np.asarray(v) for k, v in flatten_named(variables).items()})
    out = tmp_path / "out.png"
    args = ("--weights", weights, "--top", "4", "-o", out)
    assert call("lenet", folder / "1.png", *args, "--target", "2") == 0
    with Image.open(folder / "1.png") as image:
        pixels = image.resize((28, 28), Image.Resampling.BILINEAR)
    logits = model.apply(
        variables, np.asarray(pixels, np.float32)[None, ..., None] / 255
    )
    best = float(jax.nn.softmax(logits).max())
    (line,) = capsys.readouterr().out.splitlines()
    assert f"class {int(logits.argmax())} {100 * best:.1f} %" in line
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--method", "gradcam"],
            r"Unknown method 'gradcam'\. Did you mean 'grad_cam'",
        ),
        (["--method", "grad_cam("], "Method 'grad_cam\\(' cannot be read"),
        (["--method", "saliency(steps=3)"], "'saliency' has no argument 'steps'"),
        (["--method", "saliency", "--layer", "conv"], "--layer is for grad_cam"),
        (["--layer", "cnov"], r"calls no submodule 'cnov'\. Did you mean 'conv'"),
        (
            ["--target", "brigt"],
            r"--target 'brigt' is no class\. Did you mean 'bright'",
        ),
        (["--target", "3"], "--target '3' is no class. There are 3: dark, bright, odd"),
        (["--top", "0"], "--top must be a whole number of at least 1"),
        (["--limit", "0"], "--limit must be a whole number of at least 1"),
        (["--like", "x"], "--like is for --weights; a run has its own"),
    ],
)
def test_what_cannot_be_explained(run, folder, tmp_path, args, message):
    with pytest.raises(ValueError, match=message):
        call("RUN", folder / "0.png", "-o", tmp_path / "out.png", *args)
    assert not (tmp_path / "out.png").exists()


def test_files_that_cannot_be(run, folder, tmp_path, monkeypatch):
    out = tmp_path / "out.png"
    with pytest.raises(ValueError, match=r"None of the pictures can be read: .*broken"):
        call("RUN", folder / "broken.png", "-o", out)
    with pytest.raises(ValueError, match="needs a run folder or a model, and pictures"):
        call("RUN", "-o", out)
    with pytest.raises(FileNotFoundError, match="There is no"):
        call("RUN", folder / "9.png", "-o", out)
    with pytest.raises(ValueError, match=r"--out must end in \.png, \.pdf, \.svg"):
        call("RUN", folder, "-o", tmp_path / "out.txt")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        call("RUN", folder, "-o", tmp_path / "no" / "out.png")
    with pytest.raises(ValueError, match=r"out|-o"):
        call("RUN", folder)
    other = run_of(image_shape=(8, 2))
    monkeypatch.setattr("jaxcnn.run.load_run", lambda folder, **options: other)
    with pytest.raises(
        ValueError, match=r"Gray and RGB pictures can be drawn; .*\[8, 2\]"
    ):
        call("RUN", folder, "-o", out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "lenet is a registered model: give its --weights, or a run folder"),
        (["--weights", "x", "--step", "best"], "--step and --raw are for run folders"),
        (["--weights", "x", "--raw"], "--step and --raw are for run folders"),
    ],
)
def test_flags_of_a_model(folder, tmp_path, args, message):
    with pytest.raises(ValueError, match=message):
        call("lenet", folder / "0.png", "-o", tmp_path / "out.png", *args)


def test_a_model_needs_pictures(tmp_path):
    with pytest.raises(ValueError, match="needs a run folder or a model, and pictures"):
        call("lenet", "-o", tmp_path / "x.png", "--weights", "x")
