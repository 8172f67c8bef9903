import doctest
import functools
import json
import os
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.layers import resampling
from jaxcnn.layers.resampling import DOWNSAMPLES, UPSAMPLES, halved_sizes
from jaxcnn.models import (
    ConvAutoencoder,
    DenoisingAutoencoder,
    MlpAutoencoder,
    summarize,
)
from jaxcnn.registry import create_model, list_models, model_kind
from jaxcnn.tree import count_params, flatten_named

TREES = pathlib.Path(__file__).parents[1] / "golden" / "autoencoders.json"
NAMES = [
    "conv_autoencoder",
    "conv_autoencoder_upsample",
    "denoising_autoencoder",
    "denoising_autoencoder_deep",
    "mlp_autoencoder",
]


def conv(k, c_in, c_out):
    return k * k * c_in * c_out + c_out


def dense(n_in, n_out):
    return n_in * n_out + n_out


# Layer by layer: 784-512-128-32 and back; 28 -> 14 -> 7 -> 14 -> 28 with 16 and 32
# channels around 32 latents; the denoisers with 32 and 64 channels and no dense layer.
ENDS = conv(3, 1, 16) + conv(3, 16, 32) + dense(7 * 7 * 32, 32) + dense(32, 7 * 7 * 32)
DOWN = conv(3, 1, 32) + conv(3, 32, 64)
UP = conv(4, 64, 32) + conv(4, 32, 32) + conv(3, 32, 1)
COUNTS = {
    "mlp_autoencoder": sum(
        dense(*widths)
        for widths in [(784, 512), (512, 128), (128, 32), (32, 128), (128, 512)]
    )
    + dense(512, 784),
    "conv_autoencoder": ENDS + conv(4, 32, 16) + conv(4, 16, 16) + conv(3, 16, 1),
    "conv_autoencoder_upsample": ENDS
    + conv(3, 32, 16)
    + conv(3, 16, 16)
    + conv(3, 16, 1),
    "denoising_autoencoder": DOWN + UP,
    "denoising_autoencoder_deep": DOWN + UP + 2 * conv(3, 32, 32) + 2 * conv(3, 64, 64),
}

MACS = {
    "mlp_autoencoder": 2 * (784 * 512 + 512 * 128 + 128 * 32),
    # Transposed convolutions count the positions of their input.
    "conv_autoencoder": 14 * 14 * 9 * 16
    + 7 * 7 * 9 * 16 * 32
    + 2 * 7 * 7 * 32 * 32
    + 7 * 7 * 16 * 32 * 16
    + 14 * 14 * 16 * 16 * 16
    + 28 * 28 * 9 * 16,
}


def small(name, **options):
    """Returns a variant of the family that compiles in no time."""
    widths = {"hidden": (16,)} if name == "mlp_autoencoder" else {"features": (4, 6)}
    return create_model(name, **{"image_shape": (8, 8, 1), **widths, **options})


@functools.cache
def built(name):
    """Returns a small model, variables (drawn here: faster) and images of odd size."""
    model = small(name, image_shape=(7, 5, 1))
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.random((8, 7, 5, 1), np.float32))
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)

    def draw(shape):
        scale = 1 / np.sqrt(max(1, shape.size / shape.shape[-1]))
        return jnp.asarray(scale * rng.standard_normal(shape.shape, np.float32))

    return model, jax.tree.map(draw, shapes), images


#: Compiling takes most of the time here, and less of it without optimisations.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def compiled(model, method="__call__"):
    return quick_jit(lambda v, x: model.apply(v, x, method=method))


def abstract(shape, batch=2):
    return jax.ShapeDtypeStruct((batch, *shape), jnp.float32)


def test_the_family_is_registered_as_autoencoders():
    assert list_models(kind="autoencoder") == NAMES
    assert {model_kind(name) for name in NAMES} == {"autoencoder"}


def test_the_examples_of_the_docstrings():
    result = doctest.testmod(resampling)
    assert result.attempted >= 2
    assert result.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count(name):
    assert summarize(create_model(name), (1, 28, 28, 1)).params == COUNTS[name]


