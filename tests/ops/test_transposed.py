import jax
import jax.numpy as jnp
import pytest

from jaxcnn.ops.transposed import double_conv_transpose


def by_xla(x, kernel, size):
    """The gradient of a 4x4 convolution with stride 2 and padding 1."""
    padding = [
        (2, target - 2 * n + 2) for n, target in zip(x.shape[1:3], size, strict=True)
    ]
    return jax.lax.conv_transpose(
        x,
        kernel,
        (2, 2),
        padding,
        transpose_kernel=True,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(6, 10), (5, 10), (6, 9), (5, 9)])
def test_equals_the_transposed_convolution_of_xla(size):
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (2, 3, 5, 4))
    kernel = jax.random.normal(keys[1], (4, 4, 6, 4))
    got, pull = jax.vjp(lambda *args: double_conv_transpose(*args, size), x, kernel)
    expected, pull_expected = jax.vjp(lambda *args: by_xla(*args, size), x, kernel)
    assert got.shape == (2, *size, 6)
    assert jnp.allclose(got, expected, atol=1e-5)
    for one, two in zip(pull(jnp.cos(got)), pull_expected(jnp.cos(got)), strict=True):
        assert jnp.allclose(one, two, atol=1e-4)


def test_is_the_gradient_of_a_convolution():
    """What the name says, by definition."""
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 2))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 5, 2))

    def down(y):
        return jax.lax.conv_general_dilated(
            y, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    _, pull = jax.vjp(down, jnp.zeros((1, 6, 6, 5)))
    assert jnp.allclose(pull(x)[0], double_conv_transpose(x, kernel, (6, 6)), atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "size", "message"),
    [
        ((3, 3, 5, 2), (6, 6), r"\[4, 4, features, 2\], got \(3, 3, 5, 2\)"),
        ((4, 4, 2, 5), (6, 6), r"\[4, 4, features, 2\], got \(4, 4, 2, 5\)"),
        ((4, 4, 5, 2), (6, 7), "turns width 3 into 5 or 6, not 7"),
        ((4, 4, 5, 2), (4, 6), "turns height 3 into 5 or 6, not 4"),
    ],
)
def test_errors(kernel, size, message):
    with pytest.raises(ValueError, match=message):
        double_conv_transpose(jnp.zeros((1, 3, 3, 2)), jnp.zeros(kernel), size)
