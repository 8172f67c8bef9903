"""Claim: a deeper plain network fits worse, in training already; a residual one not.

    python experiments/course/residual_depth.py

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sections 1 and 4.1
(figure 4: 18 against 34 layers), https://arxiv.org/abs/1512.03385. Measured: the same
networks of 18 and 34 layers, 8 channels wide, with and without shortcuts, on 2,000
images of CIFAR-10 a seed; the error on the training images, and on others.

Came out: 34 plain layers fit worse than 18 (training error 84 against 71 %). With
shortcuts all fit better, but 34 layers are behind 18 (63 against 54 %) at 300 steps.
"""

from pathlib import Path
from typing import Any

from common import (
    Settings,
    accuracies,
    compare,
    curves,
    finish,
    load_parts,
    main,
    markdown,
    panels,
    spread,
)

import jaxcnn
from jaxcnn.data import EvalData

STEPS, RATES, WIDTH = 300, (0.05,), 8
KINDS = {"plain": "none", "residual": "projection"}


def run(settings: Settings) -> dict[str, Any]:
    """Trains the four networks."""
    parts = load_parts("cifar10", settings)
    models = {
        # A block that starts as zero would let nothing through a plain network.
        f"{kind}, {depth} layers": jaxcnn.create_model(
            f"resnet{depth}",
            num_classes=10,
            width=WIDTH,
            zero_init=False,
            shortcut=shortcut,
        )
        for kind, shortcut in KINDS.items()
        for depth in ((18,) if settings.fast else (18, 34))
    }

    def measure(trainer, seed, state):
        data = EvalData(parts.train[seed].source, parts.validation.batch_size)
        return {"train": trainer.measure(state, data)}

    return compare(
        models,
        parts,
        settings,
        settings.updates(STEPS),
        RATES,
        measure=measure,
        optimizer="momentum",
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the training losses and the validation accuracies."""
    figure, (left, right) = panels(2)
    curves(left, results, "train_loss")
    curves(right, results)
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns the errors on training and test images."""
    rows = []
    for name, entry in results.items():
        train = [100 * (1 - kept["train"]["accuracy"]) for kept in entry["measured"]]
        test = [100 - value for value in accuracies(entry)]
        last = [curve[-1]["train_loss"] for curve in entry["curves"]]
        rows.append([name, entry["rate"], spread(last, 2), spread(train), spread(test)])
    return markdown(
        ["network", "rate", "training loss", "training error, %", "test error, %"], rows
    )


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