def test_parameter_trees_equal_their_golden_file():
    """`GOLDEN_WRITE=1 python -m pytest tests/models/test_autoencoder.py` writes it."""
    trees = {}
    for name in NAMES:
        model = create_model(name)
        variables = jax.eval_shape(model.init, jax.random.key(0), abstract((28, 28, 1)))
        trees[name] = {
            path: f"{leaf.dtype}{list(leaf.shape)}"
            for path, leaf in flatten_named(variables).items()
        }
    if os.environ.get("GOLDEN_WRITE"):
        TREES.write_text(json.dumps(trees, indent=1) + "\n")
    assert trees == json.loads(TREES.read_text()), (
        f"Names and shapes are public and differ from {TREES}. If that is meant, write "
        "it again: GOLDEN_WRITE=1 python -m pytest tests/models/test_autoencoder.py"
    )


@pytest.mark.parametrize("name", MACS)
def test_multiply_adds(name):
    assert summarize(create_model(name), (1, 28, 28, 1)).macs == MACS[name]


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (29, 35, 2), (1, 2, 1)])
@pytest.mark.parametrize("train", [False, True])
def test_the_output_has_the_shape_of_the_input(name, shape, train):
    model = create_model(name, image_shape=shape)
    out, variables = jax.eval_shape(
        lambda image: model.init_with_output(jax.random.key(0), image, train=train),
        abstract(shape),
    )
    assert (out.shape, out.dtype) == ((2, *shape), jnp.float32)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"encoder", "decoder"}


