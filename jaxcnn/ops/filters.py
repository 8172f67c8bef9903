"""The classic filters of image processing: fixed kernels, and how to apply them."""

from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxcnn.ops.convolution import conv, pad
from jaxcnn.tree import nearest
from jaxcnn.typing import Array

_VERTICAL = [[1, 0, -1], [1, 0, -1], [1, 0, -1]]
_SOBEL = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
_SCHARR = [[3, 0, -3], [10, 0, -10], [3, 0, -3]]


def _kernel(rows: ArrayLike, divide_by: int = 1) -> np.ndarray:
    kernel = np.asarray(rows, np.float32) / divide_by
    kernel.setflags(write=False)
    return kernel


#: 3x3 kernels as networks apply them, without flipping. `vertical` ones answer to
#: vertical edges, positively where the left side is brighter; `horizontal` ones are
#: their transposes, positive where the upper side is. `edges_diagonal` answers to
#: diagonal edges and corners; `laplacian` to edges in any direction with both signs,
#: `outline` the same with diagonals and the sign turned. The two blurs sum to 1.
#: Sobel and Feldman, "A 3x3 Isotropic Gradient Operator for Image Processing", 1968;
#: Scharr, "Optimal Operators in Digital Image Processing", thesis, Heidelberg 2000,
#: https://doi.org/10.11588/heidok.00000962.
FILTERS = MappingProxyType(
    {
        "identity": _kernel([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        "vertical_edges": _kernel(_VERTICAL),
        "horizontal_edges": _kernel(np.transpose(_VERTICAL)),
        "sobel_vertical": _kernel(_SOBEL),
        "sobel_horizontal": _kernel(np.transpose(_SOBEL)),
        "scharr_vertical": _kernel(_SCHARR),
        "scharr_horizontal": _kernel(np.transpose(_SCHARR)),
        "edges_diagonal": _kernel([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
        "laplacian": _kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        "outline": _kernel([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
        "sharpen": _kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        "box_blur": _kernel(np.ones((3, 3)), divide_by=9),
        "gaussian_blur": _kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], divide_by=16),
    }
)


def filter_image(
    x: ArrayLike,
    kernel: str | ArrayLike,
    *,
    padding: str | int = "valid",
    padding_mode: str = "zeros",
) -> Array:
    """Returns every channel of an image cross-correlated with one kernel, float32.

    Args:
        x: `[height, width]`, `[height, width, channels]` or `[batch, height, width,
            channels]`, of any type.
        kernel: A name of `FILTERS`, or numbers `[height, width]`.
        padding: `"valid"` for none: 6x6 pixels become 4x4; `"same"` to keep the size,
            for odd kernels; or a number of pixels for every side.
        padding_mode: What lies beyond the border, as in `jaxcnn.ops.pad`. Zeros make
            the border look like an edge; `"replicate"` does not.

    Returns:
        An image with the axes that came.

    Raises:
        ValueError: if the kernel's name is unknown or it is no matrix, the padding is
            another word or does not fit the kernel, or the image is too small.

    Example:
        >>> rows = jnp.tile(jnp.array([10, 10, 10, 0, 0, 0]), (6, 1))
        >>> filter_image(rows, "vertical_edges")[0].tolist()
        [0.0, 30.0, 30.0, 0.0]
        >>> filter_image(rows[:, ::-1], "vertical_edges")[0].tolist()
        [0.0, -30.0, -30.0, 0.0]

        Bright over dark on the left, dark over bright on the right:

        >>> above, below = [10, 10, 10, 0, 0, 0], [0, 0, 0, 10, 10, 10]
        >>> halves = jnp.array([above] * 3 + [below] * 3)
        >>> print(filter_image(halves, "horizontal_edges").astype(int))
        [[  0   0   0   0]
         [ 30  10 -10 -30]
         [ 30  10 -10 -30]
         [  0   0   0   0]]

        A line one pixel wide, and the kernel of its shape:

        >>> line = jnp.array([[0, 1, 0, 0]] * 4)
        >>> filter_image(line, jnp.array([[-1, 1, -1]] * 3)).astype(int).tolist()
        [[3, -3], [3, -3]]

        Numbers to work out by hand:

        >>> numbers = jnp.array(
        ...     [
        ...         [3, 0, 1, 2, 7, 4],
        ...         [1, 5, 8, 9, 3, 1],
        ...         [2, 7, 2, 5, 1, 3],
        ...         [0, 1, 3, 1, 7, 8],
        ...         [4, 2, 1, 6, 2, 8],
        ...         [2, 4, 5, 2, 3, 9],
        ...     ]
        ... )
        >>> print(filter_image(numbers, "vertical_edges").astype(int))
        [[ -5  -4   0   8]
         [-10  -2   2   3]
         [  0  -2  -4  -7]
         [ -3  -2  -3 -16]]
        >>> numbers = jnp.array(
        ...     [
        ...         [3, 3, 2, 1, 0],
        ...         [0, 0, 1, 3, 1],
        ...         [3, 1, 2, 2, 3],
        ...         [2, 0, 0, 2, 2],
        ...         [2, 0, 0, 0, 1],
        ...     ]
        ... )
        >>> kernel = jnp.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]])
        >>> print(filter_image(numbers, kernel).astype(int))
        [[12 12 17]
         [10 17 19]
         [ 9  6 14]]
    """
    images = jnp.asarray(x, jnp.float32)
    if not 2 <= images.ndim <= 4:
        raise ValueError(
            "filter_image needs [height, width], [height, width, channels] or [batch, "
            f"height, width, channels], got shape {tuple(images.shape)}."
        )
    taps = _taps(kernel)
    planes = images[..., None] if images.ndim == 2 else images
    planes = jnp.moveaxis(planes, -1, 0)  # every channel is an image of its own
    shape = planes.shape[:-2]
    planes = planes.reshape(-1, *planes.shape[-2:], 1)
    planes = pad(planes, _padding(padding, taps.shape), padding_mode)
    if any(n < k for n, k in zip(planes.shape[1:3], taps.shape, strict=True)):
        raise ValueError(
            f"A kernel of {taps.shape} does not fit an image of shape "
            f"{tuple(images.shape)} with padding={padding!r}."
        )
    y = conv(
        planes,
        taps[:, :, None, None],
        stride=(1, 1),
        padding=[(0, 0), (0, 0)],
        dilation=(1, 1),
    )
    y = jnp.moveaxis(y.reshape(*shape, *y.shape[1:3]), 0, -1)
    return y[..., 0] if images.ndim == 2 else y


def _taps(kernel: str | ArrayLike) -> Array:
    if isinstance(kernel, str):
        if kernel not in FILTERS:
            raise ValueError(
                f"kernel={kernel!r} is unknown.{nearest(kernel, FILTERS)} "
                f"Allowed: {', '.join(map(repr, FILTERS))}, or a matrix."
            )
        return jnp.asarray(FILTERS[kernel])
    taps = jnp.asarray(kernel, jnp.float32)
    if taps.ndim != 2 or not taps.size:
        raise ValueError(f"kernel must be [height, width], got shape {taps.shape}.")
    return taps


def _padding(padding: str | int, size: tuple[int, ...]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * 2
    if padding == "same":
        if any(side % 2 == 0 for side in size):
            raise ValueError(
                f"padding='same' needs a kernel with odd sides, got {size}: "
                "an even one has no centre."
            )
        return [(side // 2, side // 2) for side in size]
    if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
        raise ValueError(
            "padding must be 'valid', 'same' or a number of at least 0, "
            f"got {padding!r}."
        )
    return [(padding, padding)] * 2
