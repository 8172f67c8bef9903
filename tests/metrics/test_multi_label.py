import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.metrics import all_labels_correct, labels_correct

LOGITS = jnp.array([[2.0, -1.0, 0.5, 0.0], [2.0, -1.0, 0.5, jnp.nan]])


@pytest.mark.parametrize(
    ("labels", "share", "exact"),
    [
        ([1, 0, 1, 0], [1.0, 0.75], [1, 0]),  # a logit of 0 is a no, nan is neither
        ([1, 0, 1, 1], [0.75, 0.75], [0, 0]),
        ([0, 1, 0, 1], [0.0, 0.0], [0, 0]),
        ([0.6, 0.4, 0.5, 0.1], [1.0, 0.75], [1, 0]),
    ],
)
def test_value(labels, share, exact):
    labels = jnp.tile(jnp.array(labels), (2, 1))
    got = jax.jit(labels_correct)(LOGITS, labels)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, share)
    np.testing.assert_array_equal(all_labels_correct(LOGITS, labels), exact)


def test_one_question_an_example():
    got = labels_correct(jnp.array([0.3, 0.7]), jnp.array([0, 1]), threshold=0.5)
    np.testing.assert_array_equal(got, [1, 1])
    got = all_labels_correct(jnp.array([0.3, 0.7]), jnp.array([0, 1]))
    np.testing.assert_array_equal(got, [0, 1])


@pytest.mark.parametrize("metric", [labels_correct, all_labels_correct])
def test_refuses_other_shapes(metric):
    with pytest.raises(ValueError, match=r"logits \(2, 4\) and labels \(2,\) differ"):
        metric(LOGITS, jnp.zeros(2))
