import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.losses import softmax_cross_entropy


@pytest.mark.parametrize(
    ("logits", "label", "label_smoothing", "expected"),
    [
        ([0.0, 0.0, 0.0, 0.0], 2, 0.0, np.log(4)),
        ([0.0, 0.0, 0.0, 0.0], 2, 0.3, np.log(4)),
        # Probabilities 1/4 and 3/4.
        ([0.0, np.log(3)], 0, 0.0, np.log(4)),
        ([0.0, np.log(3)], 1, 0.0, np.log(4 / 3)),
        ([0.0, np.log(3)], 1, 0.2, 0.9 * np.log(4 / 3) + 0.1 * np.log(4)),
        ([1e4, 0.0], 1, 0.0, 1e4),
        ([1e4, 0.0], 0, 0.0, 0.0),
        ([-np.inf, 0.0, 0.0], 1, 0.0, np.log(2)),
        ([-np.inf, 0.0, 0.0], 0, 0.0, np.inf),
    ],
)
def test_value(logits, label, label_smoothing, expected):
    logits, labels = jnp.array([logits], jnp.float32), jnp.array([label])
    loss = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_equals_optax(key, label_smoothing):
    logits = 5 * jax.random.normal(key, (32, 7))
    labels = jax.random.randint(jax.random.key(1), (32,), 0, 7)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, 7), label_smoothing)

    def ours(logits):
        loss = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return loss.mean(), loss

    def theirs(logits):
        loss = optax.softmax_cross_entropy(logits, targets)
        return loss.mean(), loss

    got, loss = jax.jit(jax.grad(ours, has_aux=True))(logits)
    expected, reference = jax.jit(jax.grad(theirs, has_aux=True))(logits)
    np.testing.assert_allclose(loss, reference, rtol=1e-5)
    np.testing.assert_allclose(got, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_computes_in_float32(dtype):
    logits = jnp.array([[200.0, 0.0, 199.0]], dtype)
    loss = softmax_cross_entropy(logits, jnp.array([0]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, [np.log1p(np.exp(-1.0))], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradients_of_extreme_logits_are_finite(label_smoothing):
    logits = jnp.array([[1e4, -1e4, 0.0], [3e38, 0.0, -3e38]])

    def loss(logits):
        return softmax_cross_entropy(
            logits, jnp.array([1, 1]), label_smoothing=label_smoothing
        )[0]

    assert np.isfinite(jax.jit(jax.grad(loss))(logits)).all()


def test_labels_outside_the_classes_give_nan_and_no_gradient():
    labels = jnp.array([-1, 3, 0])
    loss = softmax_cross_entropy(jnp.zeros((3, 3)), labels)
    np.testing.assert_array_equal(jnp.isnan(loss), [True, True, False])

    def masked(logits):
        loss = softmax_cross_entropy(logits, labels)
        return jnp.where(jnp.isnan(loss), 0, loss).sum()

    gradient = jax.grad(masked)(jnp.zeros((3, 3)))
    np.testing.assert_allclose(gradient[:2], 0)
    np.testing.assert_allclose(gradient[2], [-2 / 3, 1 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, 1.5, float("nan")])
def test_refuses_label_smoothing(label_smoothing):
    with pytest.raises(ValueError, match=r"label_smoothing=.* is not in \[0, 1\)"):
        softmax_cross_entropy(
            jnp.zeros((2, 3)), jnp.array([0, 1]), label_smoothing=label_smoothing
        )


@pytest.mark.parametrize(
    ("logits", "labels", "dtype", "message"),
    [
        ((2, 3), (2, 1), "int32", r"logits \(2, 3\) and labels \(2, 1\) do not fit"),
        ((2, 3), (3,), "int32", r"logits \(2, 3\) and labels \(3,\) do not fit"),
        ((2, 4, 3), (2,), "int32", r"\[batch, classes\] and \[batch\] are needed"),
        ((2, 3), (2,), "float32", "labels must be integer class indices, not float32"),
    ],
)
def test_refuses(logits, labels, dtype, message):
    with pytest.raises(ValueError, match=message):
        softmax_cross_entropy(jnp.zeros(logits), jnp.zeros(labels, dtype))
