"""What the machine can do at most: GFLOP/s of a matrix product, GB/s of a copy.

    python -m benchmarks limits

The products are of 2048 x 2048 float32 matrices, by XLA and by PyTorch; the copies and
the sum `a + 2 b` are of 256 MB arrays, which no cache holds. GB/s counts what is read
and what is written once each. The best round counts, not the median: it is a limit.
XLA's outputs are new arrays, whose pages the system clears first; PyTorch writes into
arrays that are there. So the larger figure is the machine's, and the smaller one what a
program pays that allocates large arrays anew.
"""

import argparse
import importlib.util
from collections.abc import Callable

import numpy as np

from benchmarks.record import environment, write_results
from benchmarks.rounds import interleave

SIDE = 2048
LENGTH = 64_000_000


def our_calls(side: int, length: int) -> dict[str, Callable]:
    """Returns XLA's product, copy and triad."""
    import jax
    import jax.numpy as jnp

    a = jnp.asarray(np.random.default_rng(0).random((side, side), np.float32))
    x, y = jnp.zeros(length), jnp.ones(length)
    product = jax.jit(jnp.matmul)
    copy = jax.jit(lambda x: x + 1)
    triad = jax.jit(lambda x, y: x + 2 * y)
    return {
        "product": lambda: product(a, a).block_until_ready(),
        "copy": lambda: copy(x).block_until_ready(),
        "triad": lambda: triad(x, y).block_until_ready(),
    }


def torch_calls(side: int, length: int) -> dict[str, Callable]:
    """Returns PyTorch's product, copy and triad, into arrays that are there."""
    import torch

    a = torch.rand(side, side)
    x, y, z = torch.zeros(length), torch.ones(length), torch.zeros(length)
    return {
        "product": lambda: a @ a,
        "copy": lambda: z.copy_(x),
        "triad": lambda: torch.add(x, y, alpha=2, out=z),
    }


def measure(rounds: int, side: int = SIDE, length: int = LENGTH) -> list[dict]:
    """Returns a row for each side and operation."""
    sides = {"jax": our_calls}
    if importlib.util.find_spec("torch"):
        sides["torch"] = torch_calls
    calls = {
        (name, operation): call
        for name, make in sides.items()
        for operation, call in make(side, length).items()
    }
    arrays = {"copy": 2, "triad": 3}
    rows = []
    for (name, operation), seconds in interleave(calls, rounds).items():
        row = {"side": name, "operation": operation, "seconds": min(seconds)}
        if operation == "product":
            row["gflops"] = round(2e-9 * side**3 / min(seconds), 1)
        else:
            moved = arrays[operation] * 4 * length
            row["gb_per_second"] = round(1e-9 * moved / min(seconds), 1)
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes the limits."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks limits", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args(arguments)
    about = environment()
    rows = measure(chosen.rounds)
    for row in rows:
        value = row.get("gflops") or row["gb_per_second"]
        unit = "GFLOP/s" if "gflops" in row else "GB/s"
        print(f"{row['side']:<6} {row['operation']:<8} {value:>8,.1f} {unit}")
    write_results("limits", about, rows)


if __name__ == "__main__":
    main()
