"""Dense networks: what is concatenated, small images, dropout, messages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models import DenseNet, feature_info
from jaxcnn.models.densenet import DenseBlock, DenseLayer

pytestmark = pytest.mark.thorough


#: Compiling takes all the time here, and less without LLVM's optimisations.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def logits_of(model, image):
    images = jax.ShapeDtypeStruct((2, *image), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x)[0], images
    )


def test_a_block_keeps_its_input_and_what_each_layer_added():
    x = noise(2, 3, 3, 5)
    block = DenseBlock(layers=2, growth_rate=4, bottleneck=1)
    y, variables = quick_jit(
        lambda: block.init_with_output(jax.random.key(0), x, train=False)
    )()
    assert y.shape == (2, 3, 3, 5 + 2 * 4)
    np.testing.assert_array_equal(y[..., :5], x)
    layer = DenseLayer(growth_rate=4, bottleneck=1)
    for number, seen in ((1, 5), (2, 9)):
        name = f"layer{number}"
        mine = {kind: tree[name] for kind, tree in variables.items()}
        new = layer.apply(mine, y[..., :seen], train=False)
        np.testing.assert_allclose(y[..., seen : seen + 4], new, atol=1e-5)


def test_features():
    """Each layer adds 4 channels, a transition keeps half of them."""
    found = feature_info(DenseNet((2, 3, 1), 4, 8), (64, 64, 3))
    assert [(f.path, f.channels, f.reduction) for f in found] == [
        ("stem", 8, 2),
        ("block1", 16, 4),
        ("block2", 20, 8),
        ("block3", 14, 16),
    ]


@pytest.mark.parametrize(
    ("model", "smallest"),
    [(DenseNet((1, 1, 1, 1), 4), 29), (DenseNet((1, 1, 1), 4, stem="cifar"), 4)],
)
def test_images_too_small_for_the_transitions_are_refused(model, smallest):
    assert logits_of(model, (smallest, smallest + 1, 3)).shape[0] == 2
    message = rf"DenseNet needs images of at least {smallest}x{smallest}"
    with pytest.raises(ValueError, match=message):
        logits_of(model, (smallest + 1, smallest - 1, 3))


def test_dropout_is_of_training_alone():
    model = DenseNet((1, 1), 4, 4, "cifar", dropout=0.5, num_classes=3)
    x = noise(4, 4, 4, 3)
    variables = quick_jit(model.init)(jax.random.key(0), x)

    @quick_jit
    def train(key):
        return model.apply(
            variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )[0]

    one, other = train(jax.random.key(1)), train(jax.random.key(2))
    assert not np.allclose(one, other)
    jax.eval_shape(model.apply, variables, x)  # needs no key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_sizes": (6, 0)}, "block_sizes must be .* at least 1, got 0"),
        ({"growth_rate": 0}, "growth_rate must be .* at least 1, got 0"),
        ({"stem_features": 0}, "stem_features must be .* at least 1, got 0"),
        ({"stem": "cifa"}, "stem='cifa' is unknown. Did you mean 'cifar'"),
        ({"bottleneck": -1}, "bottleneck must be .* at least 0, got -1"),
        ({"compression": 0}, r"compression must be in \(0, 1\], got 0"),
        ({"dropout": 1}, "dropout must be .* less than 1, got 1"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(**{"block_sizes": (1, 1)} | options)
