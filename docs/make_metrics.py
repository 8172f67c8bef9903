"""Class weights, balanced sampling and thresholds on chest X-rays: docs/metrics.md.

`nice -n 10 python docs/make_metrics.py pneumoniamnist.npz results.npz` takes the file
of MedMNIST (28x28). Each run ends with its last step; thresholds are chosen on the
validation part. Runs that are in results.npz are not run again.
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np

import jaxcnn
from jaxcnn.augment import make_augment
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.losses import balanced_weights
from jaxcnn.metrics import (
    ConfusionMatrix,
    accuracy,
    auroc,
    balanced_accuracy,
    choose_threshold,
    recall,
)
from jaxcnn.optim import make_optimizer, make_schedule
from jaxcnn.train import collect, fit, init_state, make_collect_step

SEEDS, BATCH, EPOCHS = range(5), 64, 8
METHODS = {
    "nothing": {},
    "class weights": {"weights": True},
    "balanced sampling": {"sampling": "balanced"},
}


class Bench:
    """The small net and the three parts of the data."""

    def __init__(self, file: str) -> None:
        parts = ("train", "validation", "test")
        self.train, *others = (load_source(f"npz:{file}", part) for part in parts)
        self.others = dict(zip(parts[1:], others, strict=True))
        self.model = jaxcnn.create_model(
            "cnn", features=(8, 16, 32), norm="batch", num_classes=2
        )
        self.steps = EPOCHS * (len(self.train) // BATCH)
        schedule = make_schedule("cosine", 3e-3, total_steps=self.steps)
        self.tx = make_optimizer("adam", learning_rate=schedule)
        means, deviations = self.train.channel_stats()
        self.preprocess = jaxcnn.make_preprocess(PreprocessConfig(means, deviations))
        self.compiled = {
            weights: jaxcnn.parallelize(self.step(weights=weights))
            for weights in (False, True)
        }
        predict = jaxcnn.make_predict_step(self.model, preprocess=self.preprocess)
        self.predict = jaxcnn.parallelize(make_collect_step(predict))

    def step(self, *, weights: bool) -> jaxcnn.train.step.TrainStep:
        """Returns the train step, with balanced weights of the loss or without."""
        found = balanced_weights(self.train.labels, 2) if weights else None
        return jaxcnn.make_train_step(
            self.model,
            self.tx,
            jaxcnn.classification(class_weights=found),
            preprocess=self.preprocess,
            augment=make_augment("random_shift(max_pixels=2)"),
        )

    def run(
        self, seed: int, *, weights: bool = False, sampling: str = "uniform"
    ) -> dict[str, np.ndarray]:
        """Returns the logits of validation and test part after a training."""
        image = jax.ShapeDtypeStruct((1, *self.train.image_shape), np.uint8)
        state = init_state(self.model, self.tx, jax.random.key(seed), image)
        data = TrainData(self.train, BATCH, seed=seed, sampling=sampling)
        state = fit(state, self.compiled[weights], data, num_steps=self.steps)
        return {
            part: collect(self.predict, state, EvalData(source, 128)).outputs
            for part, source in self.others.items()
        }


def figures(
    logits: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> dict[str, list[float]]:
    """Returns accuracy, both recalls, their mean and AUROC, by part and threshold."""
    shares = {part: 1 / (1 + np.exp(x[:, 0] - x[:, 1])) for part, x in logits.items()}
    chosen = choose_threshold(shares["validation"], labels["validation"]).value
    found = {}
    for part, threshold in (("validation", 0.5), ("test", 0.5), ("test", chosen)):
        called = (shares[part] >= threshold).astype(int)
        counts = ConfusionMatrix.of(called, labels[part], 2).counts
        normal, ill = recall(counts)
        area = auroc(shares[part], labels[part])
        values = [accuracy(counts), ill, normal, balanced_accuracy(counts), area]
        found[f"{part}, {'0.5' if threshold == 0.5 else 'chosen'}"] = values
    return found


def main(file: str, results: str) -> None:
    """Trains what is not yet in the results, and prints mean and deviation."""
    bench, path = Bench(file), Path(results)
    known = dict(np.load(path)) if path.exists() else {}
    labels = {part: source.labels for part, source in bench.others.items()}
    for method, options in METHODS.items():
        rows: dict[str, list[list[float]]] = {}
        for seed in SEEDS:
            names = {part: f"{method}, {seed}, {part}" for part in labels}
            if not known.keys() >= set(names.values()):
                start = time.process_time()
                made = bench.run(seed, **options)
                known |= {name: made[part] for part, name in names.items()}
                np.savez(path, **known)
                print(f"{method} {seed}: {time.process_time() - start:.0f} s of CPU")
            logits = {k: known[name].astype(np.float64) for k, name in names.items()}
            for row, values in figures(logits, labels).items():
                rows.setdefault(row, []).append(values)
        for row, values in rows.items():
            mean, deviation = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
            pairs = zip(100 * mean, 100 * deviation, strict=True)
            print(f"{method}, {row}:", *(f"{m:.1f} ({d:.1f})" for m, d in pairs))


if __name__ == "__main__":
    main(*sys.argv[1:])
