"""Compares mixup, CutMix and balanced sampling with doing without: docs/techniques.md.

`nice -n 10 python docs/make_techniques.py results.json` needs MNIST as `jaxcnn.data`
reads it. Of each method's settings the one with the best mean validation accuracy over
the seeds is measured on the test part, once. What is in the file is not run again.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcnn
from jaxcnn.augment import make_augment
from jaxcnn.data import EvalData, Source, TrainData, load_source
from jaxcnn.losses import balanced_weights
from jaxcnn.optim import make_optimizer, make_schedule

SEEDS, BATCH, STEPS = (0, 1, 2), 50, 400
VALIDATION, TEST = "train[50000:52000]", "test"
#: Of 300 examples a class in the first half of the classes, this many in the others.
RARE = 10

# Every setting: what is done to the images, how classes are drawn, how they weigh.
MIXING = {
    "nothing": [{}],
    "mixup": [{"augment": f"mixup(alpha={a})"} for a in (0.2, 1.0)],
    "CutMix": [{"augment": f"cutmix(probability={p})"} for p in (0.5, 1.0)],
}
SAMPLING = {
    "uniform": [{}],
    "sampling sqrt": [{"sampling": "sqrt"}],
    "sampling balanced": [{"sampling": "balanced"}],
    "class weights": [{"weights": True}],
}


def part(seed: int, *, rare: bool) -> Source:
    """Returns the seed's own images: 300 at random, or 300 and 10 of the classes."""
    source = load_source("mnist", f"train[{seed * 10000}:{(seed + 1) * 10000}]")
    if not rare:
        return source.subset(slice(300))
    chosen = [
        np.flatnonzero(source.labels == label)[: 300 if label < 5 else RARE]
        for label in range(10)
    ]
    return source.subset(np.sort(np.concatenate(chosen)))


class Bench:
    """The net, compiled once a setting, and its state before the run of every seed."""

    def __init__(self) -> None:
        self.model = jaxcnn.create_model("cnn", features=(8, 16), hidden=(64,))
        schedule = make_schedule("cosine", 3e-3, total_steps=STEPS)
        self.tx = make_optimizer("adam", learning_rate=schedule)
        images = jax.ShapeDtypeStruct((1, 28, 28, 1), jax.numpy.float32)
        self.states = [
            jaxcnn.init_state(self.model, self.tx, jax.random.key(seed), images)
            for seed in SEEDS
        ]
        task = jaxcnn.classification(per_class=True)
        self.measure = jaxcnn.parallelize(jaxcnn.make_eval_step(self.model, task))

    def runs(self, setting: dict, *, rare: bool) -> list[Any]:
        """Returns the state of every seed after training."""
        sources = [part(seed, rare=rare) for seed in SEEDS]
        weights = None
        if "weights" in setting:  # all seeds have the same counts
            weights = balanced_weights(sources[0].labels, 10)
        augment = setting.get("augment")
        step = jaxcnn.make_train_step(
            self.model,
            self.tx,
            jaxcnn.classification(class_weights=weights),
            augment=make_augment(augment, num_classes=10) if augment else None,
        )
        step = jaxcnn.parallelize(step, donate=False)
        sampling = setting.get("sampling", "uniform")
        return [
            jaxcnn.fit(
                state,
                step,
                TrainData(source, BATCH, seed, sampling=sampling),
                num_steps=STEPS,
            )
            for seed, source, state in zip(SEEDS, sources, self.states, strict=True)
        ]

    def measured(self, state: Any, split: str) -> dict[str, float]:
        """Returns accuracies and the loss on a part, 5 to 9 being the rare classes."""
        batches = EvalData(load_source("mnist", split), 1000)
        values = jaxcnn.evaluate(self.measure, state, batches)
        recalls = [values[f"recall_{label}"] for label in range(5, 10)]
        found = {name: values[name] for name in ("loss", "accuracy")}
        return {**found, "rare": float(np.mean(recalls))}


def compare(bench: Bench, methods: dict, kept: Path, *, rare: bool) -> dict[str, Any]:
    """Returns what each method's best setting reached on validation and test."""
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name, settings in methods.items():
        if name in results:
            continue
        tried = [bench.runs(setting, rare=rare) for setting in settings]
        scores = [
            np.mean([bench.measured(s, VALIDATION)["accuracy"] for s in states])
            for states in tried
        ]
        chosen = int(np.argmax(scores))
        results[name] = {
            "validation": [float(score) for score in scores],
            "chosen": settings[chosen],
            "test": [bench.measured(state, TEST) for state in tried[chosen]],
        }
        kept.write_text(json.dumps(results, indent=1))
    return {name: results[name] for name in methods}


def table(results: dict[str, Any], columns: tuple[str, ...]) -> str:
    """Returns a row a method, in Markdown: mean and deviation over the seeds."""
    rows = []
    for name, found in results.items():
        cells = []
        for column in columns:
            values = np.array([values[column] for values in found["test"]])
            values = values if column == "loss" else 100 * values
            cells.append(f"{values.mean():.2f} ± {values.std(ddof=1):.2f}")
        scores = ", ".join(f"{100 * score:.2f}" for score in found["validation"])
        rows.append(f"| {name} | {found['chosen']} | {scores} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(path: str) -> None:
    """Trains, and prints both tables."""
    start, kept, bench = time.process_time(), Path(path), Bench()
    print(table(compare(bench, MIXING, kept, rare=False), ("loss", "accuracy")))
    print(table(compare(bench, SAMPLING, kept, rare=True), ("accuracy", "rare")))
    print(
        f"{time.process_time() - start:.0f} s of processor time, jax {jax.__version__}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
