"""Compares two models by five folds of the digits: the table of the guide.

`nice -n 10 python docs/make_cross_validation.py FOLDER` keeps its runs in FOLDER and
goes on there if it is started again.
"""

import dataclasses
import sys
import time

import jax
import numpy as np

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    cross_validate,
)
from jaxcnn.experiment.cross_validation import table

MODELS = {
    "dense": ModelConfig("mlp", args={"hidden": [64]}),
    "convolutional": ModelConfig("cnn", args={"features": [8, 16], "hidden": [64]}),
}
CONFIG = ExperimentConfig(
    data=DataConfig("digits", batch_size=64),
    optimizer=OptimizerConfig("adam", 3e-3, schedule="cosine"),
    epochs=10,
)


def main(folder: str) -> None:
    """Trains the folds of both models and prints their tables and the difference."""
    start, accuracies = time.process_time(), []
    for name, model in MODELS.items():
        config = dataclasses.replace(CONFIG, model=model, run=f"{folder}/{name}")
        found = cross_validate(config, folds=5)
        print(name, table(found), sep="\n")
        accuracies.append([result.metrics["accuracy"] for result in found.folds])
    difference = 100 * (np.array(accuracies[1]) - accuracies[0])
    print("difference, points:", difference.round(2), difference.mean().round(2))
    print("deviation:", difference.std(ddof=1).round(2))
    print(
        f"{time.process_time() - start:.0f} s of processor time, jax {jax.__version__}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
