"""Whether a map means anything: deletion, insertion, randomised weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import linen as nn

from jaxcnn import interpret
from jaxcnn.interpret.faithfulness import _baseline


class Brightness(nn.Module):
    """Two logits: 0, and four times the sum of the first row."""

    @nn.compact
    def __call__(self, images):
        self.param("unused", nn.initializers.zeros, (1,))
        row = images[:, 0].sum(axis=(1, 2))
        return jnp.stack([jnp.zeros_like(row), 4 * row], axis=1)


IMAGES = jnp.ones((1, 4, 4, 1))
ASKED = (Brightness(), {"params": {"unused": jnp.zeros(1)}}, IMAGES)
BEST = jnp.zeros((1, 4, 4)).at[0, 0].set(1.0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_deletion_and_insertion_by_hand():
    """The first row goes, or comes, in the first of four steps."""
    none, whole = sigmoid(0.0), sigmoid(16.0)
    found = interpret.deletion_score(*ASKED, BEST, steps=4)
    np.testing.assert_allclose(found.shares, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.values[:, 0], [whole] + [none] * 4, rtol=1e-6)
    np.testing.assert_allclose(found.area, (whole / 2 + 3.5 * none) / 4, rtol=1e-6)
    found = interpret.insertion_score(*ASKED, BEST, 1, steps=4, baseline=0.0)
    np.testing.assert_allclose(found.values[:, 0], [none] + [whole] * 4, rtol=1e-6)
    found = interpret.deletion_score(*ASKED, -BEST, 1, steps=4)
    np.testing.assert_allclose(found.values[:, 0], [whole] * 4 + [none], rtol=1e-6)


def test_a_function_is_shown_as_it_is():
    found = interpret.deletion_score(*ASKED, BEST, lambda out: out[:, 1], steps=4)
    np.testing.assert_allclose(found.values[:, 0], [16, 0, 0, 0, 0])


@pytest.mark.thorough
def test_a_map_of_noise_lies_between():
    noise = interpret.random_maps(jax.random.key(0), (1, 4, 4))
    areas = [
        float(interpret.deletion_score(*ASKED, maps, 1, steps=16).area[0])
        for maps in (BEST, noise, -BEST)
    ]
    assert areas == sorted(areas)
    assert areas[0] < areas[1] < areas[2]


@pytest.mark.thorough
def test_equal_values_do_not_go_row_by_row():
    found = interpret.deletion_score(
        *ASKED, jnp.zeros((1, 4, 4)), lambda out: out[:, 1], steps=4
    )
    assert found.values[1, 0] > 0


def test_what_takes_the_place():
    """The mean, and a blur that keeps what is constant, also at the border."""
    image = jnp.ones((1, 8, 8, 2)).at[0, 4:, :, 1].set(0.0)
    mean, blur = (np.asarray(_baseline(image, name))[0] for name in ("mean", "blur"))
    np.testing.assert_allclose(mean[..., 0], 1)
    np.testing.assert_allclose(mean[..., 1], 0.5)
    np.testing.assert_allclose(blur[..., 0], 1, atol=1e-6)
    edge = blur[:, 3, 1]
    assert (np.diff(edge) <= 1e-6).all()
    # Half way between 1 and 0 at the edge, and alike from both sides.
    np.testing.assert_allclose(edge + edge[::-1], 1, atol=1e-6)
    assert 0.5 < edge[3] < 0.9 < edge[0]


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (jnp.zeros((1, 3, 3)), {}, r"maps must be \[1, 4, 4\]"),
        (BEST, {"baseline": "blurr"}, "baseline='blurr' is unknown"),
        (BEST, {"steps": 0}, "steps must be a whole number"),
        (BEST, {"baseline": np.ones(3)}, "does not fit images"),
        (BEST, {"target": 2}, "target=2 is no class"),
    ],
)
def test_what_cannot_be_scored(maps, options, message):
    with pytest.raises(ValueError, match=message):
        interpret.deletion_score(*ASKED, maps, **options)


def test_random_maps():
    key = jax.random.key(0)
    fine, coarse = (interpret.random_maps(key, (2, 8, 8), n) for n in (None, 2))
    assert fine.shape == coarse.shape == (2, 8, 8)
    assert np.abs(np.diff(coarse)).max() < np.abs(np.diff(fine)).max()
    with pytest.raises(ValueError, match="cells must be a whole number"):
        interpret.random_maps(key, (2, 8, 8), 0)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 5, (3, 4, 4)).astype(np.float32)  # many values are equal
    other = one + rng.normal(size=one.shape).astype(np.float32)
    found = interpret.rank_correlation(jnp.asarray(one), jnp.asarray(other))
    expected = [
        scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic
        for a, b in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    flat = jnp.ones((3, 4, 4))
    np.testing.assert_array_equal(interpret.rank_correlation(flat, one), 0)
    with pytest.raises(ValueError, match="maps of different shapes"):
        interpret.rank_correlation(flat, jnp.ones((3, 4, 5)))


class Small(nn.Module):
    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(4, (3, 3), name="conv1")(images))
        x = nn.relu(nn.Conv(4, (3, 3), name="conv2")(x)).mean(axis=(1, 2))
        return nn.Dense(3, name="head")(x)


def small():
    images = jax.random.uniform(jax.random.key(0), (2, 6, 6, 1))
    return Small(), Small().init(jax.random.key(1), images), images


@pytest.mark.thorough
def test_the_parts_are_drawn_anew_from_the_head_down():
    model, variables, images = small()
    asked = []

    def explain(variables, images, target):
        asked.append((variables, target))
        return images[..., 0]

    key = jax.random.key(2)
    found = interpret.randomised_weights_check(explain, model, variables, images, key)
    assert found.parts == ("head", "conv2", "conv1")
    np.testing.assert_allclose(found.correlation, 1)  # a method blind to the weights
    top = model.apply(variables, images).argmax(axis=1)
    for _, target in asked:
        np.testing.assert_array_equal(target, top)
    kernels = [each["params"]["conv2"]["kernel"] for each, _ in asked]
    trained = variables["params"]["conv2"]["kernel"]
    assert [(k != trained).any() for k in kernels] == [False, False, True, True]
    asked.clear()
    interpret.randomised_weights_check(
        explain, model, variables, images, key, cascade=False
    )
    kernels = [each["params"]["conv2"]["kernel"] for each, _ in asked]
    assert [(k != trained).any() for k in kernels] == [False, False, True, False]


@pytest.mark.thorough
def test_a_map_of_the_weights_changes_with_them():
    model, variables, images = small()
    again = interpret.randomised_weights_check(
        "saliency", model, variables, images, jax.random.key(1)
    )
    np.testing.assert_allclose(again.correlation, 1, atol=1e-5)  # the same weights
    other = interpret.randomised_weights_check(
        "saliency", model, variables, images, jax.random.key(2)
    )
    assert other.correlation.shape == (3, 2)
    assert (other.correlation[-1] < 0.9).all()
    with pytest.raises(ValueError, match=r"method='salience' is unknown"):
        interpret.randomised_weights_check(
            "salience", model, variables, images, jax.random.key(2)
        )
