"""`Cnn` over sequences and volumes: layers in the right order, options, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import Cnn
from jaxcnn.models.summary import summarize
from jaxcnn.registry import create_model


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def shape_of(model, *shape):
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x)[0], images
    ).shape


def test_a_sequence_by_hand():
    """One stage without a norm: convolution, ReLU, the larger of each two, dense."""
    x = noise(2, 6, 3)
    model = Cnn(rank=1, features=(4,), num_classes=2)
    variables = model.init(jax.random.key(0), x)
    params = jax.tree.map(np.asarray, variables["params"])
    kernel, bias = params["stage1_conv1"]["kernel"], params["stage1_conv1"]["bias"]
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    y = sum(padded[:, k : k + 6] @ kernel[k] for k in range(3)) + bias
    y = np.maximum(y, 0).reshape(2, 3, 2, 4).max(2).reshape(2, 12)
    expected = y @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(model.apply(variables, x), expected, atol=1e-5)


@pytest.mark.thorough
def test_a_volume_is_an_image_where_one_axis_does_nothing():
    """A kernel that is zero but in its middle plane sees each plane by itself."""
    x = noise(2, 2, 6, 5, 3)
    flat = Cnn(features=(4,), norm="batch", num_classes=0)
    images = x.reshape(4, 6, 5, 3)
    variables = flat.init(jax.random.key(0), images)
    kernel = variables["params"]["stage1_conv1"]["kernel"]
    params = jax.tree.map(lambda leaf: leaf, variables["params"])
    params["stage1_conv1"]["kernel"] = jnp.zeros((3, 3, 3, 3, 4)).at[1].set(kernel)
    got = Cnn(rank=3, features=(4,), norm="batch", num_classes=0).apply(
        {**variables, "params": params}, x
    )
    planes = flat.apply(variables, images).reshape(2, 2, -1)
    np.testing.assert_allclose(got, planes.max(1), atol=1e-6)


OPTIONS = [
    {"pool": "average"},
    {"pool": "stride"},
    {"norm": "group", "norm_position": "after"},
    {"norm": None, "hidden": (5,), "dropout": 0.5, "convs_per_stage": 2},
    {"padding": "valid", "kernel_size": 1},
]


@pytest.mark.thorough
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    ("name", "shape"), [("cnn1d", (17, 6)), ("cnn3d", (8, 9, 10, 1))]
)
def test_every_choice_of_cnn_works(name, shape, options):
    model = create_model(name, features=(4, 8), num_classes=3, **options)
    assert shape_of(model, 2, *shape) == (2, 3)


@pytest.mark.parametrize(
    ("name", "shape", "field"),
    # 5 taps 1, 2 and 4 apart, and pools: 1 + 4 + 1 + 8 + 2 + 16 + 4; then 3 taps.
    [("cnn1d", (128, 6), 36), ("cnn3d", (16, 16, 16, 1), 22)],
)
def test_receptive_fields(name, shape, field):
    assert summarize(create_model(name), (1, *shape)).receptive_field == field


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("cnn1d", (2, 7, 6), r"sequences of at least 8, got shape \(2, 7, 6\)"),
        ("cnn3d", (2, 8, 7, 9, 1), r"volumes of at least 8x8x8, got shape \(2, 8, 7"),
        (
            "cnn1d",
            (2, 28, 28, 1),
            r"sequences of shape \[batch, length, channels\], got",
        ),
        (
            "cnn3d",
            (2, 28, 28, 1),
            r"volumes of shape \[batch, depth, height, width, ch",
        ),
        (
            "cnn",
            (2, 128, 6),
            r"images of shape \[batch, height, width, channels\], got",
        ),
    ],
)
def test_other_shapes_are_explained(name, shape, message):
    with pytest.raises(ValueError, match=message):
        shape_of(create_model(name), *shape)


def test_other_ranks_are_refused():
    with pytest.raises(ValueError, match=r"rank=4 is unknown. Allowed: 1, 2, 3"):
        Cnn(rank=4)
