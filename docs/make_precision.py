"""Trains in every precision: the table of docs/mixed_precision.md.

`python docs/make_precision.py` needs MNIST as `jaxcnn.data` reads it. All rows have the
same settings; the test part is not touched. Rows that are done are kept in a file.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcnn
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.optim import make_optimizer
from jaxcnn.train import Hook, LossScale, init_loss_scale

KEPT = Path("precision.json")
SEEDS, EPOCHS, BATCH = 3, 5, 100
SPLIT, VALIDATION = "train[:5000]", "train[50000:55000]"

#: What differs between the rows: the type, and whether the loss is scaled.
ROWS: dict[str, tuple[str, bool]] = {
    "float32": ("float32", False),
    "bfloat16": ("bfloat16", False),
    "float16, loss scaling": ("float16", True),
    "float16, no scaling": ("float16", False),
}


class CountSkipped(Hook):
    """Counts the updates that were skipped."""

    skipped = 0.0

    def on_step(self, loop: Any) -> None:
        """Reads the metrics of the step."""
        loop.read()
        self.skipped += loop.latest.get("skipped", 0.0)


def run(dtype: str, scaled: bool) -> dict[str, Any]:
    """Returns the validation accuracy of every seed, and skipped updates."""
    model = jaxcnn.create_model("cnn", features=(8, 16), norm="batch", dtype=dtype)
    tx = make_optimizer("momentum", 0.1)
    source = load_source("mnist", SPLIT)
    preprocess = jaxcnn.make_preprocess(
        jaxcnn.PreprocessConfig(*source.channel_stats())
    )
    step = jaxcnn.parallelize(
        jaxcnn.make_train_step(
            model,
            tx,
            jaxcnn.classification(),
            preprocess=preprocess,
            loss_scale=LossScale() if scaled else None,
        )
    )
    measure = jaxcnn.parallelize(
        jaxcnn.make_eval_step(model, jaxcnn.classification(), preprocess=preprocess)
    )
    validation = EvalData(load_source("mnist", VALIDATION), 1000)
    init = jax.jit(
        lambda key: jaxcnn.init_state(model, tx, key, source.images[:1]),
    )
    found: dict[str, Any] = {"accuracy": [], "skipped": []}
    for seed in range(SEEDS):
        count = CountSkipped()
        state = init(jax.random.key(seed))
        state = init_loss_scale(state) if scaled else state
        data = TrainData(source, BATCH, seed)
        steps = EPOCHS * data.steps_per_epoch
        state = jaxcnn.fit(state, step, data, num_steps=steps, hooks=[count])
        values = jaxcnn.evaluate(measure, state, validation)
        found["accuracy"].append(values["accuracy"])
        found["skipped"].append(count.skipped)
    return found


def main() -> None:
    """Trains what is not done yet, and prints the table in Markdown."""
    results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, row in ROWS.items():
        if name not in results:
            results[name] = run(*row)
            KEPT.write_text(json.dumps(results))
        found = results[name]
        mean, spread = (
            100 * f(found["accuracy"]) for f in (np.mean, lambda x: np.std(x, ddof=1))
        )
        print(f"| {name} | {mean:.2f} ± {spread:.2f} | {sum(found['skipped']):.0f} |")


if __name__ == "__main__":
    main()
