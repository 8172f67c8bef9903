import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import (
    affine,
    pad_crop,
    random_affine,
    random_flip,
    random_shift,
)


@pytest.fixture
def batch(key):
    return {"image": jax.random.uniform(key, (40, 6, 5, 2)), "label": jnp.arange(40)}


def shifted(image, down, right):
    """Returns the image moved by whole pixels, zeros coming in."""
    height, width = image.shape[:2]
    framed = np.pad(image, ((height, height), (width, width), (0, 0)))
    return framed[height - down :, width - right :][:height, :width]


def apply_affine(image, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    images = jnp.asarray(image, jnp.float32)[None]
    return jax.jit(affine)(
        images, jnp.array([degrees]), jnp.array([scale]), jnp.array([shift])
    )[0]


def test_flip_mirrors_left_to_right_or_not(key, batch):
    images, result = batch["image"], jax.jit(random_flip())(key, batch)["image"]
    flipped = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (result == images).all(axis=(1, 2, 3))
    assert (flipped ^ kept).all()
    assert 10 < flipped.sum() < 30


@pytest.mark.thorough
@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (1.0, 1.0), (0.2, 0.2)])
def test_flip_probability(key, probability, share):
    images = jnp.tile(jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1), (2000, 1, 1, 1))
    result = random_flip(probability)(key, {"image": images})["image"]
    assert abs(result[:, 0, 0, 0].mean() - share) <= 0.03 * (0 < share < 1)


@pytest.mark.parametrize("make", [pad_crop, random_shift])
def test_crop_is_a_shift_with_zeros(key, batch, make):
    images = np.asarray(batch["image"])
    result = np.asarray(jax.jit(make(2))(key, batch)["image"])
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    found = []
    for image, moved in zip(images, result, strict=True):
        fits = [s for s in shifts if np.array_equal(moved, shifted(image, *s))]
        assert len(fits) == 1
        found += fits
    assert len(set(found)) > 15  # of 25, for 40 images


@pytest.mark.thorough
def test_every_shift_is_as_likely(key):
    images = jnp.zeros((9000, 3, 3, 1)).at[:, 1, 1].set(1.0)
    result = jax.jit(pad_crop(1))(key, {"image": images})["image"]
    np.testing.assert_allclose(
        result.mean(axis=0)[..., 0], np.full((3, 3), 1 / 9), atol=0.015
    )


@pytest.mark.thorough
@pytest.mark.parametrize("make", [pad_crop, random_shift])
def test_no_padding_changes_nothing(key, batch, make):
    np.testing.assert_array_equal(make(0)(key, batch)["image"], batch["image"])


IMAGE = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3, 1)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({}, IMAGE),
        ({"degrees": 90.0}, np.rot90(IMAGE)),
        ({"degrees": -90.0}, np.rot90(IMAGE, -1)),
        ({"degrees": 180.0}, np.rot90(IMAGE, 2)),
        ({"shift": (1.0, 0.0)}, shifted(IMAGE, 1, 0)),
        ({"shift": (-1.0, 2.0)}, shifted(IMAGE, -1, 2)),
        ({"shift": (50.0, -70.0)}, 0 * IMAGE),
        # Half way between a pixel and its left neighbour, zeros beyond the border.
        (
            {"shift": (0.0, 0.5)},
            [[0.5, 1.5, 2.5], [2.0, 4.5, 5.5], [3.5, 7.5, 8.5]],
        ),
        # Twice as large: the values half a pixel around the centre.
        ({"scale": 2.0}, [[3.0, 3.5, 4.0], [4.5, 5.0, 5.5], [6.0, 6.5, 7.0]]),
        # Half as large: the border is 1 pixel beyond the image.
        ({"scale": 0.5}, [[0.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]),
        # Turned first, shifted after.
        ({"degrees": 90.0, "shift": (0.0, 1.0)}, shifted(np.rot90(IMAGE), 0, 1)),
    ],
)
def test_affine_by_hand(amounts, expected):
    expected = np.reshape(expected, (3, 3, 1))
    np.testing.assert_allclose(apply_affine(IMAGE, **amounts), expected, atol=2e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(5, 8, 3), (1, 4, 1), (4, 4, 2)])
