import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

import jaxcnn
from jaxcnn import registry
from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.layers import ConvNorm
from jaxcnn.models import KeyMap, key_map, register_key_map
from jaxcnn.run import RunConfig
from jaxcnn.transfer import adapt_input_kernel, write_safetensors

IMAGES = np.random.default_rng(0).standard_normal((2, 12, 10, 3)).astype(np.float32)


class Tiny(nn.Module):
    """A model with a norm, a head, and an auxiliary head on request."""

    num_classes: int = 10
    width: int = 4
    aux_heads: bool = False

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = ConvNorm(self.width, activation="relu", name="stem")(images, train=train)
        x = x.mean((1, 2))
        if self.aux_heads:
            nn.Dense(self.num_classes, name="aux")(x)
        return nn.Dense(self.num_classes, name="head")(x) if self.num_classes else x


def names_of_torch(path, model):
    return {"stem/conv": "conv", "stem/norm": "bn", "head": "fc"}.get(path, path)


def names_of_timm(path, model):
    return {"stem/conv": "conv", "stem/norm": "norm", "head": "fc"}.get(path, path)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    monkeypatch.setattr(key_map, "_KEY_MAPS", dict(key_map._KEY_MAPS))
    registry.register_model(Tiny, name="tiny")
    register_key_map(Tiny, KeyMap("torchvision", names_of_torch, ignored=r"aux\."))
    register_key_map(Tiny, KeyMap("timm", names_of_timm))


def state(classes=10, channels=3, norm="bn"):
    """Returns a state dict as torchvision would name it."""
    rng = np.random.default_rng(1)

    def random(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "conv.weight": random(4, channels, 3, 3),
        f"{norm}.weight": random(4),
        f"{norm}.bias": random(4),
        f"{norm}.running_mean": random(4),
        f"{norm}.running_var": np.abs(random(4)) + 1,
        f"{norm}.num_batches_tracked": np.array(7),
        "fc.weight": random(classes, 4),
        "fc.bias": random(classes),
    }


def made_up(model, image):
    """Returns variables of random numbers, which is faster than to initialise them."""
    images = jnp.zeros((1, *image))
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes
    )


def flat_names(variables):
    return {"/".join(path): leaf for path, leaf in flatten_dict(variables).items()}


def load(weights, **options):
    return jaxcnn.load_model("tiny", weights, image_size=(12, 10), **options)


def kernel(variables):
    return np.asarray(variables["params"]["stem"]["conv"]["kernel"])


def expected(weights):
    """Returns the logits of a state dict, computed by hand."""
    x = jax.lax.conv_general_dilated(
        IMAGES,
        weights["conv.weight"].transpose(2, 3, 1, 0),
        (1, 1),
        [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    mean, var = weights["bn.running_mean"], weights["bn.running_var"]
    norm = (np.asarray(x) - mean) / np.sqrt(var + 1e-5)
    x = np.maximum(norm * weights["bn.weight"] + weights["bn.bias"], 0).mean((1, 2))
    return x @ weights["fc.weight"].T + weights["fc.bias"]


def test_logits_of_a_state_dict():
    weights = state()
    model, variables = load(weights)
    np.testing.assert_allclose(model.apply(variables, IMAGES), expected(weights), 1e-4)
    assert {type(leaf) for leaf in jax.tree.leaves(variables)} == {type(jnp.zeros(1))}
    assert model == Tiny()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, jnp.bfloat16])
def test_other_types_become_float32(dtype):
    weights = {name: array.astype(dtype) for name, array in state().items()}
    _, variables = load(weights)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_maps_are_told_apart_by_their_names(caplog):
    with caplog.at_level(logging.INFO, "jaxcnn"):
        load(state(norm="norm"))
        load(state())
    assert "named as timm's" in caplog.messages[0]
    assert "named as torchvision's" in caplog.messages[1]


def test_a_map_may_be_asked_for():
    with pytest.raises(ValueError, match=r"read as timm's names, does not fit tiny"):
        load(state(), source="timm")
    message = (
        r"source='tim' is unknown for tiny\. Did you mean 'timm'\? Allowed: 'torch"
    )
    with pytest.raises(ValueError, match=message):
        load(state(), source="tim")


def test_a_map_says_which_options_its_reference_has():
    """The caller's own come before them."""

    def options(model):
        return {"width": 4, "aux_heads": model.width == 4}

    own = KeyMap("torchvision", names_of_torch, ignored=r"aux\.", options=options)
    register_key_map(Tiny, own)
    weights = state() | {"aux.weight": np.zeros((10, 4), np.float32)}
    assert load(weights, source="torchvision")[0].aux_heads
    assert not load(weights, source="torchvision", aux_heads=False)[0].aux_heads
    assert not load(state(norm="norm"), source="timm")[0].aux_heads


def test_a_file_of_other_classes_makes_a_model_of_them():
    model, variables = load(state(classes=7))
    assert model.num_classes == 7
    assert variables["params"]["head"]["kernel"].shape == (4, 7)


