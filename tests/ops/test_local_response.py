"""What `local_response_norm` asks of its arguments; test_norms.py has its values."""

import jax.numpy as jnp
import pytest

from jaxcnn.ops import local_response_norm


@pytest.mark.parametrize("size", [0, -3, 2.5, True])
def test_wrong_sizes_are_explained(size):
    with pytest.raises(ValueError, match=f"size must be a whole .* got {size!r}"):
        local_response_norm(jnp.ones((1, 1, 1, 3)), size)


def test_a_window_wider_than_the_channels_sees_all():
    x = jnp.array([3.0, 4.0]).reshape(1, 1, 2)
    y = local_response_norm(x, 9, alpha=1.0, beta=0.5, k=0.0)
    assert jnp.allclose(y.ravel(), jnp.array([0.6, 0.8]))
