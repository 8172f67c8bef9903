"""Claim: a convolution of stride 2 can take the place of max pooling.

    python experiments/course/pooling_against_stride.py

Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR 2015
workshop, section 2 (a pool replaced by a convolution of its own with stride 2, or left
out and the one before strided, which loses accuracy), https://arxiv.org/abs/1412.6806.
Measured on 2,000 images of CIFAR-10 a seed: CNNs of three stages that halve the image
by a largest value, a mean, a stride of their last convolution, or one more convolution.

Came out: it did not show. In six epochs a strided convolution is 5 points behind max
pooling, one more convolution 7.
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

STEPS, RATES = 240, (3e-3,)
WAYS = {
    "max pooling": {"pool": "max"},
    "average pooling": {"pool": "average"},
    "stride in the convolution": {"pool": "stride"},
    "a further, strided convolution": {"pool": "stride", "convs_per_stage": 2},
}
MODELS = {
    name: jaxcnn.create_model("cnn", features=(8, 16, 32), **options)
    for name, options in WAYS.items()
}


def run(settings: Settings) -> dict[str, Any]:
    """Trains the four, and counts what they cost."""
    parts = load_parts("cifar10", settings)
    results = compare(MODELS, parts, settings, settings.updates(STEPS), RATES)
    for name, model in MODELS.items():
        results[name]["macs"] = jaxcnn.summarize(model, (1, *parts.shape)).macs
    return results


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the training losses and the validation accuracies."""
    figure, (left, right) = panels(2)
    curves(left, results, "train_loss")
    curves(right, results)
    left.legend_.remove()
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns cost, training loss and accuracy."""
    rows = []
    for name, entry in results.items():
        last = [curve[-1]["train_loss"] for curve in entry["curves"]]
        macs = f"{entry['macs'] / 1e6:.2f}"
        parameters = f"{entry['parameters']:,}"
        tested = spread(accuracies(entry))
        rows.append([name, parameters, macs, entry["rate"], spread(last, 2), tested])
    header = ["halved by", "parameters", "million MACs", "rate", "training loss"]
    return markdown([*header, "test accuracy, %"], rows)


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
