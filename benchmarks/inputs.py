"""Images/s of batches from arrays in memory: TrainData and PyTorch's DataLoader.

    python -m benchmarks inputs

60,000 images of 28x28 as uint8, shuffled, in batches of 128. PyTorch's `TensorDataset`
and `DataLoader` fetch and stack single images; "batched" fetches a whole batch by its
indices (`BatchSampler` as the sampler), its fastest way. `python -m benchmarks decode`
has JPEGs in folders and worker processes.
"""

import argparse
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.record import environment, write_results
from benchmarks.rounds import interleave, spread

BATCH = 128


def our_batches(images: np.ndarray, labels: np.ndarray) -> Iterator[Any]:
    """Yields batches without end."""
    from jaxcnn.data import Source, TrainData

    data = TrainData(
        Source("random", images, labels, tuple("0123456789")), BATCH, seed=0
    )
    return (data[k] for k in itertools.count())


def torch_batches(images: np.ndarray, labels: np.ndarray, batched: bool) -> Iterator:
    """Yields batches without end."""
    import torch
    from torch.utils import data

    arrays = torch.from_numpy(images), torch.from_numpy(labels)
    dataset = data.TensorDataset(*arrays)
    if batched:
        order = data.BatchSampler(data.RandomSampler(dataset), BATCH, drop_last=True)
        loader = data.DataLoader(dataset, sampler=order, batch_size=None)
    else:
        loader = data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True)
    while True:
        yield from loader


def make_calls(examples: int, batches: int) -> dict[str, Callable[[], None]]:
    """Returns, by side, what takes so many batches."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (examples, 28, 28, 1), dtype=np.uint8)
    labels = random.integers(0, 10, examples).astype(np.int32)
    sides = {"jaxcnn": our_batches(images, labels)}
    if importlib.util.find_spec("torch"):
        sides["torch DataLoader"] = torch_batches(images, labels, False)
        sides["torch DataLoader, batched"] = torch_batches(images, labels, True)

    def take(side: str) -> None:
        for _ in range(batches):
            next(sides[side])

    return {side: lambda side=side: take(side) for side in sides}


def measure(rounds: int, examples: int = 60_000, batches: int = 100) -> list[dict]:
    """Returns a row for each side."""
    found = interleave(make_calls(examples, batches), rounds)
    return [
        {
            "side": side,
            "batch": BATCH,
            "images_per_second": spread([BATCH * batches / s for s in seconds]),
        }
        for side, seconds in found.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes the speeds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks inputs", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=10, help="2 or more")
    chosen = parser.parse_args(arguments)
    about = {**environment(), "rounds": max(chosen.rounds, 2)}
    rows = measure(about["rounds"])
    for row in rows:
        found = row["images_per_second"]
        low, high = found["quartiles"]
        print(
            f"{row['side']:<26} {found['median']:>11,.0f} images/s"
            f"  {low:,.0f} to {high:,.0f}"
        )
    write_results("inputs", about, rows)


if __name__ == "__main__":
    main()