def test_affine_of_other_shapes(key, shape):
    image = jax.random.uniform(key, shape)
    np.testing.assert_array_equal(apply_affine(image), image)
    turned = apply_affine(image, degrees=180.0)
    np.testing.assert_allclose(turned, image[::-1, ::-1], atol=1e-5)


@pytest.mark.thorough
def test_affine_keeps_the_type_and_has_finite_gradients(key):
    images = jax.random.uniform(key, (2, 5, 5, 1))
    amounts = jnp.array([0.0, 45.0]), jnp.ones(2), jnp.zeros((2, 2))
    assert affine(images.astype(jnp.bfloat16), *amounts).dtype == jnp.bfloat16
    gradient = jax.jit(jax.grad(lambda x: jnp.square(affine(x, *amounts)).sum()))(
        images
    )
    np.testing.assert_allclose(gradient[0], 2 * images[0], rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.thorough
def test_random_affine_keeps_the_range_and_varies(key, batch):
    result = jax.jit(random_affine())(key, batch)["image"]
    assert result.shape == batch["image"].shape
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6
    assert (result != batch["image"]).any(axis=(1, 2, 3)).all()


def centre_of_mass(images):
    down, right = np.indices(images.shape[1:3])
    mass = images.sum(axis=(1, 2, 3))
    return [(images[..., 0] * at).sum(axis=(1, 2)) / mass for at in (down, right)]


@pytest.mark.thorough
def test_random_affine_stays_within_its_amounts(key):
    # A point right of the centre: where it goes tells rotation, scale and shift.
    images = jnp.zeros((500, 41, 41, 1)).at[:, 20, 30].set(1.0)

    def move(**amounts):
        none = {"degrees": 0.0, "translate": 0.0, "scale": (1.0, 1.0)}
        augment = random_affine(**{**none, **amounts})
        down, right = centre_of_mass(
            np.asarray(augment(key, {"image": images})["image"])
        )
        return down - 20, right - 20

    down, right = move(translate=0.1)
    for shift in (down, right - 10):
        assert 3.8 < shift.max() < 4.2
        assert -4.2 < shift.min() < -3.8
    down, right = move(degrees=30.0)
    angle = np.rad2deg(np.arctan2(-down, right))
    assert 26 < angle.max() < 33
    assert -33 < angle.min() < -26
    down, right = move(scale=(0.8, 1.5))
    assert np.abs(down).max() < 0.01
    assert 14 < right.max() < 15.6
    assert 7.4 < right.min() < 8.3


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (random_flip, {"probability": 1.5}, "probability=1.5 is not between 0 and 1"),
        (pad_crop, {"padding": -1}, "padding=-1 must be a whole number of pixels >= 0"),
        (pad_crop, {"padding": 1.5}, "padding=1.5 must be a whole number"),
        (random_shift, {"max_pixels": -1}, "max_pixels=-1 must be a whole number"),
        (random_affine, {"degrees": -1}, "degrees=-1 must be >= 0"),
        (random_affine, {"translate": 2}, "translate=2 is not between 0 and 1"),
        (
            random_affine,
            {"scale": (1.1, 0.9)},
            r"scale=\(1.1, 0.9\) must be the smallest",
        ),
        (random_affine, {"scale": (0, 1)}, r"scale=\(0, 1\) must be .* both > 0"),
        (random_affine, {"scale": (1,)}, r"scale=\(1,\) must be the smallest"),
    ],
)
def test_refuses_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_affine_refuses_integers(key):
    batch = {"image": jnp.zeros((2, 4, 4, 1), jnp.uint8)}
    with pytest.raises(
        ValueError, match=r"image of type uint8 must be floats in \[0, 1\]"
    ):
        random_affine()(key, batch)
