"""Claim: at equal parameters a CNN beats an MLP, most of all on digits that are moved.

    python experiments/course/mlp_against_cnn.py

A kernel is used at every position (LeCun et al. 1998, section II.A; Goodfellow et al.,
"Deep Learning", 2016, section 9.2): fewer weights to learn, and what is learned at one
place holds at all others. Measured: an MLP and a CNN of 9,000 parameters, and an MLP of
over ten times as many, on 2,000 digits of MNIST, trained on them as they are, or moved
by 0 to 4 pixels, once for all; then tested on digits moved by 0 to 6 pixels.

Came out: it shows. 95.6 % against 87.5 %, and 92.4 % of the large MLP; moved by two
pixels 71, 45 and 50 %. A CNN too falls to 26 % at four pixels, unless it was trained on
moved digits (76 %).
"""

from pathlib import Path
from typing import Any

import numpy as np
from common import (
    COLOURS,
    Settings,
    compare,
    finish,
    lines,
    load_parts,
    main,
    markdown,
    panels,
    spread,
)

import jaxcnn
from jaxcnn.data import EvalData, Source, TrainData

STEPS, SHIFTS = 400, (0, 1, 2, 3, 4, 5, 6)
WAYS = ("as they are", "moved")


def moved(images: np.ndarray, pixels: int) -> np.ndarray:
    """Returns each image moved in one of eight directions, black where nothing was."""
    ways = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    found = np.zeros_like(images)
    height, width = images.shape[1:3]
    frame = [(0, 0), (pixels, pixels), (pixels, pixels), (0, 0)]
    padded = np.pad(images, frame)
    for number, (y, x) in enumerate(ways):
        top, left = pixels * (1 + y), pixels * (1 + x)
        chosen = slice(number, None, len(ways))
        found[chosen] = padded[chosen, top : top + height, left : left + width]
    return found


def run(settings: Settings) -> dict[str, Any]:
    """Trains three networks in two ways and tests each on moved digits."""
    parts = load_parts("mnist", settings)
    models = {
        "CNN": jaxcnn.create_model("cnn", features=(8, 16)),
        "MLP": jaxcnn.create_model("mlp", hidden=(11,), dropout=0.0),
        "large MLP": jaxcnn.create_model("mlp", hidden=(128,), dropout=0.0),
    }
    tests = [
        EvalData(moved_source(parts.test.source, pixels), parts.test.batch_size)
        for pixels in SHIFTS
    ]

    def measure(trainer, seed, state):
        found = [trainer.measure(state, test)["accuracy"] for test in tests]
        return {"by_shift": found}

    steps, results = settings.updates(STEPS), {}
    for way in WAYS:
        if way == "moved":
            train = [
                TrainData(spread_out(data.source), data.batch_size, data.seed)
                for data in parts.train
            ]
            parts = parts._replace(train=train)
        results[way] = compare(models, parts, settings, steps, measure=measure)
    return results


def moved_source(source: Source, pixels: int) -> Source:
    """Returns the examples, all moved by that many pixels."""
    images = moved(np.asarray(source.images), pixels)
    return Source("moved", images, source.labels, source.class_names)


def spread_out(source: Source) -> Source:
    """Returns the examples, a fifth each moved by 0, 1, 2, 3 and 4 pixels."""
    images = np.array(source.images)
    # 8 directions by 5 distances: no direction has a distance of its own.
    for pixels in range(5):
        images[pixels::5] = moved(images[pixels::5], pixels)
    return Source("moved", images, source.labels, source.class_names)


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the accuracy over the pixels that test digits are moved by."""
    figure, axes = panels(2)
    for panel, (way, found) in zip(axes, results.items(), strict=True):
        for place, (name, entry) in enumerate(found.items()):
            values = [kept["by_shift"] for kept in entry["measured"]]
            label = f"{name}, {entry['parameters']:,} parameters"
            lines(panel, SHIFTS, values, label, place, marker="o", ms=3.5)
        panel.axhline(0.1, color=COLOURS[6], lw=0.8, ls=":")
        panel.set(ylim=(0, 1), xlabel="test digits moved by, pixels")
        panel.set(ylabel="test accuracy", title=f"Trained on digits {way}")
    axes[0].legend(frameon=False, fontsize=8)
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns the test accuracies at four shifts."""
    shown = (0, 2, 4, 6)
    rows = []
    for way, found in results.items():
        for name, entry in found.items():
            by = np.array([kept["by_shift"] for kept in entry["measured"]]) * 100
            cells = [spread(by[:, SHIFTS.index(pixels)].tolist()) for pixels in shown]
            rows.append([f"{name}, digits {way}", f"{entry['parameters']:,}", *cells])
    return markdown(
        ["trained", "parameters", *(f"moved by {pixels}" for pixels in shown)], rows
    )


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
