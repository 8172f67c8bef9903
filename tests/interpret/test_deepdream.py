import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.interpret import Prior, deepdream, maximize_activation
from jaxcnn.interpret.deepdream import octave_sizes
from tests.interpret.test_ascent import VARIABLES, Linear


def dream(images, target="conv:0", **options):
    options = {"prior": Prior(jitter=1), "steps": 2, "octaves": 2, **options}
    return deepdream(Linear(), VARIABLES, images, target, **options)


PHOTO = jnp.linspace(0, 1, 2 * 8 * 10).reshape(2, 8, 10, 1)


def test_sizes_grow_to_the_images_own():
    assert octave_sizes((100, 50), 3, 2.0) == [(25, 12), (50, 25), (100, 50)]


@pytest.mark.thorough
def test_one_octave_is_an_ascent():
    key = jax.random.key(3)
    options = {"prior": Prior(jitter=1), "learning_rate": 0.1, "steps": 3}
    dreamt = dream(PHOTO, octaves=1, key=key, **options)
    climbed = maximize_activation(
        Linear(), VARIABLES, PHOTO, "conv:0", key=jax.random.fold_in(key, 0), **options
    )
    np.testing.assert_array_equal(dreamt, climbed.images)


@pytest.mark.thorough
def test_without_steps_that_matter_the_picture_is_the_picture():
    np.testing.assert_allclose(dream(PHOTO, learning_rate=0.0), PHOTO, atol=1e-6)


@pytest.mark.thorough
def test_details_of_the_smaller_size_are_enlarged_onto_the_picture():
    start = jnp.full((1, 8, 8, 1), 0.5)

    def dark_at_first(variables, images):
        # Small images are to become brighter, those of the full size to stay.
        return images.mean(axis=(1, 2, 3)) * (images.shape[1] < 8)

    made = dream(start, dark_at_first, octave_scale=2.0, learning_rate=0.1)
    np.testing.assert_allclose(made, 0.7 * jnp.ones_like(start), rtol=1e-5)


@pytest.mark.thorough
def test_the_key_decides():
    one, again, other = (dream(PHOTO, key=jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert one.shape == PHOTO.shape
    assert one.dtype == jnp.float32
    assert 0 <= one.min() < one.max() <= 1


@pytest.mark.thorough
def test_bytes_are_scaled():
    white = dream(np.full((1, 8, 8, 1), 255, np.uint8), learning_rate=0.0)
    np.testing.assert_allclose(white, np.ones((1, 8, 8, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"octaves": 0}, "octaves must be a whole number of at least 1, got 0"),
        ({"octave_scale": 0.5}, "octave_scale must be a number of at least 1, got 0.5"),
        ({"octaves": 9, "octave_scale": 2.0}, "leave nothing of 8x10 pixels"),
        ({"steps": 0}, "steps must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        dream(PHOTO, **options)
