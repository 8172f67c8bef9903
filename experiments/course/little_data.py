"""Claim: with little data, start from a network that was trained on other data.

    python experiments/course/little_data.py

Yosinski et al., "How Transferable Are Features in Deep Neural Networks?", NeurIPS 2014,
https://arxiv.org/abs/1411.1792. Measured: a CNN trained on 2,000 digits 0 to 4 of MNIST
is taken to 5 to 9, of which there are 5, 20 and 100 a class: a new head on the frozen
rest, all trained from there on, or from scratch. Larger sets, and one further from the
first, are in docs/transfer.md.

Came out: 2 to 3 points better with 5 images a class, half a point with 100; a frozen
network with a new head is then 2 points behind.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import (
    Parts,
    Settings,
    Trainer,
    accuracies,
    finish,
    lines,
    load_parts,
    main,
    markdown,
    panels,
    spread,
    train_seeds,
)

import jaxcnn
from jaxcnn.data import EvalData, Source, TrainData

STEPS, FIRST_STEPS, RATES = 150, 300, (1e-3, 3e-3)
SIZES = (5, 20, 100)
WAYS = ("from scratch", "new head", "all, from the weights")


def of_classes(source: Source, low: int, each: int | None = None) -> Source:
    """Returns the images of classes `low` to `low + 4`, of each the first `each`."""
    labels = np.asarray(source.labels)
    chosen = [np.flatnonzero(labels == low + k)[:each] for k in range(5)]
    rows = np.sort(np.concatenate(chosen))
    names = source.class_names[low : low + 5]
    return Source(source.name, source.images[rows], labels[rows] - low, names, "part")


def half(parts: Parts, low: int, each: int | None = None) -> Parts:
    """Returns the parts of five classes, `each` training images of every one."""
    train = [
        TrainData(
            of_classes(data.source, low, each), min(data.batch_size, 25), data.seed
        )
        for data in parts.train
    ]
    validation, test = (
        EvalData(of_classes(data.source, low), data.batch_size)
        for data in (parts.validation, parts.test)
    )
    return Parts(train, validation, test, parts.preprocess)


def run(settings: Settings) -> dict[str, Any]:
    """Trains on five classes, then on few images of the others."""
    parts = load_parts("mnist", settings, images=4000)
    sizes = (2,) if settings.fast else SIZES
    if settings.fast:
        parts = parts._replace(
            train=[TrainData(p.source, 10, p.seed) for p in parts.train]
        )
    model = jaxcnn.create_model("cnn", features=(8, 16, 16), num_classes=5)
    smallest = half(parts, 5, sizes[0])
    free = Trainer(model, smallest)
    frozen = Trainer(model, smallest, freeze="stage.*")
    free.parts = half(parts, 0)
    steps = settings.updates(FIRST_STEPS)
    learned = [
        jax.device_get(free.run(seed, RATES[-1], steps).state.params)
        for seed in settings.numbers
    ]
    results: dict[str, Any] = {}
    for size in sizes:
        free.parts = frozen.parts = half(parts, 5, size)
        for way in WAYS:
            trainer = frozen if way == "new head" else free
            start = starting(trainer, None if way == WAYS[0] else learned)
            entry = train_seeds(
                trainer, settings, settings.updates(STEPS), RATES, start=start
            )
            results.setdefault(way, {})[size] = entry
            print(f"{way}, {size}: test {spread(accuracies(entry))}", flush=True)
    return results


def starting(trainer: Trainer, learned: list[Any] | None) -> Any:
    """Returns `start(seed)`: new weights, or those learned behind a new head."""

    def start(seed: int) -> Any:
        state = trainer.start(jax.random.key(1000 + seed))
        if learned is None:
            return state
        params = {**learned[seed], "head": state.params["head"]}
        return state.replace(params=jax.tree.map(jax.numpy.asarray, params))

    return start


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the accuracy over the number of images."""
    figure, (axes,) = panels(1)
    for place, (way, found) in enumerate(results.items()):
        sizes = [int(size) for size in found]
        values = np.array([accuracies(entry) for entry in found.values()]).T
        lines(axes, sizes, values, way, place, marker="o", ms=4)
    axes.set(xscale="log", xlabel="training images of each class")
    axes.set(ylabel="test accuracy, %", xticks=sizes, xticklabels=sizes)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns the accuracy of every way at every number of images."""
    rows = [
        [way, *(spread(accuracies(entry)) for entry in found.values())]
        for way, found in results.items()
    ]
    sizes = [f"{size} a class" for size in results[WAYS[0]]]
    return markdown(["trained", *sizes], rows)


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
