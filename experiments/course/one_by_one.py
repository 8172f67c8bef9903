"""Claim: a 1x1 convolution in front of a 5x5 saves most of its cost, not its accuracy.

    python experiments/course/one_by_one.py

Lin et al., "Network In Network", ICLR 2014; Szegedy et al., "Going Deeper with
Convolutions", CVPR 2015, section 4; as courses work it out, 5x5 from 192 to 32
channels on 28x28 takes 120 million multiply-adds, through 16 channels 12.4
(`conv_macs`). Measured on 2,000 images of CIFAR-10 a seed: two 5x5 convolutions of 32
channels, direct; each behind a 1x1 to 8 channels; and direct with so few channels that
they cost about the same.

Came out: 31 % of the multiply-adds for 2.4 points, which is within the spread.
"""

from pathlib import Path
from typing import Any

import jax
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
from flax import linen as nn

import jaxcnn
from jaxcnn.layers.conv import Conv
from jaxcnn.ops import global_average_pool, max_pool

STEPS, RATES = 300, (3e-3,)


class Net(nn.Module):
    """A stem, two 5x5 convolutions, each behind a pool, and the head.

    Attributes:
        features: Channels of the 5x5 convolutions.
        reduced: Channels of the 1x1 before each; none without.
    """

    features: int = 32
    reduced: int = 0

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Returns logits; `train` makes no difference."""
        options = {"padding": "same", "kernel_init": "he_normal"}
        x = max_pool(nn.relu(Conv(32, 3, 2, name="stem", **options)(images)), 2)
        for number in (1, 2):
            if self.reduced:
                reduce = Conv(self.reduced, 1, name=f"reduce{number}", **options)
                x = nn.relu(reduce(x))
            x = nn.relu(Conv(self.features, 5, name=f"conv{number}", **options)(x))
        return nn.Dense(10, name="head")(global_average_pool(x))


MODELS = {
    "5x5, 32 channels": Net(),
    "1x1 to 8, then 5x5": Net(reduced=8),
    "5x5, 10 channels": Net(features=10),
}


def run(settings: Settings) -> dict[str, Any]:
    """Trains the three, and counts what they cost."""
    parts = load_parts("cifar10", settings)
    results = compare(MODELS, parts, settings, settings.updates(STEPS), RATES)
    for name, model in MODELS.items():
        results[name]["macs"] = jaxcnn.summarize(model, (1, *parts.shape)).macs
    return results


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes accuracy over cost, and the curves."""
    figure, (left, right) = panels(2)
    curves(right, results)
    for place, (name, entry) in enumerate(results.items()):
        values = accuracies(entry)
        colour = right.lines[place].get_color()
        left.plot([entry["macs"] / 1e6] * len(values), values, "o", color=colour)
        left.annotate(
            name,
            (entry["macs"] / 1e6, max(values)),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=8,
            ha="center",
        )
    left.margins(0.35, 0.3)
    left.set(xlabel="million multiply-adds an image", ylabel="test accuracy, %")
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns cost and accuracy."""
    rows = [
        [
            name,
            f"{entry['parameters']:,}",
            f"{entry['macs'] / 1e6:.2f}",
            entry["rate"],
            spread(accuracies(entry)),
        ]
        for name, entry in results.items()
    ]
    return markdown(
        ["network", "parameters", "million MACs", "rate", "test accuracy, %"], rows
    )


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
