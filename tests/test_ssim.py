"""Structural similarity, for the loss and the metric alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jaxcnn.losses import ssim_loss
from jaxcnn.metrics import ssim


def reference(x, y, data_range):
    """Returns the formula of Wang et al. 2004, window by window, in float64."""
    i, j = np.mgrid[-5:6, -5:6]
    window = np.exp(-(i**2 + j**2) / (2 * 1.5**2))
    window /= window.sum()
    places = []
    for channel in range(x.shape[-1]):
        a = sliding_window_view(x[..., channel].astype(np.float64), (11, 11))
        b = sliding_window_view(y[..., channel].astype(np.float64), (11, 11))
        mean_a = (window * a).sum((-2, -1))
        mean_b = (window * b).sum((-2, -1))
        off_a, off_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
        var_a, var_b = ((window * off**2).sum((-2, -1)) for off in (off_a, off_b))
        covariance = (window * off_a * off_b).sum((-2, -1))
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        places.append(
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        )
    return np.mean(places)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("shape", "data_range"),
    [((11, 11, 1), 1.0), ((14, 19, 3), 1.0), ((16, 12, 1), 255)],
)
def test_equals_an_independent_implementation(shape, data_range):
    random = np.random.default_rng(0)
    targets = random.uniform(0, data_range, (3, *shape)).astype(np.float32)
    noise = data_range * np.array([0.0, 0.1, 1.0])[:, None, None, None]
    outputs = targets + (noise * random.standard_normal(targets.shape)).astype("f")
    expected = [
        reference(*pair, data_range) for pair in zip(outputs, targets, strict=True)
    ]
    got = jax.jit(ssim, static_argnames="data_range")(
        outputs, targets, data_range=data_range
    )
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=2e-5)
    loss = ssim_loss(outputs, targets, data_range=data_range)
    np.testing.assert_allclose(loss, 1 - got, atol=1e-6)


def test_a_constant_image_by_hand():
    # No variance: only (2 a b + c1) / (a^2 + b^2 + c1) is left.
    a, b = jnp.full((1, 12, 12, 1), 0.2), jnp.full((1, 12, 12, 1), 0.6)
    np.testing.assert_allclose(ssim(a, b), [0.2401 / 0.4001], rtol=1e-5)


def test_bright_images_lose_no_precision():
    # Variances of 1e-6 around 200: as differences of squares they would be rounding.
    random = np.random.default_rng(1)
    targets = (200 + random.uniform(0, 1, (1, 13, 13, 1))).astype(np.float32)
    outputs = (targets + random.uniform(0, 1, targets.shape)).astype(np.float32)
    expected = reference(outputs[0], targets[0], 1.0)
    np.testing.assert_allclose(ssim(outputs, targets), [expected], atol=1e-3)


def test_gradients_are_finite_and_zero_at_the_target():
    image = jnp.linspace(0, 1, 144).reshape(1, 12, 12, 1)
    slope = jax.jit(jax.grad(lambda x: ssim_loss(x, image).sum()))
    np.testing.assert_allclose(slope(image), 0, atol=1e-4)
    assert np.isfinite(slope(jnp.zeros_like(image))).all()


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ((1, 12, 12, 1), (1, 12, 12, 3), "differ in shape"),
        ((1, 10, 12, 1), (1, 10, 12, 1), r"at least 11x11, got shape \(1, 10, 12, 1\)"),
        ((1, 144), (1, 144), r"needs images \[batch, height, width, channels\]"),
    ],
)
def test_refuses(outputs, targets, message):
    with pytest.raises(ValueError, match=message):
        ssim(jnp.zeros(outputs), jnp.zeros(targets))


def test_refuses_a_range_of_nothing():
    image = jnp.zeros((1, 11, 11, 1))
    with pytest.raises(ValueError, match="data_range=0 must be above 0"):
        ssim(image, image, data_range=0)
