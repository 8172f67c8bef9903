"""Every loss, by name, through what all of them promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import losses
from jaxcnn.losses import LOSSES, list_losses, make_loss

#: Extreme scores: float32 ends at 3.4e38, and the sigmoid of 1e4 is 1.
EXTREMES = jnp.array([1e4, -1e4, 1e30, -1e30, 0.0, 3.0])


def batch_of(name, size=5):
    """Returns outputs and targets that suit a loss, `[size, ...]`."""
    random = np.random.default_rng(0)

    def scores(*shape):
        return jnp.asarray(3 * random.standard_normal((size, *shape)), jnp.float32)

    if name in list_losses("classification"):
        return scores(6), jnp.asarray(random.integers(0, 6, size))
    if name in list_losses("multi_label"):
        labels = random.uniform(size=(size, 6)) < 0.4
        return scores(6), jnp.asarray(labels, jnp.float32)
    if name in list_losses("segmentation"):
        return scores(4, 4, 6), jnp.asarray(random.integers(0, 6, (size, 4, 4)))
    pixels = random.uniform(size=(2, size, 12, 12, 1))
    return tuple(jnp.asarray(pixels, jnp.float32))


def extreme_batch(name):
    outputs, targets = batch_of(name)
    if name in ("ssim_loss", "binary_cross_entropy"):  # take images in [0, 1]
        return jnp.round(outputs), jnp.round(targets)
    if "squared" in name:  # their squares must fit in float32
        return jnp.resize(EXTREMES[jnp.array([0, 1, 4])], outputs.shape), targets
    if name == "margin_loss":  # takes lengths in [0, 1]
        return jnp.resize(jnp.array([0.0, 1.0]), outputs.shape), targets
    return jnp.resize(EXTREMES, outputs.shape), targets


def test_the_table_holds_every_loss():
    functions = {n for n in losses.__all__ if n not in ("LOSSES", "balanced_weights")}
    functions -= {"list_losses", "make_loss", "make_penalty"}
    assert set(LOSSES) == functions
    assert list_losses() == sorted(functions)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOSSES)
def test_one_finite_value_an_example_whatever_the_others_are(name):
    outputs, targets = batch_of(name)
    loss = make_loss(name)

    @jax.jit
    def both(outputs, targets):
        alone = [loss(outputs[k : k + 1], targets[k : k + 1]) for k in (0, 4)]
        return loss(outputs, targets), jnp.concatenate(alone)

    values, alone = both(outputs, targets)
    assert values.shape == (5,)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    np.testing.assert_allclose(np.array(values)[[0, 4]], alone, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_is_computed_in_float32(name):
    outputs, targets = batch_of(name)
    low = outputs.astype(jnp.bfloat16)
    loss = jax.jit(make_loss(name))
    values = loss(low, targets)
    assert values.dtype == jnp.float32
    expected = loss(low.astype(jnp.float32), targets)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_outputs_have_finite_losses_and_gradients(name):
    outputs, targets = extreme_batch(name)

    def total(outputs):
        # A mean: the sum of several losses of 1e30 times 36 would still fit.
        return make_loss(name)(outputs, targets).mean()

    value, gradient = jax.jit(jax.value_and_grad(total))(outputs)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if name not in ("binary_cross_entropy", "dice_loss", "jaccard_loss"):
        assert (gradient != 0).any()  # those three saturate


def test_options_are_bound():
    logits, labels = jnp.array([[0.0, 2.0]]), jnp.array([1])
    got = make_loss("focal_loss", gamma=0.0)(logits, labels)
    np.testing.assert_allclose(got, [np.log1p(np.exp(-2.0))], rtol=1e-6)
    weights = make_loss("softmax_cross_entropy", class_weights=[1.0, 2.0, 3.0])
    assert weights(jnp.zeros((1, 3)), jnp.array([2])) == pytest.approx(3 * np.log(3))
    several = make_loss("sigmoid_cross_entropy", positive_weight=[1.0, 2.0, 3.0])
    assert several(jnp.zeros((1, 3)), jnp.ones((1, 3))) == pytest.approx(2 * np.log(2))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focal", {}, r"Unknown loss 'focal'. Did you mean 'focal_loss'\?"),
        ("huber", {"dleta": 1}, r"no argument 'dleta'. Did you mean 'delta'\?"),
        ("huber", {"delta": "x"}, "The loss 'huber' cannot take {'delta': 'x'}"),
        ("huber", {"delta": 0}, "delta=0 must be a finite number above 0"),
        ("focal_loss", {"gamma": -1}, "gamma=-1 must be a finite number of 0 or more"),
        ("dice_loss", {"smooth": 0}, "smooth=0 must be a finite number above 0"),
        ("sigmoid_focal_loss", {"alpha": 2}, r"alpha=2 is not in \[0, 1\]"),
        ("squared_error", {"x": 1}, "no argument 'x'. Allowed: no arguments"),
    ],
)
def test_refuses_at_once(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_loss(name, **options)


def test_refuses_a_loss_of_another_kind():
    with pytest.raises(
        ValueError, match=r"Unknown loss 'huber'. .*Allowed: focal_loss"
    ):
        make_loss("huber", kind="classification")
    with pytest.raises(ValueError, match=r"kind of loss 'regresion'.*'regression'"):
        list_losses("regresion")
