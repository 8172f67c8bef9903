"""Breaks runs in every way that is known, and counts how they go on.

    python -m tests.faults [PART ...] [--kills N] [--samples N] [--json FILE]

Prints a table and ends with 1 if anything was lost, wrong or unclear, or if a planted
bug was not found.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before JAX is imported. One thread of BLAS: a process with more must not fork.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "Agg"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"


def main():
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        configure(arguments.cache or Path(scratch) / "cache")
        from tests.faults.parts import run_parts

        report = run_parts(arguments, Path(scratch))
    print(report.table())
    for name, value in report.notes.items():
        print(f"{name}: {value}")
    for failure in report.failures:
        print("FAILED", failure)
    sys.exit(1 if report.failures else 0)


def parse():
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("parts", nargs="*", help="what to break; all by default")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--steps-per-kill", type=int, default=4)
    parser.add_argument("--samples", type=int, default=40, help="of what is sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the counts go")
    parser.add_argument("--cache", type=Path, help="compiled steps; kept if given")
    return parser.parse_args()


def configure(cache):
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")
    # Two starts in three compile nothing: killed ones leave what they compiled.
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


if __name__ == "__main__":
    main()
