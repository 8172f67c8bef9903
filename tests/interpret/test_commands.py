"""`jaxcnn features` and `jaxcnn dream`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcnn import cli
from jaxcnn.commands.opened import OpenedModel, read_picture
from jaxcnn.registry import create_model
from jaxcnn.tree import flatten_named
from tests.experiment.conftest import finished, small  # noqa: F401


@pytest.fixture
def run(finished):  # noqa: F811
    return finished[0].directory


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns a file with weights of a LeNet."""
    variables = create_model("lenet").init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    path = tmp_path_factory.mktemp("weights") / "lenet.npz"
    np.savez(path, **{k: np.asarray(x) for k, x in flatten_named(variables).items()})
    return str(path)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.mark.thorough
def test_features_of_a_run(run, tmp_path, capsys):
    out = tmp_path / "pictures"
    assert cli.dispatch(["features", str(run), "-o", str(out), "--examples", "40"]) == 0
    printed = capsys.readouterr().out.split()
    names = {path.name for path in out.iterdir()}
    assert printed == [str(out / name.split("/")[-1]) for name in printed]
    assert {path.rsplit("/", 1)[-1] for path in printed} == names
    expected = {"filters.png", "receptive_fields.png", "neighbours.png", "map.png"}
    assert expected <= names
    assert {name for name in names if name.startswith("maps_stage")}
    for name in names:
        assert np.asarray(Image.open(out / name)).std() > 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("conv_autoencoder", {"features": [2, 2]}),
        ("mlp_autoencoder", {"hidden": [8]}),  # no layer of it has maps
    ],
)
def test_features_of_an_autoencoder(tmp_path, name, args):
    from jaxcnn.experiment import DataConfig, ModelConfig, train

    config = small(
        tmp_path / "run",
        task="reconstruction",
        model=ModelConfig(name, args={"latent": 3, **args}),
        data=DataConfig("digits", split="train[:64]", standardize=False, batch_size=32),
        steps=2,
        eval_every=2,
        save_every=2,
    )
    train(config)
    assert cli.dispatch(["features", str(tmp_path / "run"), "--examples", "20"]) == 0
    names = {path.name for path in (tmp_path / "run" / "features").iterdir()}
    latents = {"reconstructions.png", "interpolation.png", "latent_grid.png"}
    assert latents | {"neighbours.png", "map.png", "filters.png"} <= names


@pytest.mark.thorough
def test_features_of_weights_and_a_picture(weights, photo, tmp_path, capsys):
    words = ["lenet", photo, "--weights", weights, "-o", str(tmp_path / "out")]
    assert cli.dispatch(["features", *words, "--layer", "conv2"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"filters.png", "maps_conv2.png", "receptive_fields.png"}


@pytest.mark.thorough
def test_dreams_from_noise_are_those_of_their_seed(weights, tmp_path):
    def dreamt(name, *words):
        out = tmp_path / name
        common = ["lenet", "--weights", weights, "--steps", "2", "-o", str(out)]
        assert cli.dispatch(["dream", *common, *words]) == 0
        return np.asarray(Image.open(out))

    one = dreamt("1.png", "--target", "conv2:3")
    assert one.shape == (28, 28)
    assert (one == dreamt("2.png", "--target", "conv2:3")).all()
    assert (one != dreamt("3.png", "--target", "conv2:3", "--seed", "1")).any()
    assert (one != dreamt("4.png", "--target", "class:7")).any()
    larger = dreamt("5.png", "--target", "conv1:0@centre", "--size", "33")
    assert larger.shape == (33, 33)


@pytest.mark.thorough
def test_a_dream_has_the_size_of_its_picture(weights, photo, tmp_path):
    words = ["--weights", weights, "--image", photo, "--octaves", "2", "--steps", "1"]
    words += ["--target", "conv1", "--size", "50", "--octave-scale", "1.2"]
    out = tmp_path / "out.png"
    assert cli.dispatch(["dream", "lenet", *words, "-o", str(out)]) == 0
    assert np.asarray(Image.open(out)).shape == (33, 50)


def test_pictures_are_made_smaller_only(photo):
    assert read_picture(photo, 3, None).shape == (40, 60, 3)
    assert read_picture(photo, 1, 30).shape == (20, 30, 1)
    assert read_picture(photo, 3, 1000).shape == (40, 60, 3)


def test_classes_by_name_and_number():
    opened = OpenedModel(None, {}, None, (8, 8, 1), ("cat", "dog"))
    assert opened.number_of("dog") == opened.number_of("1") == 1
    with pytest.raises(ValueError, match=r"'cats' is none of the 2 classes.*'cat'"):
        opened.number_of("cats")
    nameless = OpenedModel(None, {}, None, (8, 8, 1), ())
    with pytest.raises(ValueError, match=r"are not known: .*not 'cat'"):
        nameless.number_of("cat")


DREAM = ["dream", "lenet", "--target", "conv1:0", "-o", "x.png", "--weights", "w.npz"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (DREAM[:-2], r"lenet is a registered model: give its --weights"),
        ([*DREAM[:-2], "--like", "x"], r"--like is for --weights"),
        ([*DREAM, "--step", "3"], r"--step and --raw are for run folders"),
        ([*DREAM, "--raw"], r"--step and --raw are for run folders"),
        ([*DREAM, "--out", "x.gif"], r"--out must end in .png, .*got 'x.gif'"),
        ([*DREAM, "--size", "0"], r"--size must be .* at least 1, got 0"),
        (["features", "nowhere"], r"nowhere is not a run folder"),
        (["features", "x", "--projection", "umap"], r"--projection='umap' is unknown"),
        (["features", "x", "--examples", "-1"], r"--examples must be .* 0, got -1"),
    ],
)
def test_bad_flags(words, message):
    with pytest.raises(ValueError, match=message):
        cli.dispatch(words)


def test_a_missing_folder_is_named():
    with pytest.raises(FileNotFoundError, match=r"no folder nowhere"):
        cli.dispatch([*DREAM, "-o", "nowhere/x.png"])


@pytest.mark.thorough
def test_weights_need_a_folder_and_a_picture(weights, tmp_path):
    words = ["features", "lenet", "--weights", weights]
    with pytest.raises(ValueError, match=r"--weights needs --out"):
        cli.dispatch(words)
    with pytest.raises(ValueError, match=r"needs a picture, or a run folder"):
        cli.dispatch([*words, "-o", str(tmp_path / "out")])
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file is a file; a folder is needed"):
        cli.dispatch([*words, "-o", str(tmp_path / "file")])


@pytest.mark.thorough
def test_an_unknown_layer_is_named(weights, photo, tmp_path):
    words = ["lenet", photo, "--weights", weights, "-o", str(tmp_path / "out")]
    with pytest.raises(ValueError, match=r"no submodule 'conv3'.*'conv2'"):
        cli.dispatch(["features", *words, "--layer", "conv3"])


def test_other_inputs_than_pictures_are_refused(monkeypatch, tmp_path):
    def sequences(*_):
        return OpenedModel(None, {}, None, (100, 3), ())

    monkeypatch.setattr("jaxcnn.commands.opened._of_run", sequences)
    with pytest.raises(ValueError, match=r"Gray and RGB .* takes \[100, 3\]"):
        cli.dispatch(["features", str(tmp_path)])
