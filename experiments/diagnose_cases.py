"""Runs whose learning curves have a known cause: docs/diagnosing.md.

    python experiments/diagnose_cases.py run --xrays pneumoniamnist.npz
    python experiments/diagnose_cases.py thresholds
    python experiments/diagnose_cases.py table

`run` trains small networks, each so that one thing is wrong with it, or nothing. The
curves go into experiments/diagnose_cases.json; runs that it holds are not made again.
There are three kinds, five seeds a recipe: those that the thresholds of
`jaxcnn.diagnostics` were chosen on; those that were then meant to be reported, and
after which the rules were changed once more; and those that are reported, of other
recipes and seeds, made before and looked at after the last change of the rules.
`thresholds` tries each threshold at other values on the first kind. `table` prints the
confusion of all, as Markdown for the guide. MNIST and CIFAR-10 are read from
TFDS_DATA_DIR.
"""

import argparse
import dataclasses
import functools
import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcnn
from jaxcnn.augment import make_augment
from jaxcnn.data import EvalData, TrainData, from_arrays, load_source
from jaxcnn.diagnostics import CASES, Thresholds, curves_of, diagnose
from jaxcnn.losses import make_penalty
from jaxcnn.optim import make_optimizer
from jaxcnn.train import Evaluate, Hook, TrainLog

