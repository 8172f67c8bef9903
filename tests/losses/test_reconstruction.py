import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.losses import (
    absolute_error,
    binary_cross_entropy,
    half_squared_error,
    huber,
    squared_error,
)

binary_cross_entropy_of_logits = functools.partial(
    binary_cross_entropy, from_logits=True
)
LOSSES = {
    "squared_error": squared_error,
    "half_squared_error": half_squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "huber_2": functools.partial(huber, delta=2.0),
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_of_logits": binary_cross_entropy_of_logits,
}
LOG2, LOG3 = np.log(2), np.log(3)


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "expected"),
    [
        ("squared_error", [1.0, 3.0], [0.0, 1.0], 2.5),
        ("half_squared_error", [1.0, 3.0], [0.0, 1.0], 2.5),
        ("half_squared_error", [1.0, 3.0, 2.0], [0.0, 1.0, 0.0], 4.5),
        ("absolute_error", [1.0, -3.0], [0.0, 1.0], 2.5),
        ("huber", [0.5, -3.0], [0.0, 0.0], (0.125 + 2.5) / 2),
        ("huber", [1.0], [0.0], 0.5),
        ("huber_2", [1.0, 5.0], [0.0, 0.0], (0.5 + 8) / 2),
        ("binary_cross_entropy", [0.5, 0.25], [1.0, 1.0], 1.5 * LOG2),
        ("binary_cross_entropy", [0.5, 0.75], [0.0, 0.0], 1.5 * LOG2),
        ("binary_cross_entropy", [0.25, 0.25], [0.5, 0.5], 2 * LOG2 - LOG3 / 2),
        ("binary_cross_entropy", [0.0, 1.0], [0.0, 1.0], 0.0),
        ("binary_cross_entropy", [0.0, 0.0], [1.0, 1.0], -np.log(1e-7)),
        ("binary_cross_entropy_of_logits", [0.0, 0.0], [0.0, 1.0], LOG2),
        (
            "binary_cross_entropy_of_logits",
            [LOG3, 0.0],
            [1.0, 1.0],
            1.5 * LOG2 - LOG3 / 2,
        ),
        ("binary_cross_entropy_of_logits", [1e4, -1e4], [0.0, 0.0], 5e3),
    ],
)
def test_value(name, outputs, targets, expected):
    loss = LOSSES[name](jnp.array([outputs]), jnp.array([targets]))
    np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-6)


@pytest.fixture
def images(key):
    outputs, targets = jax.random.uniform(key, (2, 5, 4, 3, 2))
    return outputs, targets


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("squared_error", optax.squared_error),
        ("absolute_error", lambda o, t: jnp.abs(o - t)),
        ("huber", optax.huber_loss),
        (
            "binary_cross_entropy",
            lambda o, t: optax.sigmoid_binary_cross_entropy(jnp.log(o / (1 - o)), t),
        ),
        ("binary_cross_entropy_of_logits", optax.sigmoid_binary_cross_entropy),
    ],
)
def test_equals_optax_averaged_over_pixels(images, name, reference):
    loss = jax.jit(LOSSES[name])(*images)
    assert loss.shape == (5,)
    expected = reference(*images).reshape(5, -1).mean(axis=1)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOSSES)
def test_is_float32_with_finite_gradients_at_the_limits(name):
    outputs = jnp.array([[0.0, 1.0, 0.0, 1.0, 0.5]], jnp.bfloat16)
    targets = jnp.array([[0.0, 1.0, 1.0, 0.0, 0.5]], jnp.bfloat16)
    loss = LOSSES[name]
    assert loss(outputs, targets).dtype == jnp.float32
    gradient = jax.grad(lambda outputs: loss(outputs, targets).sum())(outputs)
    assert np.isfinite(gradient.astype(jnp.float32)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_is_lowest_at_the_target(name, images):
    _, targets = images
    at = jnp.log(targets / (1 - targets)) if name.endswith("logits") else targets
    loss = LOSSES[name]
    for shift in (-0.01, 0.01):
        assert (loss(at, targets) < loss(at + shift, targets)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_refuses_other_shapes(name, images):
    outputs, targets = images
    message = r"outputs \(5, 4, 3, 2\) and targets \(5, 4, 3, 1\) differ in shape"
    with pytest.raises(ValueError, match=message):
        LOSSES[name](outputs, targets[..., :1])


def test_half_squared_error_has_the_difference_for_its_gradient():
    outputs, targets = jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 1.0]])
    slope = jax.grad(lambda y: half_squared_error(y, targets).sum())(outputs)
    np.testing.assert_array_equal(slope, outputs - targets)


def test_absolute_error_has_the_sign_for_its_gradient():
    outputs = jnp.array([[2.0, -3.0, 0.0, 1e30]])
    slope = jax.grad(lambda y: absolute_error(y, jnp.zeros((1, 4))).sum())(outputs)
    np.testing.assert_array_equal(4 * slope, [[1, -1, 0, 1]])


def test_the_gradient_of_huber_is_clipped():
    outputs = jnp.array([[0.5, -0.5, 7.0, -1e30]])
    slope = jax.grad(lambda y: huber(y, jnp.zeros((1, 4)), delta=2.0).sum())(outputs)
    np.testing.assert_allclose(4 * slope, [[0.5, -0.5, 2.0, -2.0]], rtol=1e-6)


@pytest.mark.parametrize("delta", [0, -1.0, float("nan"), float("inf")])
def test_huber_refuses_a_delta(delta):
    with pytest.raises(ValueError, match="must be a finite number above 0"):
        huber(jnp.zeros((1, 2)), jnp.zeros((1, 2)), delta=delta)
