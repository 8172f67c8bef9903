"""Compares regularisers on little data: the picture and the table of the guide.

`python docs/make_regularisation.py` needs MNIST as `jaxcnn.data` reads it. Each seed
trains on 200 images of its own; a method's strength is the one with the best mean
validation accuracy; the test part is measured once, at that strength.
"""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

import jaxcnn
from jaxcnn.augment import make_augment
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.losses import make_penalty
from jaxcnn.optim import make_optimizer
from jaxcnn.plotting.style import GREY, INK, write_figure

PICTURE = Path(__file__).parent / "images" / "regularisation.png"
KEPT = Path("regularisation.json")
SEEDS, IMAGES, EPOCHS, BATCH, EVERY = 3, 200, 30, 50, 5


class Method(NamedTuple):
    """What is done, and how strongly: everything else is the same for all."""

    penalty: dict[str, float] | None = None
    decay: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    shift: int = 0
    stop: bool = False


METHODS: dict[str, list[Method]] = {
    "nothing": [Method()],
    "random shifts": [Method(shift=s) for s in (1, 2)],
    "dropout": [Method(dropout=s) for s in (0.25, 0.5)],
    "L2": [Method(penalty={"l2": s}) for s in (1e-3, 1e-2)],
    "label smoothing": [Method(smoothing=s) for s in (0.1, 0.3)],
    "decoupled decay": [Method(decay=s) for s in (0.1, 1.0)],
    "L1": [Method(penalty={"l1": s}) for s in (1e-4, 1e-3)],
    "early stopping": [Method(stop=True)],
}


def make_model(**options: float) -> Any:
    """Returns the network that all methods train."""
    return jaxcnn.create_model("cnn", features=(8, 16), hidden=(64,), **options)


def run(
    method: Method, parts: list[TrainData], validation: EvalData, measure: Any
) -> dict:
    """Returns the curves of every seed, and what measures its last state."""
    model = make_model(dropout=method.dropout)
    decayed = {"name": "adamw", "weight_decay": method.decay}
    tx = make_optimizer(
        **(decayed if method.decay else {"name": "adam"}), learning_rate=1e-3
    )
    task = jaxcnn.classification(label_smoothing=method.smoothing)
    augment = f"random_shift(max_pixels={method.shift})"
    step = jaxcnn.make_train_step(
        model,
        tx,
        task,
        augment=make_augment(augment) if method.shift else None,
        penalty=make_penalty(**method.penalty) if method.penalty else None,
    )
    step = jaxcnn.parallelize(step)
    found: dict[str, list] = {"curves": [], "validation": [], "measures": []}
    example = parts[0].source.images[:1]
    init = jax.jit(lambda key: jaxcnn.init_state(model, tx, key, example))
    for seed, data in enumerate(parts):
        state = init(jax.random.key(seed))
        curve, best = [], None
        for epoch in range(EVERY, EPOCHS + 1, EVERY):
            steps = epoch * data.steps_per_epoch
            state = jaxcnn.fit(state, step, data, num_steps=steps, hooks=[])
            values = jaxcnn.evaluate(measure, state, validation)
            curve.append((epoch, values["loss"], values["accuracy"]))
            if best is None or values["loss"] < best[0]["loss"]:
                best = values, jax.device_get(state.params)
        if method.stop:
            values, params = best
            state = state.replace(params=params)
        found["curves"].append(curve)
        found["validation"].append(values["accuracy"])
        found["measures"].append(functools.partial(jaxcnn.evaluate, measure, state))
    return found


def compare() -> dict[str, Any]:
    """Returns, for every method, its strengths and what the chosen one reached."""
    parts = []
    for seed in range(SEEDS):
        split = f"train[{seed * IMAGES}:{(seed + 1) * IMAGES}]"
        parts.append(TrainData(load_source("mnist", split), BATCH, seed))
    validation = EvalData(load_source("mnist", "train[50000:51000]"), 1000)
    test = EvalData(load_source("mnist", "test"), 1000)
    # Measured alike for all: without smoothing, and the penalty is no part of it.
    task = jaxcnn.classification()
    measure = jaxcnn.parallelize(jaxcnn.make_eval_step(make_model(), task))
    results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, methods in METHODS.items():
        if name in results:
            continue
        tries = [run(method, parts, validation, measure) for method in methods]
        scores = [float(np.mean(found["validation"])) for found in tries]
        chosen = int(np.argmax(scores))
        results[name] = {
            "tried": [method._asdict() for method in methods],
            "validation": scores,
            "chosen": chosen,
            "curves": tries[chosen]["curves"],
            "train": [
                measure(EvalData(data.source, 1000))
                for measure, data in zip(tries[chosen]["measures"], parts, strict=True)
            ],
            "test": [measure(test) for measure in tries[chosen]["measures"]],
        }
        KEPT.write_text(json.dumps(results))  # what is done is not done again
    return results


def table(results: dict[str, Any]) -> str:
    """Returns a row a method, in Markdown."""
    rows = []
    for name, found in results.items():
        train = np.array([[v["loss"], v["accuracy"]] for v in found["train"]])
        test = np.array([[v["loss"], v["accuracy"]] for v in found["test"]])
        mean, spread = 100 * test[:, 1].mean(), 100 * test[:, 1].std(ddof=1)
        rows.append(
            f"| {name} | {found['tried'][found['chosen']]} | {train[:, 0].mean():.4f} "
            f"| {test[:, 0].mean():.3f} | {mean:.2f} ± {spread:.2f} |"
        )
    return "\n".join(rows)


def draw(results: dict[str, Any]) -> None:
    """Writes the validation losses over the epochs, and the test accuracies."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = [*("#222222", "#6F6F6F", "#E69F00", "#56B4E9", "#009E73"), "#F0E442"]
    colours += ["#0072B2", "#D55E00", "#CC79A7", "#7A3E9D"]
    for place, (name, found) in enumerate(results.items()):
        colour = colours[place]
        tested = [100 * values["accuracy"] for values in found["test"]]
        right.plot(tested, [place] * SEEDS, "o", ms=4, color=colour, alpha=0.6)
        right.plot(np.mean(tested), place, "|", ms=16, mew=2, color=colour)
        if name != "early stopping":  # on the curve of nothing, cut
            curves = np.array(found["curves"]).mean(axis=0)
            left.plot(curves[:, 0], curves[:, 1], color=colour, label=name, lw=1.6)
    left.set(xlabel="epoch", ylabel="validation cross entropy")
    left.set_ylim(bottom=0.1)
    left.legend(frameon=False, fontsize=8, labelcolor=INK, ncols=2)
    right.set(xlabel="test accuracy, per cent", yticks=range(len(results)))
    right.set_yticklabels(results)
    right.invert_yaxis()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E4E4E4", lw=0.6)
        axes.tick_params(colors=GREY, labelsize=8)
    write_figure(figure, PICTURE)


def main() -> None:
    """Trains, then writes the picture and prints the table."""
    results = compare()
    draw(results)
    print(table(results))


if __name__ == "__main__":
    main()
