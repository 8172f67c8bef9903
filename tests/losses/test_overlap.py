import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.losses import dice_loss, jaccard_loss

SURE = 50.0  # a probability of 1 - 2e-22


def binary(predicted):
    """Returns the logits of sure answers, `[1, places, 1]`."""
    return SURE * (2 * jnp.array(predicted, jnp.float32) - 1)[None, :, None]


@pytest.mark.parametrize(
    ("predicted", "true", "dice", "jaccard"),
    [
        # With smooth = 1: 1 - (2 both + 1) / (sizes + 1), 1 - (both + 1) / (union + 1).
        ([1, 1, 0, 0], [1, 1, 0, 0], 0, 0),
        ([1, 1, 0, 0], [1, 0, 1, 0], 1 - 3 / 5, 1 - 2 / 4),
        ([1, 1, 0, 0], [0, 0, 1, 1], 1 - 1 / 5, 1 - 1 / 5),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0, 0),
        ([1, 0, 0, 0], [0, 0, 0, 0], 1 / 2, 1 / 2),
    ],
)
@pytest.mark.parametrize("squared", [False, True])
def test_value_of_one_class(predicted, true, dice, jaccard, squared):
    labels = jnp.array(true)[None, :, None]
    got = dice_loss(binary(predicted), labels, squared=squared)
    np.testing.assert_allclose(got, [dice], atol=1e-6)
    got = jaccard_loss(binary(predicted), labels, squared=squared)
    np.testing.assert_allclose(got, [jaccard], atol=1e-6)


def test_soft_probabilities():
    # p = 1/2 at two places, one of them true: both 1/2, sizes 1 (squares 1/2) and 1.
    logits, labels = jnp.zeros((1, 2, 1)), jnp.array([[[1], [0]]])
    cases = [
        (dice_loss, False, 1 - 1.1 / 2.1),
        (dice_loss, True, 1 - 1.1 / 1.6),
        (jaccard_loss, False, 1 - 0.6 / 1.6),
        (jaccard_loss, True, 1 - 0.6 / 1.1),
    ]
    for loss, squared, expected in cases:
        got = loss(logits, labels, smooth=0.1, squared=squared)
        np.testing.assert_allclose(got, [expected], rtol=1e-5)


@pytest.mark.thorough
def test_classes_are_averaged_whatever_their_size():
    # Three classes at four places: class 1 is half found, class 2 not at all.
    labels = jnp.array([[[0, 1], [1, 2]]])
    predicted = jnp.array([[[0, 1], [0, 0]]])
    logits = SURE * jnp.eye(3)[predicted]
    expected = np.mean([1 - 3 / 5, 1 - 3 / 4, 1 - 1 / 2])
    np.testing.assert_allclose(dice_loss(logits, labels), [expected], rtol=1e-5)
    expected = np.mean([1 - 2 / 4, 1 - 2 / 3, 1 - 1 / 2])
    np.testing.assert_allclose(jaccard_loss(logits, labels), [expected], rtol=1e-5)


def test_jaccard_follows_from_dice():
    random = np.random.default_rng(0)
    logits = random.standard_normal((4, 6, 1), np.float32)
    labels = random.uniform(size=(4, 6, 1)) < 0.5
    dice = dice_loss(logits, labels, smooth=1e-6)
    jaccard = jaccard_loss(logits, labels, smooth=1e-6)
    np.testing.assert_allclose(jaccard, 2 * dice / (1 + dice), rtol=1e-4)


@pytest.mark.parametrize("loss", [dice_loss, jaccard_loss])
def test_an_index_outside_the_classes_gives_nan(loss):
    got = loss(jnp.zeros((3, 2, 4)), jnp.array([[0, 3], [0, 4], [-1, 0]]))
    assert np.isnan(got).tolist() == [False, True, True]


@pytest.mark.parametrize("loss", [dice_loss, jaccard_loss])
@pytest.mark.parametrize(
    ("logits", "labels", "dtype", "message"),
    [
        ((2, 3), (2,), "int32", r"logits \(2, 3\) and labels \(2,\) do not fit"),
        ((2, 4, 3), (2, 3), "int32", "do not fit"),
        ((2, 4, 3), (2, 4), "float32", "labels must be integer class indices"),
    ],
)
def test_refuses(loss, logits, labels, dtype, message):
    with pytest.raises(ValueError, match=message):
        loss(jnp.zeros(logits), jnp.zeros(labels, dtype))
