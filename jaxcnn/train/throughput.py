"""Images per second, and what share of the device's arithmetic they need."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp

#: Forward and backward: the backward pass has two products for each of the forward.
_PASSES = 3


class Peak(NamedTuple):
    """Floating-point operations per second of one JAX device, by type of the products.

    Dense products, as the vendor publishes them. `float32` is what `jax.numpy` and
    `lax.conv` do by default there: TF32 on NVIDIA from Ampere on, one bfloat16 pass on
    TPUs. None where the device has no unit for the type.
    """

    bfloat16: float | None
    float16: float | None
    float32: float | None


# https://cloud.google.com/tpu/docs/v3 (123 TFLOPS a chip, of two devices), .../v4,
# .../v5e, .../v5p, .../v6e.
_V3, _V4, _V5E, _V5P, _V6E = 61.5e12, 275e12, 197e12, 459e12, 918e12
# NVIDIA A100 datasheet (2021); H100 datasheet, whose numbers for tensor cores are with
# sparsity, twice the dense ones; V100 (2020) and T4 (2019) datasheets.
_H100 = Peak(989e12, 989e12, 494.5e12)

#: Published peaks by `jax.Device.device_kind`.
PEAKS: Mapping[str, Peak] = MappingProxyType(
    {
        "TPU v3": Peak(_V3, None, _V3),
        "TPU v4": Peak(_V4, None, _V4),
        "TPU v5 lite": Peak(_V5E, None, _V5E),
        "TPU v5e": Peak(_V5E, None, _V5E),
        "TPU v5": Peak(_V5P, None, _V5P),
        "TPU v5p": Peak(_V5P, None, _V5P),
        "TPU v6 lite": Peak(_V6E, None, _V6E),
        "TPU v6e": Peak(_V6E, None, _V6E),
        "NVIDIA A100-SXM4-40GB": Peak(312e12, 312e12, 156e12),
        "NVIDIA A100-SXM4-80GB": Peak(312e12, 312e12, 156e12),
        "NVIDIA A100-PCIE-40GB": Peak(312e12, 312e12, 156e12),
        "NVIDIA A100 80GB PCIe": Peak(312e12, 312e12, 156e12),
        "NVIDIA H100 80GB HBM3": _H100,
        "NVIDIA H100 PCIe": Peak(756.5e12, 756.5e12, 378e12),
        "NVIDIA H200": _H100,
        "Tesla V100-SXM2-16GB": Peak(None, 125e12, 15.7e12),
        "Tesla V100-SXM2-32GB": Peak(None, 125e12, 15.7e12),
        "Tesla T4": Peak(None, 65e12, 8.1e12),
    }
)


def peak_flops(device_kind: str, dtype: Any = jnp.float32) -> float | None:
    """Returns the published FLOP/s of a device, or None where none is known.

    CPUs are not in the table: give the number for yours where one is wanted.

    Args:
        device_kind: `jax.devices()[0].device_kind`.
        dtype: The type in which the model computes.

    Example:
        >>> peak_flops("NVIDIA H100 80GB HBM3", "bfloat16") / 1e12
        989.0
        >>> print(peak_flops("cpu"))
        None
    """
    peak = PEAKS.get(device_kind)
    return getattr(peak, jnp.dtype(dtype).name, None)


def model_flop_utilization(
    images_per_second: float, macs: int, peak: float, devices: int = 1
) -> float:
    r"""Returns the share of the devices' peak that training needs by arithmetic alone.

    .. math:: \mathrm{MFU} = \frac{3 \cdot 2 \cdot \mathrm{MACs} \cdot r}{n\,P}

    for :math:`r` images per second on :math:`n` devices of peak :math:`P`. A
    multiply-add is two operations; the backward pass costs two forward passes. What is
    computed again to save memory does not count, nor do norms, activations and the
    optimizer, and gradient accumulation changes nothing. Frozen layers have no backward
    pass, so where some are frozen the share is overstated.

    Args:
        images_per_second: Of all devices together.
        macs: Multiply-adds of a forward pass of one image, `summarize(...).macs`.
        peak: FLOP/s of one device, see `peak_flops`.
        devices: How many there are.

    Example:
        >>> round(model_flop_utilization(2500, 4_089_184_256, 312e12), 3)
        0.197

    References:
        Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022,
        appendix B, https://arxiv.org/abs/2204.02311.
    """
    return images_per_second * _PASSES * 2 * macs / (devices * peak)


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Turns images/s into what hooks report; without the two numbers, without MFU.

    Attributes:
        macs: Multiply-adds of a forward pass of one image.
        peak: FLOP/s of one device.

    Raises:
        ValueError: if a number is given that is not above 0 and finite.
    """

    macs: int | None = None
    peak: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("macs", self.macs), ("peak", self.peak)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value}.")

    def values(self, images_per_second: float, devices: int) -> dict[str, float]:
        """Returns `images_per_second`, the same `_per_device`, and `mfu` if known."""
        values = {
            "images_per_second": images_per_second,
            "images_per_second_per_device": images_per_second / devices,
        }
        if self.macs is not None and self.peak is not None:
            values["mfu"] = model_flop_utilization(
                images_per_second, self.macs, self.peak, devices
            )
        return values


def describe_throughput(values: Mapping[str, float], devices: int) -> str:
    """Returns a few words about `Throughput.values`.

    Example:
        >>> describe_throughput(Throughput(4_000_000_000, 1e14).values(2000, 8), 8)
        '2,000 images/s (250 a device, MFU 6.0 %)'
    """
    each = values["images_per_second_per_device"]
    words = [f"{each:,.0f} a device"] if devices > 1 else []
    words += [f"MFU {100 * values['mfu']:.1f} %"] if "mfu" in values else []
    line = f"{values['images_per_second']:,.0f} images/s"
    return f"{line} ({', '.join(words)})" if words else line