def test_other_classes_start_a_new_head(caplog):
    model, variables = load(state(), num_classes=3)
    assert model.num_classes == 3
    init = jax.jit(Tiny(num_classes=3).init)
    fresh = init(jax.random.key(0), jnp.zeros((1, 12, 10, 3)))
    np.testing.assert_array_equal(
        variables["params"]["head"]["kernel"], fresh["params"]["head"]["kernel"]
    )
    np.testing.assert_array_equal(
        kernel(variables), state()["conv.weight"].transpose(2, 3, 1, 0)
    )
    (message,) = caplog.messages
    assert message == (
        "tiny: params/head/bias, params/head/kernel start anew, for 3 classes; "
        "the arrays given has 10"
    )
    _, other = load(state(), num_classes=3, key=jax.random.key(1))
    assert (
        other["params"]["head"]["kernel"] != fresh["params"]["head"]["kernel"]
    ).all()


def test_as_many_classes_keep_the_head(caplog):
    _, variables = load(state(), num_classes=10)
    np.testing.assert_array_equal(
        variables["params"]["head"]["kernel"], state()["fc.weight"].T
    )
    assert not caplog.messages


def test_no_classes_give_features():
    model, variables = load(state(), num_classes=0)
    assert "head" not in variables["params"]
    whole, all_variables = load(state())
    head = all_variables["params"]["head"]
    features = np.asarray(model.apply(variables, IMAGES))
    np.testing.assert_allclose(
        features @ np.asarray(head["kernel"]) + np.asarray(head["bias"]),
        whole.apply(all_variables, IMAGES),
        rtol=1e-5,
    )


@pytest.mark.parametrize("num_classes", [0, 10, 3])
def test_a_file_without_a_head(num_classes, caplog):
    body = {name: a for name, a in state().items() if not name.startswith("fc")}
    _, variables = load(body, num_classes=num_classes)
    assert ("head" in variables["params"]) == (num_classes > 0)
    assert ("start anew" in caplog.text) == (num_classes > 0)
    with pytest.raises(ValueError, match=r"2 missing: 'fc\.bias', 'fc\.weight'"):
        load(body)


@pytest.mark.parametrize(
    ("channels", "factor", "repeats"),
    [(1, 1, 0), (2, 1.5, 1), (4, 0.75, 2), (6, 0.5, 2)],
)
def test_other_channels_adapt_the_first_convolution(channels, factor, repeats, caplog):
    _, variables = load(state(), in_channels=channels)
    old = state()["conv.weight"].transpose(2, 3, 1, 0)
    if channels == 1:
        new = old.sum(2, keepdims=True)
    else:
        new = np.tile(old, (1, 1, repeats, 1))[:, :, :channels] * factor
    np.testing.assert_allclose(kernel(variables), new, rtol=1e-6)
    assert f"adapted from 3 to {channels} channels" in caplog.text


def test_one_channel_gives_what_equal_channels_gave():
    gray = IMAGES[..., :1]
    model, colour = load(state())
    _, one = load(state(), in_channels=1)
    _, six = load(state(), in_channels=6)
    same = model.apply(colour, np.repeat(gray, 3, -1))
    np.testing.assert_allclose(model.apply(one, gray), same, rtol=1e-4)
    wide = np.repeat(gray, 6, -1)
    np.testing.assert_allclose(model.apply(six, wide), same, rtol=1e-4)


