"""Convolution with batch normalisation, and what padding means here."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from jaxcnn.layers.initializers import Initializer, he_normal_fan_out
from jaxcnn.layers.norm import batch_norm
from jaxcnn.typing import Array, Dtype

Size = int | Sequence[int]
Padding = str | int


def conv_padding(
    padding: Padding, kernel_size: Sequence[int], dilation: int = 1
) -> list[tuple[int, int]]:
    """Returns the (low, high) padding of each spatial axis of a convolution.

    Args:
        padding: A number for every side; `"valid"` for none; `"same"` for as much as
            keeps the size at stride 1. It does not depend on the stride, so `"same"`
            is symmetric for odd kernels, as in PyTorch, where XLA's own `"SAME"` pads
            an even image at stride 2 on one side only.
        kernel_size: Size of the kernel along each spatial axis.
        dilation: Distance between the kernel's taps.

    Raises:
        ValueError: if `padding` is another word or a negative number.

    Example:
        >>> conv_padding("same", (3, 5))
        [(1, 1), (2, 2)]
    """
    word = padding.lower() if isinstance(padding, str) else None
    number = padding if isinstance(padding, int) else -1
    if word not in ("same", "valid") and number < 0:
        raise ValueError(
            f"padding must be 'same', 'valid' or a number of at least 0, "
            f"got {padding!r}."
        )
    if word != "same":
        number = max(0, number)
        return [(number, number)] * len(kernel_size)
    totals = [dilation * (size - 1) for size in kernel_size]
    return [(total // 2, total - total // 2) for total in totals]


class ConvNorm(nn.Module):
    """A convolution without bias, `conv`, then BatchNorm, `norm`; no activation.

    Attributes:
        features: Channels out.
        kernel_size: One number, or one for each spatial axis.
        stride: Step of the convolution along every spatial axis.
        padding: As in `conv_padding`; symmetric by default.
        groups: Groups of channels that do not see each other.
        dilation: Distance between the kernel's taps.
        kernel_init: Initialiser of the kernel; He normal, fan out, by default.
        scale_init: Initialiser of BatchNorm's scale.
        dtype: Computation type; parameters and statistics stay float32.
        axis_name: Mapped axis that shares batch statistics (`pmap`, `shard_map`).
    """

    features: int
    kernel_size: Size = 3
    stride: int = 1
    padding: Padding = "same"
    groups: int = 1
    dilation: int = 1
    kernel_init: Initializer = he_normal_fan_out
    scale_init: Initializer = jax.nn.initializers.ones
    dtype: Dtype | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `[batch, *spatial, features]` for `[batch, *spatial, channels]`."""
        rank = x.ndim - 2
        size = self.kernel_size
        kernel_size = (size,) * rank if isinstance(size, int) else tuple(size)
        x = nn.Conv(
            self.features,
            kernel_size,
            strides=(self.stride,) * rank,
            padding=conv_padding(self.padding, kernel_size, self.dilation),
            kernel_dilation=(self.dilation,) * rank,
            feature_group_count=self.groups,
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return batch_norm(
            use_running_average=not train,
            scale_init=self.scale_init,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="norm",
        )(x)
