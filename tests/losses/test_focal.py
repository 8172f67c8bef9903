import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.losses import (
    focal_loss,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
    softmax_cross_entropy,
)

LOG2, LOG3 = np.log(2), np.log(3)


@pytest.mark.parametrize(
    ("logits", "label", "options", "expected"),
    [
        ([0.0, 0.0], 0, {"gamma": 2.0}, LOG2 / 4),
        # Probabilities 1/4 and 3/4.
        ([0.0, LOG3], 0, {"gamma": 1.0}, 0.75 * 2 * LOG2),
        ([0.0, LOG3], 1, {"gamma": 2.0}, (2 * LOG2 - LOG3) / 16),
        ([0.0, LOG3], 1, {"gamma": 0.5}, (2 * LOG2 - LOG3) / 2),
        ([0.0, LOG3], 0, {"class_weights": [3.0, 1.0]}, 3 * 9 / 16 * 2 * LOG2),
        ([-1e4, 1e4], 0, {}, 2e4),
        ([-1e4, 1e4], 1, {}, 0.0),
        ([0.0, -np.inf], 0, {"gamma": 0.0}, 0.0),
        ([0.0, 0.0], 2, {}, np.nan),
        ([0.0, 0.0], -1, {}, np.nan),
    ],
)
def test_value(logits, label, options, expected):
    loss = focal_loss(jnp.array([logits]), jnp.array([label]), **options)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_sure_example_has_a_finite_gradient(gamma):
    logits = jnp.array([[200.0, 0.0], [200.0, 0.0]])
    slope = jax.grad(lambda x: focal_loss(x, jnp.array([0, 1]), gamma=gamma).sum())(
        logits
    )
    assert np.isfinite(slope).all()
    assert abs(slope[1]).max() > 0.9


def scores(*shape):
    return 4 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_gamma_zero_is_the_cross_entropy():
    logits, labels = scores(8, 5), np.arange(8) % 5
    yes = np.eye(5, dtype=np.float32)[labels]

    @jax.jit
    def pairs(logits):
        focal = focal_loss(logits, labels, gamma=0.0)
        sigmoid = sigmoid_focal_loss(logits, yes, gamma=0.0, alpha=None)
        plain = softmax_cross_entropy(logits, labels)
        return (focal, plain), (sigmoid, sigmoid_cross_entropy(logits, yes))

    for got, expected in pairs(logits):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "options", "expected"),
    [
        ([0.0], [1.0], {}, LOG2 / 16),  # 0.25 * (1/2)^2 * log 2
        ([0.0], [0.0], {}, 3 * LOG2 / 16),
        ([LOG3], [1.0], {"gamma": 1.0, "alpha": None}, (2 * LOG2 - LOG3) / 4),
        ([LOG3], [0.0], {"gamma": 1.0, "alpha": None}, 0.75 * 2 * LOG2),
        ([1e4], [0.0], {"alpha": 0.5}, 5e3),
        ([1e4], [1.0], {}, 0.0),
    ],
)
def test_value_of_yes_and_no(logits, labels, options, expected):
    loss = sigmoid_focal_loss(jnp.array(logits), jnp.array(labels), **options)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-9)
    # Several questions of an example are averaged.
    several = jnp.array([[logits[0]] * 3]), jnp.array([[labels[0]] * 3])
    loss = sigmoid_focal_loss(*several, **options)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.0, 0.6), (2.0, None)])
def test_yes_and_no_equal_optax(gamma, alpha):
    logits, labels = scores(6, 4), (scores(24)[::-1].reshape(6, 4) > 0).astype("f")
    expected = optax.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma).mean(
        axis=1
    )
    got = sigmoid_focal_loss(logits, labels, gamma=gamma, alpha=alpha)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "options", "message"),
    [
        ((2, 1), (2,), {}, "two classes or more: see sigmoid_focal_loss"),
        ((2, 3), (3,), {}, r"logits \(2, 3\) and labels \(3,\) do not fit"),
        ((2, 3), (2,), {"gamma": np.nan}, "gamma=nan must be a finite number"),
        ((2, 3), (2,), {"class_weights": [1.0]}, r"shape \(1,\) do not fit 3 classes"),
    ],
)
def test_refuses(logits, labels, options, message):
    with pytest.raises(ValueError, match=message):
        focal_loss(jnp.zeros(logits), jnp.zeros(labels, jnp.int32), **options)
