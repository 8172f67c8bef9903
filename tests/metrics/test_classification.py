import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.metrics import all_correct, correct, top_k_correct

NAN = float("nan")


@pytest.mark.parametrize(
    ("logits", "label", "found"),
    [
        # Whether the label is found for k = 1, 2, 3.
        ([3.0, 2.0, 1.0], 0, [1, 1, 1]),
        ([3.0, 2.0, 1.0], 1, [0, 1, 1]),
        ([3.0, 2.0, 1.0], 2, [0, 0, 1]),
        ([-1.0, -3.0, -2.0], 0, [1, 1, 1]),
        # Ties: the lowest index first.
        ([1.0, 1.0, 1.0], 0, [1, 1, 1]),
        ([1.0, 1.0, 1.0], 1, [0, 1, 1]),
        ([1.0, 1.0, 1.0], 2, [0, 0, 1]),
        ([0.0, 2.0, 2.0], 2, [0, 1, 1]),
        ([-jnp.inf, 0.0, -jnp.inf], 2, [0, 0, 1]),
        # A nan ranks first and is never found.
        ([NAN, 2.0, 1.0], 0, [0, 0, 0]),
        ([NAN, 2.0, 1.0], 1, [0, 1, 1]),
        ([NAN, NAN, NAN], 1, [0, 0, 0]),
        # Labels outside the classes.
        ([3.0, 2.0, 1.0], -1, [0, 0, 0]),
        ([-3.0, -2.0, -1.0], 3, [0, 0, 0]),
    ],
)
def test_value(logits, label, found):
    logits, labels = jnp.array([logits]), jnp.array([label])
    for k, expected in zip((1, 2, 3), found, strict=True):
        assert top_k_correct(logits, labels, k).tolist() == [expected], k
    assert correct(logits, labels).tolist() == [found[0]]


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equals_top_k_and_argmax(key, dtype):
    # Integers, so that there are ties (and no -0.0, which top_k puts below 0.0).
    logits = jax.random.randint(key, (200, 7), -4, 5).astype(dtype)
    labels = jax.random.randint(jax.random.key(1), (200,), 0, 7)
    for k in (1, 3, 7):
        _, top = jax.lax.top_k(logits, k)
        expected = (top == labels[:, None]).any(axis=1).astype(jnp.float32)
        found = jax.jit(top_k_correct, static_argnums=2)(logits, labels, k)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(correct(logits, labels), logits.argmax(1) == labels)


@pytest.mark.parametrize(
    ("logits", "labels", "k", "message"),
    [
        ((4, 3), (4,), 0, "k=0 is not between 1 and the 3 classes"),
        ((4, 3), (4,), 4, "k=4 is not between 1 and the 3 classes"),
        ((4, 3), (4, 1), 1, r"logits \(4, 3\) and labels \(4, 1\) do not fit"),
        ((4, 3), (3,), 1, r"logits \(4, 3\) and labels \(3,\) do not fit"),
        ((4,), (4,), 1, r"\[batch, classes\] and \[batch\] are needed"),
    ],
)
def test_refuses(logits, labels, k, message):
    with pytest.raises(ValueError, match=message):
        top_k_correct(jnp.zeros(logits), jnp.zeros(labels, jnp.int32), k)


def test_refuses_labels_that_are_not_integers():
    with pytest.raises(ValueError, match="integer class indices, not float32"):
        correct(jnp.zeros((4, 3)), jnp.zeros(4))


def test_all_correct_needs_every_label_among_the_highest():
    logits = jnp.array([[0.5, 0.1, 0.4, 0.2]] * 5)
    labels = jnp.array([[0, 2], [2, 0], [0, 3], [1, 3], [0, 7]])
    np.testing.assert_array_equal(all_correct(logits, labels), [1, 1, 0, 0, 0])


def test_all_correct_of_one_label_is_correct():
    random = np.random.default_rng(0)
    logits = jnp.array(random.normal(size=(32, 5)).astype(np.float32))
    labels = jnp.array(random.integers(0, 5, 32))
    np.testing.assert_array_equal(
        all_correct(logits, labels[:, None]), correct(logits, labels)
    )


def test_all_correct_explains_a_wrong_shape():
    with pytest.raises(ValueError, match=r"labels \(3,\) must be \[batch, k\]"):
        all_correct(jnp.zeros((3, 4)), jnp.zeros(3, int))
    with pytest.raises(ValueError, match=r"k=5 is not between 1 and the 4 classes"):
        all_correct(jnp.zeros((3, 4)), jnp.zeros((3, 5), int))
