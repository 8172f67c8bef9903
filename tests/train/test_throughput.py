import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxcnn.train import PEAKS, Throughput, model_flop_utilization, peak_flops
from jaxcnn.train.throughput import describe_throughput


def test_utilization_counts_six_operations_a_multiply_add():
    # 10 images/s of 5 multiply-adds: 300 operations of the 2 x 1500 there are.
    assert model_flop_utilization(10, 5, peak=1500, devices=2) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("kind", "dtype", "peak"),
    [
        # cloud.google.com/tpu/docs/v3, v4, v5e, v5p, v6e: per chip; a v3 has two cores.
        ("TPU v3", jnp.bfloat16, 123e12 / 2),
        ("TPU v4", jnp.bfloat16, 275e12),
        ("TPU v5 lite", jnp.bfloat16, 197e12),
        ("TPU v5p", jnp.float32, 459e12),
        ("TPU v6e", "bfloat16", 918e12),
        # NVIDIA's datasheets, without sparsity.
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "float32", 156e12),
        ("NVIDIA H100 80GB HBM3", "float16", 1978e12 / 2),
        ("NVIDIA H100 PCIe", "bfloat16", 1513e12 / 2),
        ("Tesla T4", "float16", 65e12),
        ("Tesla T4", "bfloat16", None),
        ("Tesla V100-SXM2-16GB", "float32", 15.7e12),
        ("cpu", "float32", None),
        ("TPU v4", "float64", None),
    ],
)
def test_peaks_are_those_that_vendors_publish(kind, dtype, peak):
    assert peak_flops(kind, dtype) == peak


def test_no_device_is_slower_in_fewer_bits():
    for kind, peak in PEAKS.items():
        half = [x for x in (peak.bfloat16, peak.float16) if x is not None]
        assert half, kind
        assert min(half) >= peak.float32, kind


def test_this_cpu_has_no_peak_of_its_own():
    assert peak_flops(jax.devices()[0].device_kind) is None


def test_throughput_says_what_it_knows():
    assert Throughput().values(120.0, 8) == {
        "images_per_second": 120.0,
        "images_per_second_per_device": 15.0,
    }
    values = Throughput(macs=10**9, peak=3e12).values(100.0, 1)
    assert values["mfu"] == pytest.approx(0.2)
    assert describe_throughput(values, 1) == "100 images/s (MFU 20.0 %)"
    assert describe_throughput(Throughput().values(4000.0, 2), 2) == (
        "4,000 images/s (2,000 a device)"
    )
    assert describe_throughput(Throughput().values(12.0, 1), 1) == "12 images/s"


@pytest.mark.parametrize("name", ["macs", "peak"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be above 0 and finite"):
        dataclasses.replace(Throughput(), **{name: value})
