"""Compiles a step before its first call, and says what that took and will take."""

import inspect
import math
import time
from collections.abc import Mapping
from typing import Any

from jaxcnn.train.parallel import ParallelStep
from jaxcnn.typing import Batch, PyTree

#: What XLA says of the memory, and the names that reports have for it.
_MEMORY = {
    "argument_bytes": "argument_size_in_bytes",
    "output_bytes": "output_size_in_bytes",
    "alias_bytes": "alias_size_in_bytes",
    "temporary_bytes": "temp_size_in_bytes",
    "code_bytes": "generated_code_size_in_bytes",
}


def compile_ahead(
    step: Any, state: PyTree, batch: Batch
) -> tuple[PyTree, dict[str, float] | None]:
    """Returns the state, where the step wants it, and what its compilation tells.

    The step is compiled here and not again: `jax.jit` keeps what was lowered and
    compiled for arguments of these shapes and placements, and the first call runs it.
    Nothing is said of `"pmap"`, which would compile twice, nor of a step that
    `parallelize` did not make.

    Args:
        step: From `parallelize`.
        state: What the step will be called with; it is not donated here.
        batch: Likewise.

    Returns:
        The state, and the numbers or None. They are of one device: `"seconds"` in all
        and `"trace_seconds"` of them until XLA began; the bytes of the arguments, the
        outputs, what of them lies in the memory of donated arguments (`"alias_bytes"`),
        the temporaries and the code; `"peak_bytes"`, what these need together; and
        `"flops"`, the floating-point operations of a step as XLA counts them. What a
        platform does not tell is left out.
    """
    # What pmap gives is a plain function, what it lowers is compiled once more.
    if not isinstance(step, ParallelStep) or inspect.isfunction(step.compiled):
        return state, None
    state, parts = step.arguments(state, batch)
    start = time.perf_counter()
    lowered = step.compiled.lower(state, parts)
    traced = time.perf_counter()
    compiled = lowered.compile()
    seconds = {
        "seconds": time.perf_counter() - start,
        "trace_seconds": traced - start,
    }
    return state, seconds | _memory(compiled) | _flops(compiled)


def _memory(compiled: Any) -> dict[str, float]:
    found = compiled.memory_analysis()
    if found is None:
        return {}
    sizes = {name: getattr(found, theirs) for name, theirs in _MEMORY.items()}
    return {**sizes, "peak_bytes": sum(sizes.values()) - 2 * sizes["alias_bytes"]}


def _flops(compiled: Any) -> dict[str, float]:
    flops = (compiled.cost_analysis() or {}).get("flops", math.nan)
    return {"flops": flops} if flops > 0 else {}


def describe_compilation(values: Mapping[str, float]) -> str:
    """Returns one line about what `compile_ahead` found.

    Example:
        >>> describe_compilation({"seconds": 3.2, "trace_seconds": 0.4, "flops": 2e9})
        'compiled in 3.2 s (tracing 0.4 s); 2 GFLOP a step'
    """
    words = [
        f"compiled in {values['seconds']:.1f} s "
        f"(tracing {values['trace_seconds']:.1f} s)"
    ]
    if "peak_bytes" in values:
        words.append(
            f"memory {in_bytes(values['peak_bytes'])} a device (arguments "
            f"{in_bytes(values['argument_bytes'])}, outputs "
            f"{in_bytes(values['output_bytes'])}, of which donated "
            f"{in_bytes(values['alias_bytes'])}, temporaries "
            f"{in_bytes(values['temporary_bytes'])}, code "
            f"{in_bytes(values['code_bytes'])})"
        )
    if "flops" in values:
        words.append(f"{values['flops'] / 1e9:.3g} GFLOP a step")
    return "; ".join(words)


def in_bytes(count: float) -> str:
    """Returns a number of bytes as people write it.

    Example:
        >>> in_bytes(512), in_bytes(3 * 2**20)
        ('512 B', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
