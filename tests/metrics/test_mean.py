import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.metrics import Mean


@pytest.mark.parametrize(
    ("values", "mask", "expected"),
    [
        ([1.0, 2.0, 6.0], None, 3.0),
        ([1.0, 2.0, 6.0], [1, 1, 0], 1.5),
        ([1.0, 2.0, 6.0], [0, 0, 1], 6.0),
        ([1.0, 2.0], [0.5, 1.5], 1.75),
        ([True, False, True, True], None, 0.75),
        (4.0, None, 4.0),
    ],
)
def test_value(values, mask, expected):
    mean = Mean.of(jnp.array(values), None if mask is None else jnp.array(mask))
    assert mean.total.dtype == mean.count.dtype == jnp.float32
    np.testing.assert_allclose(mean.compute(), expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_padding_is_ignored_even_if_not_finite(bad):
    mean = Mean.of(jnp.array([2.0, bad]), jnp.array([1.0, 0.0]))
    assert mean.compute() == 2.0
    assert np.isnan(Mean.of(jnp.array([2.0, np.nan])).compute())


@pytest.mark.parametrize("mean", [Mean.empty(), Mean.of(jnp.ones(3), jnp.zeros(3))])
def test_mean_of_nothing_is_nan_and_changes_nothing(mean):
    assert np.isnan(mean.compute())
    assert mean.merge(Mean.of(jnp.array([1.0, 4.0]))).compute() == 2.5


@pytest.mark.thorough
@pytest.mark.parametrize("cut", [0, 1, 5, 8, 13])
@pytest.mark.parametrize("add", [Mean.merge, lambda a, b: a + b], ids=["merge", "+"])
def test_parts_merge_to_the_whole(cut, add):
    values = jnp.arange(13.0) ** 2
    mask = jnp.array([1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1])
    parts = Mean.of(values[:cut], mask[:cut]), Mean.of(values[cut:], mask[cut:])
    whole = Mean.of(values, mask)
    assert add(*parts) == whole  # integers are exact in float32
    assert whole.compute() == jnp.float32(467 / 9)


@pytest.mark.thorough
def test_is_a_pytree_under_jit_psum_and_map():
    values, mask = jnp.arange(16.0), jnp.tile(jnp.array([1.0, 0.0]), 8)
    whole = Mean.of(values, mask)
    assert jax.jit(Mean.of)(values, mask) == whole
    shards = values.reshape(8, 2), mask.reshape(8, 2)
    summed = jax.pmap(lambda v, m: jax.lax.psum(Mean.of(v, m), "d"), "d")(*shards)
    assert jax.tree.map(lambda leaf: leaf[0], summed) == whole
    on_host = jax.device_get(whole)
    assert on_host.compute() == whole.compute()
    assert len(jax.tree.leaves(whole)) == 2


def test_the_host_computes_nan_without_a_warning():
    assert np.isnan(jax.device_get(Mean.empty()).compute())


def test_gradient_leaves_padding_out():
    def loss(values):
        return Mean.of(values, jnp.array([1.0, 1.0, 0.0])).compute()

    gradient = jax.grad(loss)(jnp.array([1.0, 2.0, jnp.nan]))
    np.testing.assert_array_equal(gradient, [0.5, 0.5, 0.0])


@pytest.mark.parametrize("shape", [(2,), (3, 1), ()])
def test_refuses_a_mask_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"values \(3,\) and mask .* differ in shape"):
        Mean.of(jnp.ones(3), jnp.ones(shape))


def test_adds_only_means():
    with pytest.raises(TypeError, match="unsupported operand"):
        Mean.empty() + 1.0