def test_a_file_of_one_channel_for_three():
    _, variables = load(state(channels=1), in_channels=3)
    old = state(channels=1)["conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel(variables), np.tile(old, (1, 1, 3, 1)) / 3, 1e-6)
    assert kernel(load(state(channels=1))[1]).shape == (3, 3, 1, 4)


def test_both_at_once():
    model, variables = load(state(classes=5, channels=4), num_classes=2, in_channels=1)
    assert kernel(variables).shape == (3, 3, 1, 4)
    assert model.apply(variables, IMAGES[..., :1]).shape == (2, 2)


def test_auxiliary_heads_are_left_out_and_it_is_said(caplog):
    aux = {"aux.weight": np.zeros((10, 4), np.float32), "aux.bias": np.zeros(10)}
    load({**state(), **aux})
    assert "left out of the arrays given, as the model has no such part" in caplog.text
    assert "aux.bias, aux.weight" in caplog.text
    _, variables = load({**state(), **aux}, aux_heads=True, num_classes=4)
    assert variables["params"]["aux"]["kernel"].shape == (4, 4)


def test_every_difference_is_reported_at_once():
    weights = state()
    weights["conv1.weight"] = weights.pop("conv.weight")
    weights["extra"] = np.zeros(3)
    weights["bn.bias"] = np.zeros(5, np.float32)
    weights["bn.weight"] = np.zeros(4, np.int8)
    with pytest.raises(ValueError, match="read as torchvision's names") as error:
        load(weights)
    assert str(error.value).split("\n") == [
        "the arrays given, read as torchvision's names, does not fit tiny:",
        "1 missing: 'conv.weight' (nearest: 'conv1.weight')",
        "2 unexpected: 'conv1.weight' (nearest: 'conv.weight'), 'extra'",
        "1 of another shape: params/stem/norm/bias is (5,) and must be (4,)",
        "1 not floating point: params/stem/norm/scale is int8",
        "Shapes are for images of 12x10; give image_size if they are others.",
    ]


def test_arrays_have_names():
    with pytest.raises(ValueError, match="arrays by name, got the key 1"):
        load({**state(), 1: np.ones(3)})


def test_long_lists_are_cut():
    weights = state() | {f"extra{k:02}": np.zeros(1) for k in range(20)}
    with pytest.raises(ValueError, match=r"20 unexpected: 'extra00', .*and 12 more"):
        load(weights)


def test_weights_of_something_else():
    message = (
        r"The weights are not those of tiny: their names are 'a', 'b'; known are those "
        "of torchvision, timm, jaxcnn"
    )
    with pytest.raises(ValueError, match=message):
        load({"a": np.zeros(1), "b": np.zeros(1)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size must be"),
        ({"in_channels": 0}, "in_channels must be"),
        ({"widht": 3}, "has no keyword 'widht'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        jaxcnn.load_model("tiny", state(), **options)


def test_no_such_file_or_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .* for tiny: none"):
        load(tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"Unknown model 'tini'.* Did you mean 'tiny'"):
        jaxcnn.load_model("tini", state())


def test_our_own_names(tmp_path):
    variables = made_up(Tiny(num_classes=6), (8, 8, 1))
    flat = flat_names(variables)
    write_safetensors(tmp_path / "x", flat)
    model, found = load(tmp_path / "x")
    assert model == Tiny(num_classes=6)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    np.savez(tmp_path / "x.npz", **flat)
    _, found = load(str(tmp_path / "x.npz"), num_classes=2)
    assert found["params"]["head"]["bias"].shape == (2,)
    flat["params/stem/conv/kernle"] = flat.pop("params/stem/conv/kernel")
    write_safetensors(tmp_path / "x", flat)
    with pytest.raises(ValueError, match=r"1 missing: .*conv/kernel' \(nearest: "):
        load(tmp_path / "x")


def test_a_dense_layer_over_pixels_is_not_adapted():
    mlp = jaxcnn.create_model("mlp", hidden=(4,))
    variables = made_up(mlp, (6, 6, 1))
    flat = flat_names(variables)
    options = {"hidden": (4,), "image_size": (6, 6)}
    _, found = jaxcnn.load_model("mlp", flat, **options)
    assert found["params"].keys() == variables["params"].keys()
    with pytest.raises(ValueError, match="is no convolution over the 1 channels"):
        jaxcnn.load_model("mlp", flat, in_channels=3, **options)
    with pytest.raises(ValueError, match=r"images of 28x28; give image_size"):
        jaxcnn.load_model("mlp", flat, hidden=(4,))


def test_adapted_kernels_of_any_rank():
    assert adapt_input_kernel(np.ones((5, 3, 2)), 4).shape == (5, 4, 2)
    assert adapt_input_kernel(np.ones((3, 3, 3, 3, 2)), 1).shape == (3, 3, 3, 1, 2)


@pytest.fixture
def run_folder(tmp_path):
    """A run of images of 40x36 that the preprocessing makes 28x28."""
    model = jaxcnn.create_model("lenet", num_classes=4)
    variables = made_up(model, (28, 28, 1))
    RunConfig(
        model="lenet",
        model_args={"num_classes": 4},
        task="classification",
        image_shape=(40, 36, 1),
        class_names=tuple("abcd"),
        preprocess=PreprocessConfig(size=(28, 28)),
    ).save(tmp_path / "run")
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        state = {"params": variables["params"], "model_state": {}}
        checkpoints.save(3, state)
    return tmp_path / "run", variables


def test_a_run_folder(run_folder):
    folder, expected = run_folder
    model, variables = jaxcnn.load_model("lenet", folder)
    assert model == jaxcnn.create_model("lenet", num_classes=4)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    model, variables = jaxcnn.load_model("lenet", str(folder), num_classes=3)
    assert model.num_classes == 3
    with pytest.raises(ValueError, match=r"holds weights of lenet, not of cnn"):
        jaxcnn.load_model("cnn", folder)
    with pytest.raises(ValueError, match="is not a run folder"):
        jaxcnn.load_model("lenet", folder.parent)


def test_load_run_shapes_the_model_for_what_the_preprocessing_gives(run_folder):
    folder, expected = run_folder
    run = jaxcnn.load_run(folder)
    jax.tree.map(np.testing.assert_array_equal, run.variables, expected)
    assert run.config.input_shape == (28, 28, 1)
    images = np.zeros((2, 40, 36, 1), np.uint8)
    assert run.predict(images).shape == (2, 4)
