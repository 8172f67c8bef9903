import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.interpret import decode, encode, interpolate, latent_grid, reconstruct
from jaxcnn.registry import create_model


class Scaled(nn.Module):
    """Its latents are the first pixels doubled; its images repeat them."""

    latent: int = 2

    def encode(self, images):
        return 2 * images.reshape(len(images), -1)[:, : self.latent]

    def decode(self, latents):
        return latents.reshape(len(latents), 1, -1, 1)

    def __call__(self, images):
        return self.decode(self.encode(images))


def test_reconstructions_and_their_errors():
    images = np.array([[0.0, 1.0], [0.5, 0.5]]).reshape(2, 1, 2, 1)
    found = reconstruct(Scaled(), {}, images)
    np.testing.assert_allclose(found.images, 2 * images)
    np.testing.assert_allclose(found.errors, [0.5, 0.25])
    white = reconstruct(Scaled(), {}, np.full((1, 1, 2, 1), 255, np.uint8))
    np.testing.assert_allclose(white.inputs, np.ones((1, 1, 2, 1)))


@pytest.mark.thorough
def test_encode_then_decode_is_the_model(key):
    model = create_model("conv_autoencoder", latent=3, features=(2, 2))
    images = jax.random.uniform(key, (2, 28, 28, 1))
    variables = model.init(key, images)
    latents = encode(model, variables, images)
    assert latents.shape == (2, 3)
    expected = model.apply(variables, images)
    np.testing.assert_allclose(decode(model, variables, latents), expected, atol=1e-5)


def test_a_classifier_is_refused():
    model = create_model("lenet")
    for function in (encode, decode, reconstruct):
        with pytest.raises(ValueError, match="LeNet has no methods encode and decode"):
            function(model, {}, jnp.zeros((1, 28, 28, 1)))


def test_linear_interpolation_by_hand():
    first, second = np.zeros((2, 3)), np.array([[4.0, 8.0, 0.0], [1.0, 1.0, 1.0]])
    found = interpolate(first, second, 5)
    assert found.shape == (2, 5, 3)
    np.testing.assert_allclose(found[0, 1], [1, 2, 0])
    np.testing.assert_allclose(found[:, -1], second)


@pytest.mark.thorough
def test_spherical_interpolation_turns_at_a_steady_pace():
    first, second = np.array([[3.0, 0.0]]), np.array([[0.0, 1.0]])
    found = np.asarray(interpolate(first, second, 4, method="spherical"))[0]
    angles = np.arctan2(found[:, 1], found[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, np.pi / 2, 4), atol=1e-6)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(3, 1, 4), rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("second", [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 0.0]])
def test_where_there_is_no_arc_the_way_is_straight(second):
    ends = np.array([[1.0, 2.0]]), np.array([second])
    found = interpolate(*ends, 3, method="spherical")
    np.testing.assert_allclose(found, interpolate(*ends, 3), atol=1e-6)


def test_interpolation_errors():
    with pytest.raises(ValueError, match="must be of one shape"):
        interpolate(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"method='slerp' is unknown.*spherical"):
        interpolate(np.zeros((1, 2)), np.zeros((1, 2)), method="slerp")
    with pytest.raises(ValueError, match=r"steps must be .* at least 2, got 1"):
        interpolate(np.zeros((1, 2)), np.zeros((1, 2)), 1)


def test_a_grid_of_two_latents_is_the_plane_itself():
    latents = np.array([[0.0, 10.0], [2.0, 10.0], [0.0, 14.0], [2.0, 14.0]])
    grid = latent_grid(Scaled(), {}, latents, size=3, spread=1.0)
    np.testing.assert_allclose(grid.across, [0, 1, 2])
    np.testing.assert_allclose(grid.down, [14, 12, 10])
    assert grid.images.shape == (3, 3, 1, 2, 1)
    np.testing.assert_allclose(grid.latents[0, 2], [2, 14])
    np.testing.assert_allclose(grid.images[0, 2].ravel(), [2, 14])


def test_a_grid_of_more_latents_lies_along_their_widest_directions():
    # Wide in the third number, less so in the first, the second always 7.
    latents = np.array([[1.0, 7, 5], [1.0, 7, -5], [-1.0, 7, 5], [-1.0, 7, -5]])
    grid = latent_grid(Scaled(3), {}, latents, size=3, spread=1.0)
    wide, narrow = np.sqrt(np.array([100, 4]) / 3)
    np.testing.assert_allclose(grid.across, [-wide, 0, wide])
    np.testing.assert_allclose(grid.latents[0, 2], [narrow, 7, wide], rtol=1e-6)
    np.testing.assert_allclose(grid.latents[1, 1], [0, 7, 0], atol=1e-6)
    with pytest.raises(ValueError, match=r"size must be .* at least 2, got 1"):
        latent_grid(Scaled(3), {}, latents, size=1)
