"""The benchmarks of accelerators and of growth, as far as a CPU goes."""

import subprocess
import sys

import pytest

from benchmarks import accelerator, growth


def test_without_an_accelerator_the_full_size_is_refused():
    with pytest.raises(ValueError, match=r"No accelerator.*--size small"):
        accelerator.measure("full")


@pytest.mark.thorough
def test_a_small_size_times_a_step_and_several_a_call():
    rows = accelerator.measure("small", steps=2, rounds=2)
    ways = [row["way"] for row in rows]
    assert ways == ["jaxcnn", "jaxcnn, several steps a call"]
    for row in rows:
        low, high = row["middle_half"]
        assert 0 < low <= row["images_per_second"] <= high
        assert row["mfu"] is None  # no peak of a CPU is known


@pytest.mark.parity
def test_pytorch_takes_its_turns():
    batch = accelerator.synthetic(8, 10, 2)
    call = accelerator.torch_call("a small net", 10, batch, "cpu")
    seconds, made = accelerator.timed(call, 3)
    assert seconds > 0
    assert made == 3


def test_exchanges_between_devices_are_counted():
    text = """
      %a = f32[3,4]{1,0} all-reduce(f32[3,4]{1,0} %x), replica_groups={}
      %b = (f32[8], bf16[2,2]{1,0}) all-reduce-start(%y, %z)
      %c = f32[5] add(f32[5] %p, f32[5] %q)
      %d = (f32[1], f32[1], f32[1], f32[1], f32[1], /*index=5*/f32[2]) all-reduce(%r)
    """
    assert growth.exchanges(text) == {"operations": 3, "arrays": 9, "bytes": 116}


def test_depths_that_no_such_net_has_are_refused():
    assert growth.values_of("depth", [14]) == [14]
    with pytest.raises(ValueError, match=r"depth cannot be 10; depths are 8, 14, 20"):
        growth.values_of("depth", [10])
    with pytest.raises(ValueError, match="batch cannot be 0"):
        growth.values_of("batch", [0])


@pytest.mark.slow
def test_a_row_of_several_devices_is_made_in_a_process_of_its_own():
    one, two = (growth.in_a_process("devices", count) for count in (1, 2))
    assert one["exchanges"]["operations"] == 0
    # The gradients of all parameters are summed.
    assert two["exchanges"]["bytes"] > 4 * 269_722
    assert two["temporary_bytes"] < one["temporary_bytes"]


def test_importing_a_benchmark_asks_no_device():
    code = "import benchmarks.growth, sys; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
