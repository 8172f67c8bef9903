"""Runs every optimizer and schedule on the digits and draws docs/images/optimizers.png.

    python docs/make_optimizer_curves.py results.json

Each is trained at three learning rates; the one with the lowest validation loss at the
end is run with two more seeds and tested. The tables of docs/optimizers.md are printed.
What is in the file already is not run again.
"""

import functools
import json
import platform
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import jaxcnn
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.optim import make_optimizer, make_schedule, set_rate_factor
from jaxcnn.plotting.style import GREY, INK, LIGHT, write_figure

EPOCHS, BATCH, SEEDS = 6, 64, (0, 1, 2)
MODEL = functools.partial(jaxcnn.create_model, "cnn", features=(4, 8), norm=None)
PICTURE = Path(__file__).parent / "images" / "optimizers.png"

# The rates that each is tried at, under a cosine. LARS and LAMB are for large batches.
OPTIMIZERS = {
    "sgd": (0.1, 0.3, 1.0),
    "momentum": (0.01, 0.03, 0.1),
    "nesterov": (0.01, 0.03, 0.1),
    "adagrad": (0.01, 0.03, 0.1),
    "adadelta": (1.0, 3.0, 10.0),
    "rmsprop": (0.001, 0.003, 0.01),
    "adam": (0.003, 0.01, 0.03),
    "nadam": (0.003, 0.01, 0.03),
    "radam": (0.003, 0.01, 0.03),
    "ranger": (0.01, 0.03, 0.1),
    "ranger21": (0.01, 0.03, 0.1),
    "lion": (0.0003, 0.001, 0.003),
    "muon": (0.003, 0.01, 0.03),
}
# All with momentum, at the rates above.
SCHEDULES = {
    "constant": {},
    "linear": {},
    "cosine": {},
    "cosine, warm-up": {"warmup_steps": "10%"},
    "step": {"every": "35%"},
    "cosine_restarts": {"period": "2 epochs", "multiplier": 3},
    "one_cycle": {},
    "flat_cosine": {},
}
DRAWN = {
    "optimizers": ("sgd", "momentum", "adagrad", "rmsprop", "adam", "ranger", "muon"),
    "schedules": ("constant", "step", "cosine", "one_cycle", "cosine_restarts"),
}
# Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")


@functools.cache
def data():
    """Returns the batches of every seed, those to measure, and the steps."""
    train = load_source("digits", "train", validation=0.2)
    loaders = [TrainData(train, BATCH, seed) for seed in SEEDS]
    parts = [load_source("digits", n, validation=0.2) for n in ("validation", "test")]
    validation, test = (EvalData(part, 128) for part in parts)
    return loaders, validation, test, EPOCHS * loaders[0].steps_per_epoch


def parts():
    """Returns what model, task and images the steps are made of."""
    source = data()[0][0].source
    preprocess = make_preprocess(PreprocessConfig(*source.channel_stats()))
    image = jax.ShapeDtypeStruct((1, *source.image_shape), jnp.float32)
    return MODEL(num_classes=10), jaxcnn.classification(), preprocess, image


@functools.cache
def measuring():
    """Returns the evaluation step, compiled."""
    model, task, preprocess, _ = parts()
    return jaxcnn.parallelize(jaxcnn.make_eval_step(model, task, preprocess=preprocess))


@functools.cache
def training(optimizer):
    """Returns `start(key)` and the train step, compiled."""
    model, task, preprocess, image = parts()
    # The rate stands in the state, so that one compiled step serves all rates.
    tx = make_optimizer(optimizer, 1.0, rate_factor=True)
    start = jax.jit(lambda key: jaxcnn.init_state(model, tx, key, image))
    step = jaxcnn.make_train_step(model, tx, task, preprocess=preprocess)
    return start, jaxcnn.parallelize(step)


def run(optimizer, rates, seed):
    """Returns the validation loss after every epoch and the test accuracy."""
    loaders, validation, test, _ = data()
    start, step = training(optimizer)
    state, losses = start(jax.random.key(seed)), []

    def measured(batches):
        # Without the optimizer's state one compiled step serves all.
        return jaxcnn.evaluate(measuring(), state.replace(opt_state=()), batches)

    for k, rate in enumerate(rates):
        state = state.replace(opt_state=set_rate_factor(state.opt_state, rate))
        state, _ = step(state, loaders[seed][k])
        if (k + 1) % loaders[seed].steps_per_epoch == 0:
            losses.append(measured(validation)["loss"])
    return losses, measured(test)["accuracy"]