RESULTS = Path(__file__).with_suffix(".json")
#: Runs of a recipe.
SEEDS = 5
#: Vehicles of CIFAR-10's classes; the others are animals.
VEHICLES = (0, 1, 8, 9)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network, its data and its training; `case` is what is wrong with it."""

    case: str
    data: str
    model: str = "cnn"
    args: dict[str, Any] = dataclasses.field(default_factory=dict)
    optimizer: str = "adam"
    rate: float = 1e-3
    epochs: int = 20
    examples: int = 1000
    batch: int = 50
    validation: int = 400
    #: Classes that the validation part holds; none for all.
    only: tuple[int, ...] = ()
    #: Share of the training labels that are drawn anew.
    wrong_labels: float = 0.0
    augment: tuple[str, ...] = ()
    l2: float = 0.0
    first_seed: int = 0

    @property
    def raised(self) -> list[str]:
        """What makes the training loss higher than that of the same images."""
        dropout = ["dropout"] if self.args.get("dropout") else []
        return [*self.augment, *dropout]


SMALL = {"features": (8, 16)}
NORMED = {"features": (8, 16), "norm": "batch"}
DENSE = {"hidden": (64,), "dropout": 0.0}
DEEP = {"hidden": (64, 64), "dropout": 0.0}
NARROW = {"hidden": (2,), "dropout": 0.0, "activation": "tanh"}
RECIPES = {
    "chosen on": [
        Recipe("underfitting_flat", "digits", "mlp", NARROW, rate=1e-2,
               epochs=25, examples=1200),
        Recipe("underfitting_flat", "mnist", "mlp", DENSE, rate=3e-3, epochs=15,
               examples=4000, batch=100, l2=0.05),
        Recipe("underfitting_improving", "digits", "mlp", DENSE, "sgd", 1e-2, 15),
        Recipe("underfitting_improving", "mnist", "mlp", DENSE, rate=5e-5, epochs=15,
               examples=2000),
        Recipe("overfitting", "digits", "mlp", DENSE, rate=1e-2, epochs=60,
               examples=100),
        Recipe("overfitting", "mnist", "mlp", DEEP, rate=5e-3, epochs=40, examples=200,
               batch=20),
        Recipe("good_fit", "digits", "mlp", DENSE, rate=2e-3, epochs=20,
               examples=1300),
        Recipe("good_fit", "mnist", "mlp", DENSE, rate=1e-3, epochs=12, examples=8000,
               batch=100, validation=1000),
        Recipe("train_too_small", "digits", "mlp", DENSE, "sgd", 0.1, 60, 60, 20),
        Recipe("train_too_small", "mnist", "mlp", DENSE, "sgd", 0.05, 40, 100, 20),
        Recipe("validation_too_small", "digits", "mlp", DENSE, rate=5e-3, epochs=25,
               validation=15),
        Recipe("validation_too_small", "mnist", "mlp", DENSE, rate=5e-3, epochs=20,
               examples=2500, batch=100, validation=15),
        Recipe("validation_easier", "digits", "mlp", DENSE, rate=2e-3, epochs=12,
               examples=1200, wrong_labels=0.2),
        Recipe("validation_easier", "mnist", "mlp", DENSE, rate=5e-4, epochs=12,
               examples=2500, only=(0, 1)),
        Recipe("diverging", "digits", "mlp", DENSE, "sgd", 20.0, 15, 1000),
        Recipe("diverging", "mnist", "mlp", DEEP, rate=0.3, epochs=12),
        Recipe("not_clear", "digits", "mlp", DENSE, rate=2e-3, epochs=3),
        Recipe("not_clear", "mnist", "mlp", DENSE, rate=2e-3, epochs=4),
        # Meant to be reported, until the rules were changed after they had been seen.
        Recipe("underfitting_flat", "cifar10", "mlp", NARROW, rate=1e-2, epochs=12,
               examples=5000, batch=100, first_seed=5),
        Recipe("underfitting_flat", "xrays", "mlp", DEEP, rate=3e-3, epochs=15,
               examples=3000, batch=100, l2=1.0, first_seed=5),
        Recipe("underfitting_improving", "cifar10", "mlp", DEEP, "sgd", 3e-3, 12, 3000,
               first_seed=5),
        Recipe("underfitting_improving", "xrays", "mlp", DENSE, "sgd", 1e-3, 15, 2000,
               first_seed=5),
        Recipe("overfitting", "cifar10", args=SMALL, rate=3e-3, epochs=30,
               examples=500, first_seed=5),
        Recipe("overfitting", "xrays", "mlp", DEEP, "momentum", 0.03, 60, 150,
               first_seed=5),
    ],
    "looked at": [
        Recipe("underfitting_flat", "vehicles", "mlp", DEEP, rate=3e-3, epochs=12,
               examples=4000, batch=100, l2=0.1, first_seed=5),
        Recipe("underfitting_flat", "cifar10", args={"features": (1, 1, 1)}, rate=1e-2,
               epochs=15, examples=3000, batch=100, first_seed=5),
        Recipe("underfitting_improving", "cifar10", "mlp", DEEP, "momentum", 1e-3, 14,
               3000, 100, first_seed=5),
        Recipe("underfitting_improving", "xrays", args=SMALL, rate=5e-5, epochs=14,
               examples=2000, batch=100, first_seed=5),
        Recipe("overfitting", "cifar10", "mlp", {"hidden": (128,), "dropout": 0.0},
               rate=1e-3, epochs=40, examples=600, first_seed=5),
        Recipe("overfitting", "vehicles", args=SMALL, optimizer="momentum", rate=0.05,
               epochs=30, examples=400, first_seed=5),
        Recipe("good_fit", "vehicles", args=NORMED, optimizer="nesterov", rate=0.02,
               epochs=10, examples=6000, batch=100, validation=1000, first_seed=5),
        Recipe("good_fit", "xrays", args=SMALL, rate=2e-3, epochs=12, examples=4000,
               batch=100, validation=600, first_seed=5),
        Recipe("train_too_small", "vehicles", "mlp", DENSE, "sgd", 0.02, 50, 100, 20,
               first_seed=5),
        Recipe("train_too_small", "xrays", "mlp", DENSE, "sgd", 0.01, 60, 60, 20,
               first_seed=5),
        Recipe("validation_too_small", "vehicles", "mlp", DEEP, "adamw", 3e-3, 15, 4000,
               100, 15, first_seed=5),
        Recipe("validation_too_small", "xrays", args=SMALL, rate=3e-3, epochs=20,
               examples=2000, batch=100, validation=15, first_seed=5),
        Recipe("validation_easier", "cifar10", "mlp", DEEP, rate=1e-3, epochs=10,
               examples=3000, only=(1, 6, 8), first_seed=5),
        Recipe("validation_easier", "xrays", "mlp", DEEP, "momentum", 0.01, 12, 3000,
               100, 600, wrong_labels=0.2, first_seed=5),
        Recipe("diverging", "cifar10", "mlp", DEEP, "momentum", 3.0, 10, 2000,
               first_seed=5),
        Recipe("diverging", "xrays", "mlp", DENSE, "adam", 0.5, 12, 2000, first_seed=5),
        Recipe("not_clear", "vehicles", "mlp", DENSE, rate=1e-3, epochs=4,
               first_seed=5),
        Recipe("not_clear", "xrays", "mlp", DENSE, rate=1e-3, epochs=4, first_seed=5),
    ],
    "reported": [
        Recipe("underfitting_flat", "cifar10", "mlp", DENSE, epochs=14, examples=3000,
               batch=100, l2=0.1, first_seed=10),
        Recipe("underfitting_improving", "vehicles", "mlp", DEEP, "momentum", 5e-4, 14,
               3000, 100, first_seed=10),
        Recipe("overfitting", "cifar10", "mlp", DEEP, rate=3e-3, epochs=60,
               examples=500, first_seed=10),
        Recipe("good_fit", "mnist", args={"features": (8,)}, rate=3e-3, epochs=10,
               examples=4000, batch=100, validation=1000, first_seed=10),
        Recipe("train_too_small", "cifar10", "mlp", DENSE, "sgd", 0.02, 50, 200, 20,
               first_seed=10),
        Recipe("validation_too_small", "xrays", "mlp", DEEP, rate=3e-3, epochs=15,
               examples=3000, batch=100, validation=12, first_seed=10),
        Recipe("validation_easier", "vehicles", "mlp", DEEP, "momentum", 0.01, 12, 3000,
               100, 600, wrong_labels=0.25, first_seed=10),
        Recipe("diverging", "vehicles", "mlp", DEEP, "momentum", 2.0, 10, 2000,
               first_seed=10),
        Recipe("not_clear", "cifar10", "mlp", DENSE, epochs=5, first_seed=10),
    ],
}  # fmt: skip


class Keep(Hook):
    """Keeps the records of a run, rounded."""

    def __init__(self) -> None:
        self.curves: dict[str, dict[str, list[float]]] = {}

    def on_record(self, loop: Any, record: dict[str, Any]) -> None:
        """Adds the record to the curves of its split."""
        if "loss" not in record:  # of a step that is not finite
            return
        curve = self.curves.setdefault(record["split"], {})
        for name in ("epoch", "loss", "accuracy"):
            curve.setdefault(name, []).append(float(f"{record[name]:.4g}"))


@dataclasses.dataclass
class Pool:
    """All images that runs draw from."""

    images: np.ndarray
    labels: np.ndarray


def load_pool(data: str, xrays: str | None) -> Pool:
    """Returns the training images of a data set; of the X-rays, validation's too."""
    if data == "xrays":
        with np.load(xrays) as file:
            parts = ("train", "val")
            images = np.concatenate([file[f"{part}_images"] for part in parts])
            labels = np.concatenate([file[f"{part}_labels"] for part in parts])
        return Pool(halved(images[..., None]), labels.ravel().astype(np.int64))
    source = load_source("cifar10" if data == "vehicles" else data, "train")
    labels = np.asarray(source.labels)
    if data == "vehicles":
        labels = np.isin(labels, VEHICLES).astype(np.int64)
    return Pool(source.images if data == "digits" else halved(source.images), labels)


