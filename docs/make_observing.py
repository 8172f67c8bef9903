"""Looks into deep networks as they train: the pictures and the table of the guide.

`python docs/make_observing.py` trains three networks of eight hidden layers on the
digits, three seeds each, and measures the test part once.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure

import jaxcnn
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.optim import make_optimizer
from jaxcnn.plotting import layer_heat_maps
from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, write_figure
from jaxcnn.train import Hook, make_layer_statistics
from jaxcnn.train.statistics import compiled_statistics

IMAGES = Path(__file__).parent / "images"
LAYERS, UNITS, STEPS, EVERY, SEEDS = 8, 64, 400, 20, 3


class Deep(nn.Module):
    """Eight dense layers with an activation, and batch norm before it or not."""

    activation: Any
    norm: bool = False

    @nn.compact
    def __call__(self, x: Any, *, train: bool = False) -> Any:
        """Returns ten logits."""
        x = x.reshape(len(x), -1)
        for number in range(1, LAYERS + 1):
            x = nn.Dense(UNITS, name=f"hidden{number}")(x)
            if self.norm:
                norm = nn.BatchNorm(not train, momentum=0.9, name=f"norm{number}")
                x = norm(x)
            x = self.activation(x)
        return nn.Dense(10, name="head")(x)


NETS = {
    "sigmoid": (Deep(nn.sigmoid), BLUE),
    "sigmoid with batch norm": (Deep(nn.sigmoid, norm=True), ORANGE),
    "ReLU": (Deep(nn.relu), GREEN),
}


class Look(Hook):
    """Keeps the gradient norms at the first step and the statistics of all looks."""

    def __init__(self, statistics: Any) -> None:
        self.statistics = statistics
        self.records: list[dict[str, Any]] = []

    def on_step(self, loop: Any) -> None:
        """Looks where it is due."""
        if loop.step == 1 or loop.step % EVERY == 0:
            layers = self.statistics(loop.state, loop.batch)
            self.records.append({"step": loop.step, "layers": layers})


def train(model: nn.Module) -> tuple[list[float], list[list[dict]]]:
    """Returns the test accuracy and the looks of every seed."""
    tx, task = make_optimizer("momentum", learning_rate=0.05), jaxcnn.classification()
    step = jaxcnn.parallelize(jaxcnn.make_train_step(model, tx, task))
    measure = jaxcnn.parallelize(jaxcnn.make_eval_step(model, task))
    statistics = compiled_statistics(make_layer_statistics(model, task, tx))
    source = load_source("digits", "train", validation=0.1)
    test = EvalData(load_source("digits", "test"), 500)
    accuracies, looks = [], []
    for seed in range(SEEDS):
        look = Look(statistics)
        state = jaxcnn.init_state(model, tx, jax.random.key(seed), source.images[:1])
        data = TrainData(source, 64, seed)
        state = jaxcnn.fit(state, step, data, num_steps=STEPS, hooks=[look])
        accuracies.append(jaxcnn.evaluate(measure, state, test)["accuracy"])
        looks.append(look.records)
    return accuracies, looks


def gradient_norms(looks: list[list[dict]], which: int) -> np.ndarray:
    """Returns the gradient norm of each dense layer at one look, `[seeds, layers]`."""
    names = [*(f"hidden{k}" for k in range(1, LAYERS + 1)), "head"]
    return np.array(
        [[x[which]["layers"][n]["gradient_norm"] for n in names] for x in looks]
    )


def draw(found: dict[str, tuple[list[float], list[list[dict]]]]) -> None:
    """Draws the gradient norm over the depth, at the first and at the last step."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, which, title in zip(
        panels, (0, -1), ("After 1 step", f"After {STEPS} steps"), strict=True
    ):
        for name, (_, looks) in found.items():
            norms = gradient_norms(looks, which)
            at, colour = range(1, LAYERS + 2), NETS[name][1]
            axes.plot(at, np.median(norms, 0), "o-", color=colour, label=name, ms=4)
            axes.fill_between(at, norms.min(0), norms.max(0), color=colour, alpha=0.2)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xticks(at, [*map(str, range(1, LAYERS + 1)), "head"])
        axes.set_xlabel("Layer", fontsize=9, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.tick_params(which="both", colors=GREY, labelsize=8)
        axes.grid(axis="y", color=LIGHT, linewidth=0.8)
    panels[0].set_ylabel("Gradient norm", fontsize=9, color=INK)
    panels[1].legend(frameon=False, fontsize=8, labelcolor=INK)
    write_figure(figure, IMAGES / "observing_gradients.png")


def main() -> None:
    """Trains, draws, and prints the table as JSON."""
    found = {name: train(model) for name, (model, _) in NETS.items()}
    draw(found)
    _, looks = found["ReLU"]
    layer_heat_maps(
        IMAGES / "observing_layers.png",
        looks[0],
        title=f"{LAYERS} layers of {UNITS} ReLUs on the digits",
    )
    for name, (accuracies, looks) in found.items():
        norms = np.median(gradient_norms(looks, 0), 0)
        dead = [x[-1]["layers"][f"hidden{LAYERS}"].get("dead", 0) for x in looks]
        row = {
            "test_accuracy": [round(float(a), 4) for a in accuracies],
            "first_to_last_gradient": float(norms[0] / norms[LAYERS - 1]),
            "dead_in_last": dead,
        }
        print(json.dumps({name: row}))


if __name__ == "__main__":
    main()
