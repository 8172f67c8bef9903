"""Capsules against a NumPy forward written from the paper's equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.layers import PrimaryCapsules, RoutedCapsules, capsule_lengths, squash


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def numpy_squash(s):
    """Equation 1, in float64."""
    s = np.asarray(s, np.float64)
    length = np.sqrt((s**2).sum())
    return length**2 / (1 + length**2) * s / length


def procedure_1(u, weights, iterations):
    """Sabour et al. 2017, procedure 1 and equations 1 to 3, loop by loop.

    `u` is [I, d], `weights` [I, J, e, d]: the matrices W_ij. Returns v, [J, e].
    """
    below, above = weights.shape[:2]
    prediction = {
        (i, j): weights[i, j].astype(np.float64) @ u[i].astype(np.float64)
        for i in range(below)
        for j in range(above)
    }
    b = np.zeros((below, above))
    for _ in range(iterations):
        c = np.zeros_like(b)
        for i in range(below):
            c[i] = np.exp(b[i]) / np.exp(b[i]).sum()
        v = np.stack(
            [
                numpy_squash(sum(c[i, j] * prediction[i, j] for i in range(below)))
                for j in range(above)
            ]
        )
        for i in range(below):
            for j in range(above):
                b[i, j] += prediction[i, j] @ v[j]
    return v


@pytest.mark.parametrize("routings", [1, 2, 3, 5])
def test_routing_is_procedure_1(routings):
    batch, below, depth, above, dims = 2, 7, 3, 4, 5
    u = noise(batch, below, depth)
    layer = RoutedCapsules(above, dims, routings)
    weights = noise(below, above, dims, depth, seed=1)
    # Row (i, d) and column (j, e) hold element (e, d) of W_ij.
    kernel = weights.transpose(0, 3, 1, 2).reshape(below * depth, above * dims)
    v = layer.apply({"params": {"kernel": kernel}}, u)
    expected = np.stack([procedure_1(row, weights, routings) for row in u])
    np.testing.assert_allclose(v, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_the_iterations_matter():
    u, kernel = noise(1, 7, 3), noise(21, 20, seed=1)
    one, three = (
        RoutedCapsules(4, 5, n).apply({"params": {"kernel": kernel}}, u) for n in (1, 3)
    )
    assert np.abs(one - three).max() > 0.01


@pytest.mark.thorough
def test_the_gradient_goes_through_the_routing():
    u, kernel = noise(1, 4, 2), noise(8, 6, seed=1)

    @jax.jit
    def objective(u):
        v = RoutedCapsules(2, 3, 3).apply({"params": {"kernel": kernel}}, u)
        return (v * jnp.arange(6.0).reshape(1, 2, 3)).sum()

    gradient = jax.jit(jax.grad(objective))(u)
    step = 1e-2
    for index in np.ndindex(u.shape):
        change = np.zeros_like(u)
        change[index] = step
        slope = (objective(u + change) - objective(u - change)) / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=0.02, atol=5e-3)


def test_squash_is_equation_1():
    s = noise(6, 5) * 10.0 ** np.arange(-3, 3, dtype=np.float32)[:, None]
    expected = np.stack([numpy_squash(row) for row in s])
    np.testing.assert_allclose(squash(s), expected, rtol=1e-5)
    assert (capsule_lengths(squash(s)) < 1).all()


def test_zero_vectors_have_value_and_gradient_zero():
    zero = jnp.zeros((2, 3))
    for function in (squash, capsule_lengths):
        np.testing.assert_array_equal(function(zero), np.zeros_like(function(zero)))
        gradient = jax.grad(lambda x: function(x).sum())(zero)  # noqa: B023
        np.testing.assert_array_equal(gradient, zero)


def test_primary_capsules_are_neighbouring_channels_squashed():
    x = noise(2, 7, 6, 3)
    layer = PrimaryCapsules(capsules=4, dims=5, kernel_size=3)
    v, variables = layer.init_with_output(jax.random.key(0), x)
    kernel = variables["params"]["conv"]["kernel"]
    assert v.shape == (2, 3 * 2 * 4, 5)
    # Position (1, 1), capsule 2: channels 10 to 14.
    patch = x[0, 2:5, 2:5, :, None]
    s = (patch * kernel[..., 10:15]).sum(axis=(0, 1, 2))
    expected = numpy_squash(s)
    np.testing.assert_allclose(v[0, (1 * 2 + 1) * 4 + 2], expected, rtol=1e-4)


def test_wrong_rank():
    with pytest.raises(ValueError, match=r"needs capsules of shape .* \(2, 4, 4, 3\)"):
        RoutedCapsules(4).init(jax.random.key(0), noise(2, 4, 4, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RoutedCapsules(0), "capsules must be a whole number of at least 1"),
        (lambda: RoutedCapsules(2, 0), "dims must be a whole number of at least 1"),
        (lambda: RoutedCapsules(2, 4, 0), "routings must be .* at least 1, got 0"),
        (lambda: PrimaryCapsules(0), "capsules must be .* at least 1, got 0"),
        (lambda: PrimaryCapsules(2, -1), "dims must be .* at least 1, got -1"),
    ],
)
def test_bad_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()