def halved(images: np.ndarray) -> np.ndarray:
    """Returns images of half the size, for speed: means over 2x2 pixels."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, channels)
    return blocks.mean((2, 4)).astype(np.uint8)


def parts_of(recipe: Recipe, pool: Pool, seed: int) -> tuple[TrainData, EvalData]:
    """Returns the batches of a run: no image of validation is trained on."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool.labels))
    chosen, rest = order[: recipe.examples], order[recipe.examples :]
    if recipe.only:
        rest = rest[np.isin(pool.labels[rest], recipe.only)]
    rest = rest[: recipe.validation]
    names = [str(k) for k in range(pool.labels.max() + 1)]
    labels = pool.labels[chosen].copy()
    wrong = rng.random(len(labels)) < recipe.wrong_labels
    labels[wrong] = rng.integers(len(names), size=wrong.sum())
    train = from_arrays(pool.images[chosen], labels, names)
    validation = from_arrays(pool.images[rest], pool.labels[rest], names)
    size = min(500, len(rest))
    return TrainData(train, recipe.batch, seed), EvalData(validation, size)


def steps_of(recipe: Recipe, classes: int) -> tuple[Any, ...]:
    """Returns what makes the first state, and the compiled train and eval step."""
    model = jaxcnn.create_model(recipe.model, num_classes=classes, **recipe.args)
    tx = make_optimizer(recipe.optimizer, learning_rate=recipe.rate)
    task = jaxcnn.classification()
    step = jaxcnn.make_train_step(
        model,
        tx,
        task,
        augment=make_augment(recipe.augment) if recipe.augment else None,
        penalty=make_penalty(l2=recipe.l2) if recipe.l2 else None,
    )
    measure = jaxcnn.parallelize(jaxcnn.make_eval_step(model, task))

    init = functools.partial(jaxcnn.init_state, model, tx)
    return jax.jit(init), jaxcnn.parallelize(step), measure