@pytest.mark.thorough
@pytest.mark.parametrize("downsample", DOWNSAMPLES)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("kind", [ConvAutoencoder, DenoisingAutoencoder])
def test_every_way_down_and_up(kind, downsample, upsample):
    model = kind(
        features=(3, 4, 5),
        image_shape=(13, 10, 2),
        downsample=downsample,
        upsample=upsample,
    )
    out, _ = jax.eval_shape(
        model.init_with_output, jax.random.key(0), abstract((13, 10, 2))
    )
    assert out.shape == (2, 13, 10, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_encode_and_decode_compose_to_the_whole(name):
    model, variables, images = built(name)
    latents = compiled(model, "encode")(variables, images)
    halves = compiled(model, "decode")(variables, latents)
    assert latents.shape == (8, *model.latent_shape)
    assert latents.dtype == jnp.float32
    assert jnp.allclose(halves, compiled(model)(variables, images), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["mlp_autoencoder", "conv_autoencoder", "conv_autoencoder_upsample"]
)
def test_the_latents_are_as_many_as_asked_for(name):
    model = small(name, latent=5)
    variables = jax.eval_shape(model.init, jax.random.key(0), abstract((8, 8, 1)))
    latents = jax.eval_shape(
        lambda v, x: model.apply(v, x, method="encode"), variables, abstract((8, 8, 1))
    )
    assert latents.shape == (2, 5)
    assert variables["params"]["encoder"]["latent"]["kernel"].shape[-1] == 5


def test_a_denoiser_keeps_a_map():
    assert create_model("denoising_autoencoder").latent_shape == (7, 7, 64)
    odd = create_model("denoising_autoencoder", image_shape=(29, 32, 3))
    assert odd.latent_shape == (8, 8, 64)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mlp_autoencoder", "denoising_autoencoder"])
def test_output_activation(name):
    model, variables, images = built(name)
    probabilities = compiled(model)(variables, images)
    logits = compiled(model.clone(output_activation=None))(variables, images)
    assert float(probabilities.min()) > 0
    assert float(probabilities.max()) < 1
    assert float(logits.min()) < 0
    assert jnp.allclose(nn.sigmoid(logits), probabilities, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_output_starts_at_the_mean(name):
    model = small(name, output_mean=0.3)
    zeros = jnp.zeros((1, *model.latent_shape))
    init = functools.partial(model.init, method="decode")
    variables = quick_jit(init)(jax.random.key(0), zeros)
    out = compiled(model, "decode")(variables, zeros)
    assert jnp.allclose(out, 0.3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_keeps_float32_outside(name):
    model, variables, images = built(name)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    half = model.clone(dtype=jnp.bfloat16)
    out = compiled(half)(variables, images)
    full = compiled(model)(variables, images)
    assert out.dtype == jnp.float32
    assert not jnp.array_equal(out, full)
    assert jnp.allclose(out, full, atol=0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mlp_autoencoder", "denoising_autoencoder"])
def test_jit_gives_the_same(name):
    model, variables, images = built(name)
    got = compiled(model)(variables, images)
    assert jnp.allclose(got, model.apply(variables, images), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.thorough
def test_overfits_one_batch_with_a_gradient_for_every_parameter(name):
    model, variables, images = built(name)
    model = model.clone(output_activation=None)
    tx = optax.adam(1e-2)

    @quick_jit
    def step(variables, state):
        def loss(variables):
            return jnp.mean((model.apply(variables, images, train=True) - images) ** 2)

        value, gradients = jax.value_and_grad(loss)(variables)
        updates, state = tx.update(gradients, state)
        return optax.apply_updates(variables, updates), state, value, gradients

    variables, state, before, gradients = step(variables, tx.init(variables))
    for path, gradient in flatten_named(gradients).items():
        assert jnp.all(jnp.isfinite(gradient)), path
        assert jnp.any(gradient != 0), path
    for _ in range(300):
        variables, state, after, _ = step(variables, state)
    assert float(after) < 0.2 * float(before)


def test_a_linear_mlp_has_no_hidden_layer():
    model = MlpAutoencoder(latent=3, hidden=(), image_shape=(4, 4, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), abstract((4, 4, 1)))
    assert count_params(variables) == dense(16, 3) + dense(3, 16)


def test_sizes_are_rounded_up():
    assert halved_sizes((29, 8), 3) == [(29, 8), (15, 4), (8, 2), (4, 1)]


def encode(model, shape):
    return jax.eval_shape(
        model.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32)
    )


def decode(model, shape):
    return jax.eval_shape(
        lambda z: model.init(jax.random.key(0), z, method="decode"),
        jax.ShapeDtypeStruct(shape, jnp.float32),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: encode(create_model("conv_autoencoder"), (2, 32, 32, 3)),
            r"image_shape=\(28, 28, 1\), got images of shape \(32, 32, 3\)",
        ),
        (
            lambda: encode(create_model("mlp_autoencoder"), (28, 28, 1)),
            r"\[batch, height, width, channels\], got shape \(28, 28, 1\)",
        ),
        (
            lambda: decode(create_model("mlp_autoencoder"), (2, 31)),
            r"decodes latents of shape \[batch, 32\], got shape \(2, 31\)",
        ),
        (
            lambda: decode(create_model("denoising_autoencoder"), (2, 32)),
            r"shape \[batch, 7, 7, 64\], got shape \(2, 32\)",
        ),
        (
            lambda: create_model("conv_autoencoder", image_shape=(28, 28)),
            r"image_shape must be \(height, width, channels\), got \(28, 28\)",
        ),
        (lambda: create_model("mlp_autoencoder", latent=0), "latent must .* got 0"),
        (
            lambda: create_model("conv_autoencoder", output_activation="sigmod"),
            "output_activation='sigmod' is unknown. Did you mean 'sigmoid'",
        ),
        (
            lambda: create_model("mlp_autoencoder", output_mean=1),
            "output_mean must lie between 0 and 1, got 1",
        ),
        (
            lambda: create_model("conv_autoencoder", downsample="mean"),
            "downsample='mean' is unknown.* 'stride', 'max', 'average'",
        ),
        (
            lambda: create_model("conv_autoencoder", upsample="linear"),
            "upsample='linear' is unknown.*'bilinear'",
        ),
        (
            lambda: create_model("conv_autoencoder_upsample", upsample="transposed"),
            "upsample='transposed' is unknown.* Allowed: 'nearest', 'bilinear'",
        ),
        (
            lambda: create_model("denoising_autoencoder_deep", convs_per_stage=0),
            "convs_per_stage must .* got 0",
        ),
        (
            lambda: create_model("conv_autoencoder", features=(4, 0)),
            "features",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
