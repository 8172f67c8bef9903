import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.interpret import (
    Prior,
    Target,
    maximize_activation,
    noise_images,
    total_variation,
)
from jaxcnn.interpret.ascent import divide_frequencies
from jaxcnn.registry import create_model

KERNEL = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 1.0, -0.5]])
RMS = np.sqrt(np.mean(KERNEL**2))


class Linear(nn.Module):
    """One unit that sees the whole image of 3x3 pixels, and another."""

    @nn.compact
    def __call__(self, x):
        return nn.Conv(2, (3, 3), padding="VALID", use_bias=False, name="conv")(x)


VARIABLES = {
    "params": {"conv": {"kernel": np.stack([KERNEL, -KERNEL], -1)[:, :, None]}}
}
START = jnp.zeros((1, 3, 3, 1))


def climb(target="conv:0", start=START, **options):
    options = {"prior": Prior(), "clip": None, "steps": 5, **options}
    return maximize_activation(Linear(), VARIABLES, start, target, **options)


def test_what_a_linear_unit_wants_is_its_kernel():
    made = climb(steps=5, learning_rate=0.1)
    np.testing.assert_allclose(made.images[0, ..., 0], 0.5 * KERNEL / RMS, rtol=1e-5)
    # Each step of length 0.1 RMS adds 0.1 * sum(kernel ** 2) / rms.
    gain = 0.1 * np.sum(KERNEL**2) / RMS
    np.testing.assert_allclose(made.scores[:, 0], gain * np.arange(5), rtol=1e-5)


def test_with_l2_it_settles_at_the_normalised_kernel():
    made = climb(steps=60, learning_rate=0.25, prior=Prior(l2=2.0))
    np.testing.assert_allclose(made.images[0, ..., 0], KERNEL / RMS / 2, rtol=1e-4)


def test_each_image_may_have_its_own_channel():
    made = climb(Target("conv", (0, 1)), START.repeat(2, 0), learning_rate=1.0, steps=1)
    np.testing.assert_allclose(made.images[0], -made.images[1], rtol=1e-6)


def test_a_function_may_be_the_target():
    def middle(variables, images):
        return images[:, 1, 1, 0]

    made = climb(middle, steps=1, learning_rate=1.0)
    expected = np.zeros((3, 3))
    expected[1, 1] = 3.0  # the root of the mean square is 1
    np.testing.assert_allclose(made.images[0, ..., 0], expected)


def test_preprocess_stands_between_and_pixels_stay_in_their_range():
    def negative(images):
        return 1 - images

    start = jnp.full((1, 3, 3, 1), 0.5)
    options = {"learning_rate": 5.0, "clip": (0.0, 1.0), "preprocess": negative}
    made = climb(start=start, **options)
    np.testing.assert_array_equal(
        made.images[0, ..., 0], np.where(KERNEL == 0, 0.5, KERNEL < 0)
    )


def test_a_tiny_gradient_is_followed_and_none_is_left_alone():
    def tiny(variables, images):
        return 1e-30 * images[:, 0, 0, 0]

    def flat(variables, images):
        return 0 * images[:, 0, 0, 0]

    assert climb(tiny, steps=1, learning_rate=1.0).images[0, 0, 0, 0] == 3
    np.testing.assert_array_equal(climb(flat).images, START)


@pytest.mark.thorough
def test_a_rate_may_depend_on_the_step():
    made = climb(steps=3, learning_rate=lambda step: jnp.where(step == 1, 1.0, 0.0))
    np.testing.assert_allclose(made.images[0, ..., 0], KERNEL / RMS, rtol=1e-5)


@pytest.mark.thorough
def test_scan_and_python_and_jit_agree():
    how = {"prior": Prior(1, 0.5, 0.1, 0.1), "steps": 4, "learning_rate": 0.1}
    once = climb(loop="python", **how)
    scanned = climb(loop="scan", **how)

    @jax.jit
    def compiled(start):
        return climb(start=start, **how).images

    np.testing.assert_allclose(once.images, scanned.images, atol=1e-5)
    np.testing.assert_allclose(once.scores, scanned.scores, atol=1e-5)
    np.testing.assert_allclose(once.images, compiled(START), atol=1e-5)