def run(recipe: Recipe, steps: tuple[Any, ...], pool: Pool, seed: int) -> dict:
    """Returns the curves of one run: of one that is stopped by NaN, up to there."""
    init, step, measure = steps
    train, validation = parts_of(recipe, pool, seed)
    kept, every = Keep(), train.steps_per_epoch
    hooks = [Evaluate(measure, validation, every=every), TrainLog(every), kept]
    finite = True
    try:
        jaxcnn.fit(
            init(jax.random.key(seed), train.source.images[:1]),
            step,
            train,
            num_steps=recipe.epochs * every,
            hooks=hooks,
        )
    except FloatingPointError:
        finite = False
    return {"seed": seed, "finite": finite, **kept.curves}


def name_of(kind: str, recipe: Recipe) -> str:
    """Returns what the runs of a recipe are called in the file."""
    return f"{kind}/{recipe.case}/{recipe.data}"


def make_runs(args: argparse.Namespace) -> None:
    """Makes all runs that the file does not hold yet, and writes it."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    pools: dict[str, Pool] = {}
    for kind, recipes in RECIPES.items():
        for recipe in recipes:
            name = name_of(kind, recipe)
            if args.only not in name or (not args.again and name in kept):
                continue
            if recipe.data not in pools:
                pools[recipe.data] = load_pool(recipe.data, args.xrays)
            pool, start = pools[recipe.data], time.process_time()
            classes = int(pool.labels.max()) + 1
            steps = steps_of(recipe, classes)
            seeds = range(recipe.first_seed, recipe.first_seed + SEEDS)
            runs = [run(recipe, steps, pool, seed) for seed in seeds]
            kept[name] = {"recipe": dataclasses.asdict(recipe), "classes": classes,
                          "raised": recipe.raised, "runs": runs}  # fmt: skip
            print(f"{name}: {time.process_time() - start:.0f} s", flush=True)
            RESULTS.write_text(json.dumps(kept, separators=(",", ":")))


def verdict(
    entry: dict,
    run: dict,
    *,
    metric: str = "loss",
    every: int = 1,
    counted: bool = True,
    thresholds: Thresholds | None = None,
) -> str:
    """Returns the case that the curves of a run are said to be.

    Args:
        entry: What the file holds of the recipe.
        run: One of its runs.
        metric: `"loss"`, or `"accuracy"`, of which the errors are judged.
        every: 2 takes every second point of the curves, and so on.
        counted: Whether the number of validation examples is told, as of a run.
        thresholds: Other ones than the library's.
    """
    found = curves_of(records_of(run, every), metric=metric)
    classes = entry["classes"]
    return diagnose(
        found.train,
        found.validation,
        chance=math.log(classes) if metric == "loss" else 1 - 1 / classes,
        raised=entry["raised"],
        stopped=not run["finite"],
        examples=entry["recipe"]["validation"] if counted else None,
        thresholds=thresholds,
    ).case


def records_of(run: dict, every: int = 1) -> list[dict[str, Any]]:
    """Returns the curves of a run as the records that they were made of."""
    records = []
    for split in ("train", "validation"):
        curve = run.get(split, {})
        points = list(zip(*curve.values(), strict=True))
        for point in points[(len(points) - 1) % every :: every]:
            records.append({"split": split, **dict(zip(curve, point, strict=True))})
    return records


def confusion(kept: dict, kind: str, **options: Any) -> dict[str, Counter]:
    """Returns how often the runs of each case got each verdict."""
    counts: dict[str, Counter] = {case: Counter() for case in CASES}
    for name, entry in kept.items():
        if name.startswith(f"{kind}/"):
            case = entry["recipe"]["case"]
            counts[case].update(verdict(entry, run, **options) for run in entry["runs"])
    return counts


def right(counts: dict[str, Counter]) -> str:
    """Returns how many verdicts are right, how many wrong, how many not clear."""
    total = sum(count.total() for count in counts.values())
    good = sum(count[case] for case, count in counts.items())
    unclear = sum(c["not_clear"] for case, c in counts.items() if case != "not_clear")
    return (
        f"{good} of {total} right, {unclear} not clear, {total - good - unclear} wrong"
    )


def table(kept: dict, kind: str) -> str:
    """Returns the confusion of a kind of runs: rows are what was wrong."""
    counts = confusion(kept, kind)
    lines = [
        "| runs \\ verdict | " + " | ".join(name.replace("_", " ") for name in CASES)
    ]
    lines = [f"{lines[0]} |", "|---" * (len(CASES) + 1) + "|"]
    for case, count in counts.items():
        cells = [str(count[other] or "") for other in CASES]
        lines.append(f"| {case.replace('_', ' ')} | {' | '.join(cells)} |")
    more = {
        "loss": {},
        "loss, the number of validation examples not told": {"counted": False},
        "every second point": {"every": 2},
        "errors in place of the loss": {"metric": "accuracy"},
    }
    lines += [""] + [
        f"- {name}: {right(confusion(kept, kind, **options))}"
        for name, options in more.items()
    ]
    return "\n".join(lines)


def try_thresholds(kept: dict) -> str:
    """Returns the right verdicts with each threshold at other values."""
    lines = [
        "| threshold | value | x 0.5 | x 0.7 | x 1 | x 1.4 | x 2 |",
        "|---" * 7 + "|",
    ]
    usual = Thresholds()
    for name, value in dataclasses.asdict(usual).items():
        cells = []
        for factor in (0.5, 0.7, 1, 1.4, 2):
            changed = dataclasses.replace(usual, **{name: value * factor})
            counts = confusion(kept, "chosen on", thresholds=changed)
            cells.append(str(sum(count[case] for case, count in counts.items())))
        lines.append(f"| {name} | {value:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "thresholds", "table"))
    parser.add_argument("--xrays", help="pneumoniamnist.npz")
    parser.add_argument("--only", default="", help="recipes whose name holds this")
    parser.add_argument("--again", action="store_true", help="make runs anew")
    args = parser.parse_args()
    if args.command == "run":
        make_runs(args)
        return
    kept = json.loads(RESULTS.read_text())
    if args.command == "thresholds":
        print(try_thresholds(kept))
        return
    for kind in RECIPES:
        print(f"{kind}:\n\n{table(kept, kind)}\n")


if __name__ == "__main__":
    main()
