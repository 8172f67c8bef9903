"""What is dropped, how often, and that the expectation stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import DropBlock, Dropout, DropPath, SpatialDropout

LAYERS = {
    "dropout": Dropout,
    "spatial": SpatialDropout,
    "path": DropPath,
    "block": lambda rate: DropBlock(rate, 3),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def drop(module, x, seed=0):
    return module.apply({}, x, train=True, rngs={"dropout": jax.random.key(seed)})


@every_layer
def test_evaluation_and_rate_0_change_nothing_and_need_no_key(name):
    x = jnp.arange(48.0).reshape(2, 4, 3, 2)
    np.testing.assert_array_equal(LAYERS[name](0.5).apply({}, x, train=False), x)
    np.testing.assert_array_equal(LAYERS[name](0.0).apply({}, x, train=True), x)


@pytest.mark.thorough
@every_layer
def test_the_expectation_stays_and_keys_differ(name):
    x = jnp.ones((64, 8, 8, 16))
    module = LAYERS[name](0.25)
    draws = jax.jit(jax.vmap(lambda seed: drop(module, x, seed)))(jnp.arange(8))
    assert abs(float(draws.mean()) - 1) < 0.05
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], drop(module, x, 0))


@pytest.mark.thorough
@every_layer
def test_kept_values_are_all_scaled_alike_and_gradients_follow(name):
    x = jnp.ones((8, 8, 8, 4), jnp.bfloat16)
    y, pull = jax.vjp(lambda x: drop(LAYERS[name](0.5), x), x)
    assert y.dtype == jnp.bfloat16
    assert len(np.unique(np.asarray(y, np.float32))) == 2
    np.testing.assert_array_equal(pull(jnp.ones_like(y))[0], y)  # linear


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(32, 10, 3), (32, 4, 5, 3), (32, 2, 3, 4, 3)])
def test_spatial_dropout_takes_whole_channels(shape):
    y = np.asarray(drop(SpatialDropout(0.5), jnp.ones(shape)))
    y = y.reshape(shape[0], -1, shape[-1])
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert set(np.unique(y)) == {0, 2}
    by_example = y[:, 0]
    assert any(0 < row.sum() < 6 for row in by_example)  # channels by themselves


def test_drop_path_takes_whole_examples():
    y = np.asarray(drop(DropPath(0.25), jnp.ones((400, 2, 3))))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    assert abs((y[:, 0, 0] == 0).mean() - 0.25) < 0.07


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(2000, 20, 2), (999, 9, 10, 2), (640, 6, 7, 5, 2)])
def test_drop_block_drops_the_share_of_its_formula(shape):
    rate, block = 0.2, 3
    spatial = np.array(shape[1:-1])
    gamma = rate * np.prod(spatial / block / (spatial - block + 1))
    # How many blocks cover each position, along each axis and in all.
    covers = [np.convolve(np.ones(n - block + 1), np.ones(block)) for n in spatial]
    count = np.prod(np.meshgrid(*covers, indexing="ij"), axis=0)
    share = (1 - (1 - gamma) ** count).mean()
    assert 0.8 * rate < share < rate
    y = np.asarray(drop(DropBlock(rate, block), jnp.ones(shape)))
    dropped = (y == 0).mean()
    np.testing.assert_allclose(dropped, share, rtol=0.06)
    assert np.unique(y[y > 0]).size == 1
    np.testing.assert_allclose(y.max(), 1 / (1 - dropped), rtol=1e-5)
    np.testing.assert_allclose(y.mean(), 1, rtol=1e-5)


def test_dropped_positions_are_unions_of_whole_blocks():
    y = np.asarray(drop(DropBlock(0.2, 3), jnp.ones((4, 9, 8, 3))))
    covered = np.zeros(y.shape, bool)
    for row, column in np.ndindex(7, 6):
        block = (slice(None), slice(row, row + 3), slice(column, column + 3))
        empty = (y[block] == 0).all((1, 2), keepdims=True)
        covered[block] |= empty
    np.testing.assert_array_equal(y == 0, covered)
    assert not np.array_equal(y[..., 0], y[..., 1])


@pytest.mark.thorough
def test_the_probability_of_a_block_is_the_papers():
    """One seed position is left where the block is as long as the axis, less one."""
    rate, size, block = 0.3, 5, 4
    gamma = rate / block**2 * size**2 / (size - block + 1) ** 2  # equation 1
    y = drop(DropBlock(rate, block), jnp.ones((4000, size, size, 1)))
    untouched = float((y > 0).all((1, 2, 3)).mean())
    np.testing.assert_allclose(untouched, (1 - gamma) ** 4, atol=0.025)


def test_drop_block_shares_its_blocks_if_told_to():
    y = np.asarray(drop(DropBlock(0.3, 2, per_channel=False), jnp.ones((4, 6, 6, 5))))
    np.testing.assert_array_equal(y, np.broadcast_to(y[..., :1], y.shape))
    assert (y == 0).any()


def test_a_block_larger_than_the_map_drops_all_of_it():
    y = np.asarray(drop(DropBlock(0.5, 7), jnp.ones((200, 3, 2, 1))))
    assert set((y > 0).mean((1, 2, 3))) == {0, 1}
    assert abs((y == 0).mean() - 0.5) < 0.15


def test_a_batch_that_is_dropped_whole_is_zero_not_nan():
    module = DropBlock(0.999, 4)
    y = [drop(module, jnp.ones((1, 4, 4, 1)), seed) for seed in range(3)]
    assert np.isfinite(y).all()
    assert np.min(y) == 0


@every_layer
@pytest.mark.parametrize("rate", [-0.1, 1.0, "half"])
def test_wrong_rates_are_explained(name, rate):
    with pytest.raises(
        ValueError, match="rate must be a number of at least 0 and less"
    ):
        LAYERS[name](rate)


def test_wrong_blocks_are_explained():
    with pytest.raises(ValueError, match=r"block_size must be .* at least 1, got 0"):
        DropBlock(0.1, 0)
    with pytest.raises(ValueError, match=r"DropBlock needs .* got shape \(2, 3\)"):
        drop(DropBlock(0.1), jnp.ones((2, 3)))