def best(optimizer, schedule, peaks, options):
    """Returns what the peak with the lowest validation loss at the end gives.

    It is chosen by the first seed, and run with the others.
    """
    loaders, *_, steps = data()
    per_epoch = loaders[0].steps_per_epoch
    shape = make_schedule(schedule, 1.0, steps, steps_per_epoch=per_epoch, **options)
    rates = np.asarray(jax.vmap(shape)(jnp.arange(steps)))
    runs = {peak: run(optimizer, peak * rates, SEEDS[0]) for peak in peaks}
    chosen = min(peaks, key=lambda peak: np.nan_to_num(runs[peak][0][-1], nan=np.inf))
    results = [runs[chosen]]
    results += [run(optimizer, chosen * rates, seed) for seed in SEEDS[1:]]
    losses = np.array([losses for losses, _ in results])
    return {
        "rates": list(peaks),
        "rate": chosen,
        "validation_loss": losses.mean(axis=0).tolist(),
        "validation_spread": losses[:, -1].tolist(),
        "test_accuracy": [accuracy for _, accuracy in results],
    }


def draw(results):
    """Writes the picture: validation loss by epoch, optimizers and schedules."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    for k, (part, names) in enumerate(DRAWN.items(), 1):
        axes = figure.add_subplot(1, 2, k)
        for name, colour in zip(names, COLOURS, strict=False):
            row = results[part][name]
            epochs = np.arange(1, EPOCHS + 1)
            label = f"{name} ({row['rate']:g})"
            axes.plot(epochs, row["validation_loss"], color=colour, label=label)
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", colors=GREY, labelsize=8)
        axes.grid(color=LIGHT, linewidth=0.8)
        axes.set_xlabel("Epoch", color=INK, fontsize=9)
        axes.set_ylabel("Validation loss, mean of 3 seeds", color=INK, fontsize=9)
        axes.set_title(part.capitalize(), fontsize=11, color=INK, fontweight="bold")
        axes.legend(frameon=False, fontsize=7.5, labelcolor=INK)
    write_figure(figure, PICTURE)
    # 64 colours are enough, and a third of the bytes.
    Image.open(PICTURE).convert("RGB").quantize(64).save(PICTURE, optimize=True)


def table(rows):
    """Returns the rows as Markdown."""
    lines = ["| | rate | validation loss | test accuracy |", "|---|---|---|---|"]
    for name, row in rows.items():
        spread, test = row["validation_spread"], np.array(row["test_accuracy"]) * 100
        lines.append(
            f"| `{name}` | {row['rate']:g} | {np.mean(spread):.3f} "
            f"({min(spread):.3f} to {max(spread):.3f}) | {test.mean():.1f} % |"
        )
    return "\n".join(lines)


def main():
    """Runs, or draws again what a former run left in the file."""
    path = Path(sys.argv[1])
    results = json.loads(path.read_text()) if path.exists() else {}
    for part, names in {"optimizers": OPTIMIZERS, "schedules": SCHEDULES}.items():
        rows = results.setdefault(part, {})
        for name in names:
            if name in rows:
                continue
            start = time.monotonic()
            if part == "optimizers":
                rows[name] = best(name, "cosine", OPTIMIZERS[name], {})
            else:
                rates = OPTIMIZERS["momentum"]
                schedule = name.split(",")[0]
                rows[name] = best("momentum", schedule, rates, SCHEDULES[name])
            print(name, f"{time.monotonic() - start:.1f} s", file=sys.stderr)
            path.write_text(json.dumps(results))
    draw(results)
    print(table(results["optimizers"]), table(results["schedules"]), sep="\n\n")
    loaders, *_, steps = data()
    images, version = len(loaders[0].source), jax.__version__
    print(f"\n{images} images, {steps} steps of {BATCH}, jax {version},")
    print(f"{jax.devices()[0].device_kind}, {platform.machine()}")


if __name__ == "__main__":
    main()
