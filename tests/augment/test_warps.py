"""Fused geometry, boxes and masks, against answers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import (
    affine,
    compose,
    make_augment,
    random_affine,
    random_elastic,
    random_flip,
    random_rotate,
    random_shift,
    random_zoom,
)
from jaxcnn.augment.matrices import (
    cropping,
    homography,
    inverse,
    moved,
    product,
    rotation,
    scaling,
    shearing,
    translation,
)
from jaxcnn.augment.resample import nearest
from jaxcnn.augment.spatial import drawn_boxes, smoothing
from jaxcnn.augment.warps import Geometric, Warp, warped

IMAGE = np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 3, 3, 1)


def one(value):
    return jnp.array([value], jnp.float32)


def warp_image(*matrices, image=IMAGE, **more):
    warps = [Warp(matrix, **more) for matrix in matrices]
    return np.asarray(warped({"image": jnp.asarray(image)}, warps)["image"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (rotation(one(90.0)), np.rot90(IMAGE[0, ..., 0])),
        (scaling(one(-1.0), one(1.0)), IMAGE[0, :, ::-1, 0]),
        (scaling(one(1.0), one(-1.0)), IMAGE[0, ::-1, :, 0]),
        (translation(one(1.0), one(0.0)), [[0, 1, 2], [0, 4, 5], [0, 7, 8]]),
        (translation(one(0.0), one(-1.0)), [[4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        # Below the centre to the right, above it to the left, by a pixel a row.
        (shearing(one(1.0), one(0.0)), [[2, 3, 0], [4, 5, 6], [0, 7, 8]]),
        (shearing(one(0.0), one(1.0)), [[4, 2, 0], [7, 5, 3], [0, 8, 6]]),
        # Twice as wide about the centre, as high as before.
        (scaling(one(2.0), one(1.0)), [[1.5, 2, 2.5], [4.5, 5, 5.5], [7.5, 8, 8.5]]),
    ],
)
def test_matrices_by_hand(matrix, expected):
    np.testing.assert_allclose(warp_image(matrix)[0, ..., 0], expected, atol=1e-5)


def test_shear_moves_x_and_then_y():
    x, y = moved(shearing(one(2.0), one(3.0)), one(5.0)[None], one(7.0)[None])
    assert (x.item(), y.item()) == (5 + 2 * 7, 7 + 3 * (5 + 2 * 7))


def test_inverse_undoes(key):
    matrices = jnp.eye(3)[None] + 0.3 * jax.random.normal(key, (5, 3, 3))
    both = product(inverse(matrices), matrices)
    np.testing.assert_allclose(both, np.broadcast_to(np.eye(3), both.shape), atol=1e-4)


def test_homography_takes_corners_to_corners():
    start = jnp.array([[[-2, -1], [2, -1], [2, 1], [-2, 1]]], jnp.float32)
    end = jnp.array([[[-1, -1], [2, -0.5], [1.5, 1], [-2, 0.5]]], jnp.float32)
    x, y = moved(homography(start, end), start[..., 0], start[..., 1])
    np.testing.assert_allclose(jnp.stack([x, y], -1), end, atol=1e-6)


@pytest.mark.thorough
def test_a_crop_becomes_the_image_and_its_edge_goes_on():
    # The upper left 2x2 of 4x4 pixels, twice as large; values of row * 4 + column.
    image = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    box = jnp.array([[0, 0, 2, 2]])
    result = warp_image(cropping(box, 4, 4), image=image, window=box)
    # Output pixel centres lie at -0.25, 0.25, 0.75, 1.25 of the input; the ends at
    # the pixels 0 and 1.
    at = np.array([0, 0.25, 0.75, 1])
    np.testing.assert_allclose(result[0, ..., 0], 4 * at[:, None] + at, atol=1e-5)


def test_two_half_turns_fuse_into_none():
    # Half a pixel to the right twice is a pixel: resampled once, nothing is blurred.
    half = translation(one(0.5), one(0.0))
    expected = [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    np.testing.assert_allclose(warp_image(half, half)[0, ..., 0], expected, atol=1e-5)
    twice = warp_image(half, image=warp_image(half))
    assert np.abs(twice[0, ..., 0] - expected).max() > 0.2


def test_order_counts():
    turn, shift = rotation(one(90.0)), translation(one(1.0), one(0.0))
    turned = np.rot90(IMAGE[0, ..., 0])
    first = np.pad(turned, ((0, 0), (1, 0)))[:, :3]
    np.testing.assert_allclose(warp_image(turn, shift)[0, ..., 0], first, atol=1e-5)
    # Fused, the column that the shift sends out of the image comes in by nothing.
    moved_ = np.pad(IMAGE[0, ..., 0], ((0, 0), (1, 0)))[:, :3]
    second = np.rot90(moved_)
    np.testing.assert_allclose(warp_image(shift, turn)[0, ..., 0], second, atol=1e-5)


def test_a_displacement_says_where_to_look():
    field = jnp.zeros((1, 3, 3, 2)).at[0, 1, 0].set(jnp.array([2.0, -1.0]))
    result = warped({"image": jnp.asarray(IMAGE)}, [Warp(displacement=field)])["image"]
    expected = IMAGE.copy()
    expected[0, 1, 0] = IMAGE[0, 0, 2]
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_what_follows_a_displacement_moves_it_too():
    field = jnp.zeros((1, 3, 3, 2)).at[0, 1, 0].set(jnp.array([2.0, -1.0]))
    batch = {"image": jnp.asarray(IMAGE)}
    bent = warped(batch, [Warp(displacement=field)])["image"]
    mirror = Warp(scaling(one(-1.0), one(1.0)))
    both = warped(batch, [Warp(displacement=field), mirror])["image"]
    np.testing.assert_allclose(both, bent[:, :, ::-1], atol=1e-5)


@pytest.mark.thorough
def test_compose_resamples_neighbours_once(key):
    batch = {"image": jax.random.uniform(key, (2, 6, 6, 1))}
    calls = []

    def recording(degrees):
        def draw(keys, height, width):
            calls.append(jax.random.key_data(keys).tolist())
            return Warp(rotation(jnp.full(len(keys), degrees)))

        return Geometric(draw)

    nested = compose(recording(30.0), compose(random_flip(0.0), recording(-30.0)))
    # There and back: within rounding what it was, which two resamplings are not.
    result = nested(key, batch)["image"]
    np.testing.assert_allclose(result, batch["image"], atol=1e-5)
    folds = [(0,), (1, 1)]
    for found, path in zip(calls, folds, strict=True):
        own = key
        for number in path:
            own = jax.random.fold_in(own, number)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(own, jnp.arange(2))
        assert found == jax.random.key_data(keys).tolist()


@pytest.mark.thorough
def test_what_was_there_before_is_not_fused(key):
    batch = {"image": jax.random.uniform(key, (3, 6, 6, 1))}
    steps = [random_flip(), random_shift(1), random_affine()]
    result = compose(*steps)(key, batch)["image"]
    for index, step in enumerate(steps):
        batch = step(jax.random.fold_in(key, index), batch)
    np.testing.assert_array_equal(result, batch["image"])


@pytest.mark.thorough
def test_fused_draws_are_those_of_each_alone(key):
    batch = {"image": jax.random.uniform(key, (4, 8, 8, 1))}
    for step in (random_flip(), random_shift(2), random_affine()):
        alone = step(jax.random.fold_in(key, 0), batch)["image"]
        none = random_rotate(0.0)  # fuses, and does nothing
        fused = compose(step, none)(key, batch)["image"]
        np.testing.assert_allclose(fused, alone, atol=1e-5)


def boxes_after(matrix, boxes, size=(4, 6), **more):
    image = jnp.zeros((1, *size, 1))
    batch = {"image": image, "boxes": jnp.asarray(boxes, jnp.float32)[None], **more}
    result = warped(batch, [Warp(matrix)])
    return np.asarray(result["boxes"][0]), np.asarray(result["boxes_valid"][0])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (scaling(one(-1.0), one(1.0)), [3, 1, 5, 2]),
        (scaling(one(1.0), one(-1.0)), [1, 2, 3, 3]),
        (translation(one(1.0), one(-1.0)), [2, 0, 4, 1]),
        (translation(one(4.0), one(0.0)), [5, 1, 6, 2]),  # cut off at the border
        (rotation(one(180.0)), [3, 2, 5, 3]),
        (scaling(one(0.5), one(0.5)), [2, 1.5, 3, 2]),
        # Turned to the left about (3, 2): (1, 1) to (2, 4), (3, 2) stays.
        (rotation(one(90.0)), [2, 2, 3, 4]),
    ],
)
def test_boxes_follow(matrix, expected):
    boxes, valid = boxes_after(matrix, [[1, 1, 3, 2]])
    np.testing.assert_allclose(boxes[0], expected, atol=1e-5)
    assert valid[0]


def test_a_box_outside_is_flagged():
    boxes, valid = boxes_after(translation(one(4.0), one(0.0)), [[3, 0, 5, 2]])
    np.testing.assert_array_equal(boxes, 0)
    assert not valid[0]
    # And what was no box before is none after.
    none = {"boxes_valid": jnp.array([[False]])}
    boxes, valid = boxes_after(translation(one(0.0), one(0.0)), [[1, 1, 3, 2]], **none)
    assert not valid[0]


def test_masks_take_the_nearest_pixel_and_keep_their_type():
    masks = jnp.arange(9).reshape(1, 3, 3)
    batch = {"image": jnp.asarray(IMAGE), "segmentation": masks}
    result = warped(batch, [Warp(translation(one(1.4), one(0.0)))])["segmentation"]
    assert result.dtype == masks.dtype
    np.testing.assert_array_equal(result[0], [[0, 0, 1], [0, 3, 4], [0, 6, 7]])


def test_nearest_rounds_halves_to_even():
    images = jnp.arange(1, 6).reshape(1, 1, 5, 1)
    columns = jnp.array([[0.5, 1.5, 2.5, -0.5, 4.5, 4.6]])
    found = nearest(images, jnp.zeros_like(columns), columns)[0, :, 0]
    np.testing.assert_array_equal(found, [1, 3, 3, 1, 5, 0])


SPECS = [
    "random_flip(probability=1)",
    "random_shift(max_pixels=3)",
    "random_rotate(degrees=30)",
    "random_resized_crop(area=(0.5, 0.9))",
    "random_perspective(distortion=0.3, probability=1)",
    "random_elastic(alpha=10, sigma=4)",
]


@pytest.mark.thorough
@pytest.mark.parametrize("spec", SPECS)
def test_image_box_and_mask_move_together(spec):
    # A bright rectangle: where it went is where its box and its mask went.
    image = np.zeros((4, 32, 32, 1), np.float32)
    image[:, 10:18, 12:22] = 1
    batch = {
        "image": jnp.asarray(image),
        "segmentation": jnp.asarray(image[..., 0] > 0.5),
        "boxes": jnp.tile(jnp.array([[[12.0, 10.0, 22.0, 18.0]]]), (4, 1, 1)),
    }
    result = jax.jit(make_augment(spec))(jax.random.key(3), batch)
    bright = np.asarray(result["image"][..., 0]) > 0.5
    assert (bright != np.asarray(result["segmentation"])).mean() < 0.02
    for found, box, valid in zip(
        bright, result["boxes"][:, 0], result["boxes_valid"][:, 0], strict=True
    ):
        assert valid
        rows, columns = np.nonzero(found)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, seen, atol=2.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"boxes": jnp.zeros((1, 4))}, r"boxes \(1, 4\) must be \[batch, N, 4\]"),
        (
            {"segmentation": jnp.zeros((1, 3, 4))},
            r"segmentation \(1, 3, 4\) must be \[batch, height, width\].*3x3",
        ),
    ],
)
def test_refuses_boxes_and_masks_that_do_not_fit(more, message):
    batch = {"image": jnp.asarray(IMAGE), **more}
    with pytest.raises(ValueError, match=message):
        random_flip()(jax.random.key(0), batch)


@pytest.mark.thorough
def test_a_target_moves_with_its_image(key):
    images = jax.random.uniform(key, (3, 8, 8, 1))
    augment = compose(random_rotate(), random_elastic(20, 2), random_zoom())
    result = augment(key, {"image": images, "target": 0.5 * images})
    np.testing.assert_allclose(result["target"], 0.5 * result["image"], atol=1e-6)


@pytest.mark.thorough
def test_drawn_boxes_are_inside_and_of_their_area_and_aspect():
    keys = jax.random.split(jax.random.key(0), 400)
    boxes, found = drawn_boxes(keys, (0.2, 0.6), (0.5, 2.0), 40, 50)
    left, top, right, bottom = np.asarray(boxes).T
    assert found.all()
    assert min(left.min(), top.min()) == 0
    assert (right.max(), bottom.max()) == (50, 40)
    wide, high = right - left, bottom - top
    assert 0.19 < (wide * high / 2000).min() < 0.25
    assert 0.55 < (wide * high / 2000).max() < 0.62
    assert 0.47 < (wide / high).min() < 0.55
    assert 1.8 < (wide / high).max() < 2.1


def test_smoothing_is_a_gaussian_mirrored_at_the_border():
    matrix = smoothing(30, 1.0)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    assert abs(matrix[15, 15] - 1 / np.sqrt(2 * np.pi)) < 1e-3
    np.testing.assert_allclose(matrix[0, 1], 2 * matrix[15, 16], rtol=1e-6)
    np.testing.assert_allclose(smoothing(2, 3.0).sum(axis=1), 1, rtol=1e-6)
    assert smoothing(1, 3.0) == 1


@pytest.mark.thorough
def test_affine_equals_its_matrices(key):
    images = jax.random.uniform(key, (3, 7, 9, 2))
    degrees, scales = jnp.array([10.0, -70, 200]), jnp.array([1.0, 0.7, 1.6])
    shifts = jnp.array([[1.0, 2.0], [0.3, -0.2], [0.0, 0.0]])
    turned = product(rotation(degrees), scaling(scales, scales))
    matrices = product(translation(shifts[:, 1], shifts[:, 0]), turned)
    result = warped({"image": images}, [Warp(matrices)])["image"]
    np.testing.assert_allclose(
        result, affine(images, degrees, scales, shifts), atol=1e-5
    )
