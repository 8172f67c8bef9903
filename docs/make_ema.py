"""Measures averaged weights against the weights themselves, for docs/stability.md.

    python docs/make_ema.py

Trains a small CNN on the digits with three seeds, under a minute on two idle cores, and
prints the table. Nothing is chosen, so the test part is measured once.
"""

import jax
import numpy as np
import optax

import jaxcnn
from jaxcnn.data import EvalData, TrainData, load_source
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.train import averaged, init_ema, with_ema

SEEDS, EPOCHS, BATCH, RATE, DECAY = (0, 1, 2), 10, 32, 0.1, 0.98


def main() -> None:
    """Prints accuracies and losses on the test part after every seed's last step."""
    train = load_source("digits", "train", validation=0.1)
    test = EvalData(load_source("digits", "test"), 200)
    model = jaxcnn.create_model("cnn", features=(4, 8), norm="batch")
    tx, task = optax.sgd(RATE, momentum=0.9), jaxcnn.classification()
    options = {"preprocess": make_preprocess(PreprocessConfig(*train.channel_stats()))}
    step = jaxcnn.make_train_step(model, tx, task, **options)
    step = jaxcnn.parallelize(with_ema(step, DECAY))
    eval_step = jaxcnn.parallelize(jaxcnn.make_eval_step(model, task, **options))
    found: dict[str, list[dict[str, float]]] = {"themselves": [], "average": []}
    for seed in SEEDS:
        data = TrainData(train, BATCH, seed)
        state = init_ema(
            jaxcnn.init_state(model, tx, jax.random.key(seed), train.images[:1])
        )
        num_steps = EPOCHS * data.steps_per_epoch
        state = jaxcnn.fit(state, step, data, num_steps=num_steps)
        for name, one in [("themselves", state), ("average", averaged(state))]:
            found[name].append(jaxcnn.evaluate(eval_step, one, test))
            print(f"seed {seed}, {num_steps} steps, {name}: {found[name][-1]}")
    print(f"{len(train)} training images, {len(test.source)} test images")
    print("| weights | test accuracy | test loss |\n|---|---|---|")
    for name, runs in found.items():
        accuracy = spread([100 * run["accuracy"] for run in runs], 2)
        loss = spread([run["loss"] for run in runs], 4)
        print(f"| {name} | {accuracy} % | {loss} |")


def spread(values: list[float], digits: int) -> str:
    """Returns mean and standard deviation over the runs."""
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


if __name__ == "__main__":
    main()