def test_the_key_decides_the_jitter():
    how = {"prior": Prior(jitter=1), "steps": 4}
    one, again = (climb(key=jax.random.key(1), **how).images for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - climb(key=jax.random.key(2), **how).images).max() > 1e-3


def test_jitter_gives_the_gradient_back_to_the_pixels_it_is_of():
    # Of a unit that sums all pixels alike nothing changes by rolling the image.
    def rolled(variables, images):
        return (images * jnp.arange(9.0).reshape(1, 3, 3, 1)).sum(axis=(1, 2, 3))

    made = climb(rolled, prior=Prior(jitter=1), steps=1, learning_rate=1.0)
    found = {
        tuple(np.roll(np.arange(9.0).reshape(3, 3), (-a, -b), (0, 1)).ravel())
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
    }
    raw = np.asarray(made.images).ravel() * np.sqrt(np.mean(np.arange(9.0) ** 2))
    assert tuple(raw.round(4)) in found


@pytest.mark.thorough
def test_bfloat16_models_climb_in_float32(key):
    model = create_model("lenet", dtype=jnp.bfloat16)
    start = noise_images(key, (1, 28, 28, 1))
    variables = model.init(key, start)
    made = maximize_activation(model, variables, start, "conv2:0", steps=3)
    assert made.images.dtype == made.scores.dtype == jnp.float32
    assert made.scores[-1, 0] > made.scores[0, 0]


@pytest.mark.thorough
def test_noise_is_grey_and_small(key):
    noise = noise_images(key, (4, 32, 32, 3), std=0.1)
    assert abs(noise.mean() - 0.5) < 0.01
    assert 0.095 < noise.std() < 0.105


def test_total_variation_by_hand():
    image = jnp.array([[0.0, 1.0], [3.0, 3.0]]).reshape(1, 2, 2, 1)
    # Downwards 3 and 2, across 1 and 0.
    assert total_variation(image, softness=0.0)[0] == 6
    np.testing.assert_allclose(total_variation(image), [6], atol=0.005)


def test_total_variation_flattens():
    start = jnp.array([0.0, 1.0, 0.0]).reshape(1, 1, 3, 1).repeat(3, 1)

    def flat(variables, images):
        return 0 * images[:, 0, 0, 0]

    options = {"prior": Prior(total_variation=1.0), "learning_rate": 0.01}
    made = climb(flat, start, steps=3, **options).images
    # The middle column falls by two steps, the others rise by one, three times.
    np.testing.assert_allclose(made[0, 0, :, 0], [0.03, 0.94, 0.03], atol=1e-4)


def test_frequencies_are_divided_by_themselves():
    places = np.arange(16)
    waves = [np.cos(2 * np.pi * f * places / 16) for f in (2, 4)]
    image = jnp.array(np.tile(sum(waves), (16, 1)), jnp.float32)[None, ..., None]
    expected = np.tile(waves[0] * 16 / 2 + waves[1] * 16 / 4, (16, 1))
    found = divide_frequencies(image, 1.0)[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # The mean counts as the lowest wave, one cycle in 16 pixels.
    constant = divide_frequencies(jnp.ones((1, 16, 16, 1)), 1.0)
    np.testing.assert_allclose(constant, 16 * np.ones((1, 16, 16, 1)), rtol=1e-5)
    assert divide_frequencies(image, 0.0) is image


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"loop": "while"}, "loop='while' is unknown.*python"),
        ({"clip": (1.0, 0.0)}, r"clip must be \(least, largest\), got \(1.0, 0.0\)"),
        ({"target": "conf:0"}, "no submodule 'conf'.*'conv'"),
        ({"target": "conv:2"}, "channel 2 of 'conv' is none of its 2 channels"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        climb(**options)


@pytest.mark.parametrize("name", ["frequency", "total_variation", "l2", "jitter"])
def test_priors_are_not_negative(name):
    with pytest.raises(ValueError, match=f"{name} must be .* at least 0, got -1"):
        Prior(**{name: -1})
