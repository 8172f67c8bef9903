"""Initialisers of kernels by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.named import call_named
from jaxcnn.typing import Array, Dtype

Initializer = Any

#: He et al., "Delving Deep into Rectifiers", ICCV 2015, https://arxiv.org/abs/1502.01852,
#: equation 14: keeps the variance of gradients through convolutions and ReLUs.
he_normal_fan_out = initializers.variance_scaling(2.0, "fan_out", "normal")


def constant(value: float) -> Initializer:
    """Returns the initialiser that fills with `value`."""
    return initializers.constant(value)


def normal(std: float = 0.01) -> Initializer:
    """Returns the initialiser that draws from a normal distribution around 0.

    Args:
        std: The standard deviation; 0.01 is AlexNet's.

    Raises:
        ValueError: if `std` is negative.

    References:
        Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
        Convolutional Neural Networks", NeurIPS 2012, section 5,
        https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks.
    """
    check_number("std", std, 0, whole=False)
    return initializers.normal(std)


def truncated_normal(std: float = 0.01) -> Initializer:
    """Returns the initialiser that redraws what is over two deviations from 0.

    What is drawn has 0.88 times the deviation `std`, as in TensorFlow; PyTorch's
    `trunc_normal_` cuts at -2 and 2 whatever the deviation.

    Args:
        std: The standard deviation of the whole, untruncated distribution.

    Raises:
        ValueError: if `std` is negative.
    """
    check_number("std", std, 0, whole=False)
    return initializers.truncated_normal(std)


def orthogonal(gain: float = 1.0) -> Initializer:
    """Returns the initialiser that draws orthonormal rows or columns, times `gain`.

    The kernel is seen as a matrix with a column for each channel out: its columns are
    orthonormal, or its rows if there are more columns than rows.

    Args:
        gain: The length of each; `sqrt(2)` for ReLU.

    References:
        Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of
        Learning in Deep Linear Neural Networks", ICLR 2014,
        https://arxiv.org/abs/1312.6120.
    """

    def init(key: Any, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
        # The decomposition behind it has no types of half the size.
        wide = jnp.promote_types(dtype, jnp.float32)
        return initializers.orthogonal(gain)(key, shape, wide).astype(dtype)

    return init


def dirac(groups: int = 1) -> Initializer:
    """Returns the initialiser by which a convolution gives its input back.

    Each channel out is the channel in of the same number, within its group: 1 at the
    kernel's centre, else 0. Where there are more channels out than in, the rest is 0.
    It works with any number of spatial axes, none included (a dense layer). For even
    kernels the centre is the pixel that `padding="same"` puts there; PyTorch's `dirac_`
    takes the next one.

    Args:
        groups: As the convolution's.

    Raises:
        ValueError: if `groups` is not a whole number of at least 1, or on use, if it
            does not divide the channels out or the shape has less than two axes.

    Example:
        >>> dirac()(None, (3, 2, 2))[:, :, 0].tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]

    References:
        Zagoruyko and Komodakis, "DiracNets: Training Very Deep Neural Networks Without
        Skip-Connections", 2017, https://arxiv.org/abs/1706.00388.
    """
    check_number("groups", groups, 1)

    def init(key: Any, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
        if len(shape) < 2 or shape[-1] % groups:
            raise ValueError(
                f"dirac needs a kernel of [*spatial, channels / groups, features], and "
                f"features that groups={groups} divides, got shape {tuple(shape)}."
            )
        *spatial, channels, features = shape
        # As many features of each group as there are channels in; the rest stays 0.
        taps = jnp.tile(jnp.eye(channels, features // groups, dtype=dtype), groups)
        centre = tuple((size - 1) // 2 for size in spatial)
        return jnp.zeros(shape, dtype).at[centre].set(taps)

    return init


#: Initialisers that `make_initializer` gives options to.
_WITH_OPTIONS: dict[str, Callable[..., Initializer]] = {
    "constant": constant,
    "dirac": dirac,
    "normal": normal,
    "orthogonal": orthogonal,
    "truncated_normal": truncated_normal,
}

_GLOROT = (initializers.glorot_normal(), initializers.glorot_uniform())
_HE = (initializers.he_normal(), initializers.he_uniform())
_UNIFORM_FAN_IN = initializers.variance_scaling(1 / 3, "fan_in", "uniform")

#: With n numbers into one unit (fan in) and m units that one number goes to (fan out):
#: Glorot's (Xavier's) have the variance 2 / (n + m), He's (Kaiming's) 2 / n, or 2 / m
#: for `he_normal_fan_out`, LeCun's 1 / n; the normal ones of `glorot_normal`,
#: `he_normal` and `lecun_normal` are truncated at two deviations, the variance made up
#: for. `uniform_fan_in` lies within 1 / sqrt(n): `torch` is its other name, because
#: PyTorch's layers draw so by default.
INITIALIZERS: dict[str, Initializer] = {
    "dirac": dirac(),
    "glorot_normal": _GLOROT[0],
    "glorot_uniform": _GLOROT[1],
    "he_normal": _HE[0],
    "he_normal_fan_out": he_normal_fan_out,
    "he_uniform": _HE[1],
    "kaiming_normal": _HE[0],
    "kaiming_uniform": _HE[1],
    "lecun_normal": initializers.lecun_normal(),
    "lecun_uniform": initializers.lecun_uniform(),
    "normal": normal(),
    "ones": jax.nn.initializers.ones,
    "orthogonal": orthogonal(),
    "torch": _UNIFORM_FAN_IN,
    "truncated_normal": truncated_normal(),
    "uniform_fan_in": _UNIFORM_FAN_IN,
    "xavier_normal": _GLOROT[0],
    "xavier_uniform": _GLOROT[1],
    "zeros": jax.nn.initializers.zeros,
}

#: Every name that `make_initializer` knows.
INITIALIZER_NAMES = tuple(sorted({*INITIALIZERS, *_WITH_OPTIONS}))


def make_initializer(initializer: str | Initializer, **options: Any) -> Initializer:
    """Returns the initialiser of that name, or the function itself.

    Args:
        initializer: A key of `INITIALIZERS`, `"constant"`, or a function
            `(key, shape, dtype) -> array`.
        **options: `value` of `"constant"` (required), `std` of `"normal"` and
            `"truncated_normal"` (0.01), `gain` of `"orthogonal"` (1), `groups` of
            `"dirac"` (1). The others take none.

    Raises:
        ValueError: if the name or an option is unknown, or a value is missing.

    Example:
        >>> make_initializer("constant", value=0.5)(jax.random.key(0), (2,)).tolist()
        [0.5, 0.5]

    References:
        Glorot and Bengio, "Understanding the Difficulty of Training Deep Feedforward
        Neural Networks", AISTATS 2010, equations 1 (`uniform_fan_in`) and 16
        (`glorot_uniform`), https://proceedings.mlr.press/v9/glorot10a.html; He et al.,
        "Delving Deep into Rectifiers", ICCV 2015, section 2.2,
        https://arxiv.org/abs/1502.01852; LeCun et al., "Efficient BackProp", 1998,
        section 4.6, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf.
    """
    if callable(initializer):
        if options:
            raise ValueError(
                f"An initialiser that is a function takes no options, got {options}."
            )
        return initializer
    check_choice("kernel_init", initializer, INITIALIZER_NAMES)
    make = _WITH_OPTIONS.get(initializer, lambda: INITIALIZERS[initializer])
    return call_named("initializer", {initializer: make}, initializer, **options)
