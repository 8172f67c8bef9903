"""Quadratic kappa from means equals that of the confusion matrix."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.metrics import (
    ConfusionMatrix,
    cohen_kappa,
    grade_moments,
    quadratic_kappa,
    with_quadratic_kappa,
)


def graded(seed, count):
    """Returns logits of five grades and labels that agree more often than not."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    logits = rng.normal(size=(count, 5)) + 2 * np.eye(5)[labels]
    return jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.int32)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_confusion_matrix_under_a_mask_and_in_parts(seed):
    logits, labels = graded(seed, 60)
    mask = jnp.asarray(np.random.default_rng(seed).integers(0, 2, 60), jnp.float32)
    parts = [
        grade_moments(logits[part], labels[part], mask[part])
        for part in (slice(0, 37), slice(37, 60))
    ]
    means = {
        name: float((parts[0][name] + parts[1][name]).compute()) for name in parts[0]
    }
    keep = np.asarray(mask) > 0
    matrix = ConfusionMatrix.of(logits[keep].argmax(axis=1), labels[keep], 5)
    expected = cohen_kappa(np.asarray(matrix.counts), "quadratic")
    assert quadratic_kappa(means) == pytest.approx(expected, abs=1e-6)


def test_one_grade_alone_is_chance():
    found = grade_moments(jnp.eye(3)[:1].repeat(4, axis=0), jnp.zeros(4, jnp.int32))
    assert quadratic_kappa({k: float(v.compute()) for k, v in found.items()}) == 0.0


def test_takes_the_place_of_its_means():
    logits, labels = graded(0, 20)
    found = grade_moments(logits, labels)
    values = {"loss": 0.5, **{k: float(v.compute()) for k, v in found.items()}}
    assert list(with_quadratic_kappa(values)) == ["loss", "quadratic_kappa"]


def test_labels_must_be_classes():
    with pytest.raises(ValueError, match="labels must be integer"):
        grade_moments(jnp.eye(3), jnp.zeros(3))
