import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.losses import sigmoid_cross_entropy

LOG2, LOG3 = np.log(2), np.log(3)


@pytest.mark.parametrize(
    ("logits", "labels", "options", "expected"),
    [
        ([0.0], [1], {}, LOG2),
        ([LOG3], [1], {}, 2 * LOG2 - LOG3),  # probability 3/4
        ([LOG3], [0], {}, 2 * LOG2),
        ([LOG3], [1], {"positive_weight": 5.0}, 5 * (2 * LOG2 - LOG3)),
        ([LOG3], [0], {"positive_weight": 5.0}, 2 * LOG2),
        ([LOG3], [1], {"label_smoothing": 0.2}, 2 * LOG2 - 0.9 * LOG3),
        ([1e4], [0], {}, 1e4),
        ([1e4], [1], {}, 0.0),
        ([[0.0, LOG3]], [[1, 0]], {}, 1.5 * LOG2),
        ([[0.0, 0.0]], [[1, 1]], {"positive_weight": [1.0, 3.0]}, 2 * LOG2),
    ],
)
def test_value(logits, labels, options, expected):
    loss = sigmoid_cross_entropy(jnp.array(logits), jnp.array(labels), **options)
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_equals_optax():
    random = np.random.default_rng(0)
    logits = 5 * random.standard_normal((7, 4), np.float32)
    labels = random.uniform(size=(7, 4)).astype(np.float32)
    expected = optax.sigmoid_binary_cross_entropy(logits, labels).mean(axis=1)
    got = sigmoid_cross_entropy(logits, labels)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "labels", "options", "message"),
    [
        ((2, 3), (2,), {}, r"logits \(2, 3\) and labels \(2,\) differ in shape"),
        ((2, 3), (2, 1), {}, "differ in shape"),
        ((2, 3), (2, 3), {"label_smoothing": 1}, r"label_smoothing=1 is not in \[0, 1"),
        ((2, 3), (2, 3), {"positive_weight": -1.0}, "positive_weight=-1.0 must be 0"),
        (
            (2, 3),
            (2, 3),
            {"positive_weight": [1.0, 2.0]},
            r"positive_weight of shape \(2,\) does not fit logits \(2, 3\)",
        ),
    ],
)
def test_refuses(logits, labels, options, message):
    with pytest.raises(ValueError, match=message):
        sigmoid_cross_entropy(jnp.zeros(logits), jnp.zeros(labels), **options)
