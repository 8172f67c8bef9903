"""The same numbers to the bit in every run, on accelerators too."""

import os

#: XLA then takes no kernel whose sums depend on the order of its threads, and measures
#: none against another: which one is fastest differs from start to start.
FLAG = "--xla_gpu_deterministic_ops=true"


def make_deterministic() -> None:
    """Makes XLA choose operations on GPUs that give the same bits in every run.

    It changes `XLA_FLAGS`, which XLA reads when its backend starts. On CPUs and TPUs
    runs are equal to the bit in any case.

    Raises:
        ValueError: if the backend has started without the flag.

    References:
        OpenXLA, "Determinism (GPU)", https://openxla.org/xla/determinism.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG in flags.split():
        return
    if _backend_is_up():
        raise ValueError(
            "deterministic must be known before JAX is used first: its backend is up. "
            f"Start the program with XLA_FLAGS={FLAG}."
        )
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()


def _backend_is_up() -> bool:
    # The public interface has no question that does not start it.
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()
