import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from jaxcnn.losses import balanced_weights, softmax_cross_entropy


def test_equals_scikit_learn():
    labels = np.repeat([0, 1, 2], [7, 2, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_weights(labels, 3)
    np.testing.assert_allclose(weights, expected)
    assert np.mean(np.array(weights)[labels]) == pytest.approx(1)


def test_a_class_that_does_not_occur_weighs_one():
    assert balanced_weights(np.array([0, 0, 0, 2]), 4) == (4 / 6, 1.0, 2.0, 1.0)


@pytest.mark.parametrize("labels", [[], [0, 3], [-1, 0]])
def test_refuses_labels(labels):
    with pytest.raises(
        ValueError, match=r"labels must be one or more, all in \[0, 3\)"
    ):
        balanced_weights(np.array(labels, np.int32), 3)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"class_weights of shape \(2,\) do not fit 3 classes: \(3,\)"),
        (2.0, r"class_weights of shape \(\) do not fit 3 classes"),
        ([1.0, -1.0, 1.0], "class_weights must be finite numbers of 0 or more"),
        ([1.0, np.nan, 1.0], "class_weights must be finite numbers of 0 or more"),
    ],
)
def test_refuses_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 1]), class_weights=weights)
