"""The classic filters, on the worked examples of courses."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops import FILTERS, avg_pool, filter_image

BRIGHT_LEFT = np.tile([10, 10, 10, 0, 0, 0], (6, 1))
QUARTERS = np.concatenate([BRIGHT_LEFT[:3], BRIGHT_LEFT[:3, ::-1]])
TABLE = [
    [3, 0, 1, 2, 7, 4],
    [1, 5, 8, 9, 3, 1],
    [2, 7, 2, 5, 1, 3],
    [0, 1, 3, 1, 7, 8],
    [4, 2, 1, 6, 2, 8],
    [2, 4, 5, 2, 3, 9],
]
SMALL = [
    [3, 3, 2, 1, 0],
    [0, 0, 1, 3, 1],
    [3, 1, 2, 2, 3],
    [2, 0, 0, 2, 2],
    [2, 0, 0, 0, 1],
]
EXAMPLES = {
    "vertical edge": (BRIGHT_LEFT, "vertical_edges", [[0, 30, 30, 0]] * 4),
    "mirrored": (BRIGHT_LEFT[:, ::-1], "vertical_edges", [[0, -30, -30, 0]] * 4),
    "horizontal edge": (
        QUARTERS,
        "horizontal_edges",
        [[0, 0, 0, 0], [30, 10, -10, -30], [30, 10, -10, -30], [0, 0, 0, 0]],
    ),
    "a line": ([[0, 1, 0, 0]] * 4, [[-1, 1, -1]] * 3, [[3, -3]] * 2),
    "6x6 table": (
        TABLE,
        "vertical_edges",
        [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]],
    ),
    "5x5": (
        SMALL,
        [[0, 1, 2], [2, 2, 0], [0, 1, 2]],
        [[12, 12, 17], [10, 17, 19], [9, 6, 14]],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name):
    image, kernel, expected = EXAMPLES[name]
    np.testing.assert_array_equal(filter_image(image, kernel), expected)


def test_the_average_pool_of_the_worked_example():
    x = jnp.array(SMALL, jnp.float32)[None, :, :, None]
    expected = [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]]
    pooled = avg_pool(x, 3, 1)[0, :, :, 0]
    np.testing.assert_allclose(np.round(pooled, 1), expected, rtol=1e-6)
    blurred = filter_image(SMALL, "box_blur")
    np.testing.assert_allclose(blurred, pooled, rtol=1e-6)


KERNELS = {
    "identity": "0 0 0; 0 1 0; 0 0 0",
    "vertical_edges": "1 0 -1; 1 0 -1; 1 0 -1",
    "horizontal_edges": "1 1 1; 0 0 0; -1 -1 -1",
    "sobel_vertical": "1 0 -1; 2 0 -2; 1 0 -1",
    "sobel_horizontal": "1 2 1; 0 0 0; -1 -2 -1",
    "scharr_vertical": "3 0 -3; 10 0 -10; 3 0 -3",
    "scharr_horizontal": "3 10 3; 0 0 0; -3 -10 -3",
    "edges_diagonal": "1 0 -1; 0 0 0; -1 0 1",
    "laplacian": "0 1 0; 1 -4 1; 0 1 0",
    "outline": "-1 -1 -1; -1 8 -1; -1 -1 -1",
    "sharpen": "0 -1 0; -1 5 -1; 0 -1 0",
}


def rows_of(text):
    return np.array([row.split() for row in text.split(";")], float)


def test_the_values_of_the_kernels():
    blurs = {
        "box_blur": np.ones((3, 3)) / 9,
        "gaussian_blur": rows_of("1 2 1; 2 4 2; 1 2 1") / 16,
    }
    expected = {name: rows_of(text) for name, text in KERNELS.items()} | blurs
    assert set(FILTERS) == set(expected)
    for name, kernel in FILTERS.items():
        np.testing.assert_allclose(kernel, expected[name], rtol=1e-7, err_msg=name)


def test_kernels_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        FILTERS["identity"][0, 0] = 1
    with pytest.raises(TypeError):
        FILTERS["identity"] = 0


def test_what_the_filters_do_to_a_plane():
    """Edges vanish on a slope-free image, blurs and sharpening keep it."""
    plane = np.full((5, 5), 7.0)
    for name in FILTERS:
        keeps = name in ("identity", "sharpen", "box_blur", "gaussian_blur")
        expected = np.full((3, 3), 7.0 if keeps else 0.0)
        np.testing.assert_allclose(
            filter_image(plane, name), expected, atol=1e-5, err_msg=name
        )


@pytest.mark.thorough
def test_every_channel_of_every_image_is_filtered_alone():
    x = np.random.default_rng(0).integers(0, 256, (2, 7, 6, 3)).astype(np.uint8)
    y = filter_image(x, "sobel_vertical")
    assert y.shape == (2, 5, 4, 3)
    assert y.dtype == jnp.float32
    for image in range(2):
        whole = filter_image(x[image], "sobel_vertical")
        np.testing.assert_array_equal(whole, y[image])
        for channel in range(3):
            alone = filter_image(x[image, :, :, channel], "sobel_vertical")
            np.testing.assert_array_equal(alone, y[image, :, :, channel])
    i, j = 3, 2
    patch = x[1, i : i + 3, j : j + 3, 2].astype(float)
    assert y[1, i, j, 2] == (patch * FILTERS["sobel_vertical"]).sum()


@pytest.mark.parametrize(
    ("padding", "mode", "first_row"),
    [
        ("same", "zeros", [-20, 0, 20, 20, 0, 0]),
        ("same", "replicate", [0, 0, 30, 30, 0, 0]),
        (1, "zeros", [-20, 0, 20, 20, 0, 0]),
        (2, "zeros", [-10, -10, 0, 10, 10, 0, 0, 0]),
    ],
)
def test_padding(padding, mode, first_row):
    y = filter_image(BRIGHT_LEFT, "vertical_edges", padding=padding, padding_mode=mode)
    assert y.shape == (len(first_row),) * 2
    assert y[0].tolist() == first_row


def test_a_kernel_that_is_not_square():
    y = filter_image(np.eye(4), [[1, 2]])
    assert y.tolist() == [[1, 0, 0], [2, 1, 0], [0, 2, 1], [0, 0, 2]]
    assert filter_image(np.eye(4), [[1, 2, 3]], padding="same").shape == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((SMALL, "sobel"), {}, r"kernel='sobel' is unknown.*'sobel_vertical'"),
        ((SMALL, "sharpn"), {}, r"Did you mean 'sharpen'\?"),
        ((SMALL, [1, 2]), {}, r"kernel must be \[height, width\], got shape \(2,\)"),
        ((SMALL, np.zeros((0, 3))), {}, r"got shape \(0, 3\)"),
        (([1, 2], "sharpen"), {}, r"got shape \(2,\)"),
        (([[1, 2]], "sharpen"), {}, r"kernel of \(3, 3\) does not fit .* \(1, 2\)"),
        ((SMALL, np.eye(2)), {"padding": "same"}, r"odd sides, got \(2, 2\)"),
        ((SMALL, "sharpen"), {"padding": "full"}, "'same' or a number .* got 'full'"),
        ((SMALL, "sharpen"), {"padding": -1}, "at least 0, got -1"),
        (
            (SMALL, "sharpen"),
            {"padding": 1, "padding_mode": "mirror"},
            "padding_mode='mirror' is unknown",
        ),
    ],
)
def test_wrong_arguments_are_explained(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        filter_image(*arguments, **options)
