import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import gaussian_noise


def test_noise_is_clipped_and_the_clean_image_is_the_target(key):
    images = jax.random.uniform(key, (20, 16, 16, 1))
    batch = jax.jit(gaussian_noise(0.5))(key, {"image": images})
    np.testing.assert_array_equal(batch["target"], images)
    assert batch["image"].min() == 0.0
    assert batch["image"].max() == 1.0


def test_noise_has_the_deviation_asked_for(key):
    images = jnp.full((50, 16, 16, 1), 0.5)
    noise = jax.jit(gaussian_noise(0.05))(key, {"image": images})["image"] - images
    np.testing.assert_allclose(noise.std(), 0.05, rtol=0.02)
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.002)
    # Independent between images and between pixels.
    flat = noise.reshape(50, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(50)).max() < 0.3
    assert len(np.unique(flat[0])) > 200


def test_no_noise_changes_nothing(key):
    images = jax.random.uniform(key, (3, 4, 4, 1))
    batch = jax.jit(gaussian_noise(0.0))(key, {"image": images})
    np.testing.assert_array_equal(batch["image"], images)


def test_a_target_of_the_batch_is_kept(key):
    images = jnp.full((2, 4, 4, 1), 0.5)
    batch = jax.jit(gaussian_noise(0.1))(key, {"image": images, "target": 2 * images})
    np.testing.assert_array_equal(batch["target"], 2 * images)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
def test_refuses_a_deviation(std):
    with pytest.raises(ValueError, match=f"std={std} is not a finite number >= 0"):
        gaussian_noise(std)


def test_refuses_integers(key):
    batch = {"image": jnp.zeros((2, 4, 4, 1), jnp.uint8)}
    with pytest.raises(ValueError, match="image of type uint8 must be floats"):
        gaussian_noise(0.1)(key, batch)
