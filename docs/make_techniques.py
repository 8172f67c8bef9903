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
from jaxcnn.metrics import balanced_accuracy
from jaxcnn.optim import make_optimizer, make_schedule

SEEDS, BATCH = (0, 1, 2), 50
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


def run(source: Source, seed: int, setting: dict, steps: int) -> Any:
    """Returns a function that measures the trained net on a part."""
    model = jaxcnn.create_model("cnn", features=(8, 16), hidden=(64,))
    sampling = setting.get("sampling", "uniform")
    data = TrainData(source, BATCH, seed, sampling=sampling)
    weights = balanced_weights(source.labels, 10) if "weights" in setting else None
    augment = setting.get("augment")
    schedule = make_schedule("cosine", 3e-3, total_steps=steps)
    tx = make_optimizer("adam", learning_rate=schedule)
    step = jaxcnn.make_train_step(
        model,
        tx,
        jaxcnn.classification(class_weights=weights),
        augment=make_augment(augment, num_classes=10) if augment else None,
    )
    state = jaxcnn.init_state(model, tx, jax.random.key(seed), source.images[:1])
    state = jaxcnn.fit(state, jaxcnn.parallelize(step), data, num_steps=steps)
    task = jaxcnn.classification(per_class=True)
    measure = jaxcnn.parallelize(jaxcnn.make_eval_step(model, task))

    def measured(name: str) -> dict[str, float]:
        values = jaxcnn.evaluate(
            measure, state, EvalData(load_source("mnist", name), 1000)
        )
        recalls = [values[f"recall_{label}"] for label in range(5, 10)]
        return {
            "loss": values["loss"],
            "accuracy": values["accuracy"],
            "balanced": balanced_accuracy(values),
            "rare": float(np.mean(recalls)),
        }

    return measured


def compare(methods: dict, kept: Path, *, rare: bool, steps: int) -> dict[str, Any]:
    """Returns what each method's best setting reached on validation and test."""
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name, settings in methods.items():
        if name in results:
            continue
        runs = [
            [run(part(seed, rare=rare), seed, setting, steps) for seed in SEEDS]
            for setting in settings
        ]
        scores = [
            float(np.mean([measured(VALIDATION)["accuracy"] for measured in tried]))
            for tried in runs
        ]
        chosen = int(np.argmax(scores))
        results[name] = {
            "validation": scores,
            "chosen": settings[chosen],
            "test": [measured(TEST) for measured in runs[chosen]],
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
    start, kept = time.process_time(), Path(path)
    mixing = compare(MIXING, kept, rare=False, steps=600)
    print(table(mixing, ("loss", "accuracy")))
    sampling = compare(SAMPLING, kept, rare=True, steps=600)
    print(table(sampling, ("accuracy", "rare")))
    print(
        f"{time.process_time() - start:.0f} s of processor time, jax {jax.__version__}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
