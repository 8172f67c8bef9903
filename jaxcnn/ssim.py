"""Structural similarity of images: one function for the loss and for the metric."""

import numpy as np
from jax import lax
from jax import numpy as jnp

from jaxcnn.typing import Array

#: Wang et al. 2004, section III.C: an 11x11 Gaussian of deviation 1.5, and the two
#: constants that keep the quotients stable.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def ssim(outputs: Array, targets: Array, *, data_range: float = 1.0) -> Array:
    r"""Returns the structural similarity of every image to its target (mean SSIM).

    With means :math:`\mu`, variances :math:`\sigma^2` and covariance
    :math:`\sigma_{xy}` under a Gaussian window of 11x11 pixels and deviation 1.5, at
    every place where the window lies inside the image,

    .. math::

        \mathrm{SSIM} = \frac{(2\mu_x\mu_y + c_1)(2\sigma_{xy} + c_2)}
            {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}, \quad
        c_1 = (0.01 R)^2, \; c_2 = (0.03 R)^2, \; R = `data_range`.

    Places and channels are averaged. Other implementations differ at the borders, which
    are left out here as in the authors' own, and where they divide variances by the
    window's size less one.

    Args:
        outputs: Images, `[batch, height, width, channels]`, sides of 11 pixels or more.
        targets: The images they should equal, of the same shape.
        data_range: Largest minus smallest possible value: 1 for images in [0, 1].

    Returns:
        `[batch]`, float32, in [-1, 1]; 1 for equal images.

    Raises:
        ValueError: if the shapes differ or are not those of images of 11x11 or more, or
            `data_range` is not above 0.

    Example:
        >>> image = jnp.linspace(0, 1, 144).reshape(1, 12, 12, 1)
        >>> print(ssim(image, image), f"{ssim(image, 1 - image)[0]:.2f}")
        [1.] -0.93

    References:
        Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error
        Visibility to Structural Similarity", IEEE Transactions on Image Processing 13
        (4), 2004, section III, https://doi.org/10.1109/TIP.2003.819861.
    """
    _check(outputs, targets, data_range)
    x, y = outputs.astype(jnp.float32), targets.astype(jnp.float32)
    # Variances do not change with a shift, and their differences of squares lose less.
    shift_x, shift_y = (
        lax.stop_gradient(images.mean(axis=(1, 2, 3), keepdims=True))
        for images in (x, y)
    )
    x, y = x - shift_x, y - shift_y
    mean_x, mean_y, xx, yy, xy = _blur(jnp.stack([x, y, x * x, y * y, x * y]))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + shift_x, mean_y + shift_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (light * structure).mean(axis=(1, 2, 3))


def _blur(images: Array) -> Array:
    """Returns `[k, batch, height, width, channels]` under the window, borders cut."""
    distance = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(distance**2) / (2 * SIGMA**2))
    weights = jnp.asarray(weights / weights.sum(), jnp.float32)
    k, batch, height, width, channels = images.shape
    flat = jnp.moveaxis(images, -1, 2).reshape(-1, height, width, 1)
    for shape in ((WINDOW, 1, 1, 1), (1, WINDOW, 1, 1)):
        flat = lax.conv_general_dilated(
            flat,
            weights.reshape(shape),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            # Accelerators round to 10 or 8 bits by default: too few for variances.
            precision=lax.Precision.HIGHEST,
        )
    flat = flat.reshape(k, batch, channels, *flat.shape[1:3])
    return jnp.moveaxis(flat, 2, -1)


def _check(outputs: Array, targets: Array, data_range: float) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs {outputs.shape} and targets {targets.shape} differ in shape."
        )
    if outputs.ndim != 4 or min(outputs.shape[1:3]) < WINDOW:
        raise ValueError(
            "SSIM needs images [batch, height, width, channels] of at least "
            f"{WINDOW}x{WINDOW}, got shape {outputs.shape}."
        )
    if not data_range > 0:
        raise ValueError(f"data_range={data_range} must be above 0.")
