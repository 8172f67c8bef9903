import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    precision_score,
    recall_score,
)

from jaxcnn.metrics import Mean, balanced_accuracy, recall_and_precision


@pytest.fixture
def scored():
    """Returns logits and labels of 60 examples of four classes."""
    labels = np.arange(60) % 4
    noise = np.random.default_rng(0).standard_normal((60, 4), np.float32)
    return noise + np.eye(4, dtype=np.float32)[labels], labels


def computed(found):
    found = jax.jit(lambda found: {k: mean.compute() for k, mean in found.items()})(
        found
    )
    return {name: float(value) for name, value in found.items()}


def test_parts_merge_to_what_scikit_learn_finds_in_the_whole(scored):
    logits, labels = scored
    parts = [
        jax.jit(recall_and_precision)(logits[part], labels[part])
        for part in (slice(0, 7), slice(7, 60))
    ]
    merged = jax.tree.map(
        lambda *means: sum(means[1:], means[0]),
        *parts,
        is_leaf=lambda x: isinstance(x, Mean),
    )
    values, predicted = computed(merged), logits.argmax(axis=1)
    recalls = recall_score(labels, predicted, average=None)
    precisions = precision_score(labels, predicted, average=None)
    for k in range(4):
        assert values[f"recall_{k}"] == pytest.approx(recalls[k])
        assert values[f"precision_{k}"] == pytest.approx(precisions[k])
    expected = balanced_accuracy_score(labels, predicted)
    assert balanced_accuracy(values) == pytest.approx(expected)


def test_padding_counts_nowhere(scored):
    logits, labels = scored
    mask = (np.arange(60) < 41).astype(np.float32)
    measure = jax.jit(recall_and_precision)
    padded = computed(measure(logits, labels, mask))
    assert padded == computed(measure(logits[:41], labels[:41]))


def test_a_class_that_is_not_there_is_left_out():
    logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    values = computed(recall_and_precision(logits, jnp.array([0, 0])))
    assert values["recall_0"] == 0.5
    assert values["precision_1"] == 0
    assert np.isnan([values["recall_1"], values["precision_2"]]).all()
    assert balanced_accuracy(values) == 0.5


def test_a_nan_is_not_found():
    values = computed(recall_and_precision(jnp.full((1, 2), jnp.nan), jnp.array([0])))
    assert values["recall_0"] == values["precision_0"] == 0


def test_balanced_accuracy_needs_recalls():
    with pytest.raises(ValueError, match=r"needs recalls.*got \['loss'\].*per_class"):
        balanced_accuracy({"loss": 0.1})
