"""Measures averaged weights against the weights themselves, for docs/stability.md.

TFDS_DATA_DIR=... python docs/make_ema.py [FOLDER]

Trains 12 small runs, about three minutes on two idle cores, and prints the table.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    train,
    training,
)
from jaxcnn.experiment.measure import measure_run

SEEDS = (0, 1, 2)
SCHEDULES = ("constant", "cosine")
DECAYS = (0.99, 0.999)


def config_of(schedule: str, decay: float, seed: int, folder: Path) -> ExperimentConfig:
    """Returns 8 epochs of a small CNN on 6,000 digits of MNIST."""
    return ExperimentConfig(
        model=ModelConfig("cnn", args={"features": [8, 16], "norm": "batch"}),
        data=DataConfig("mnist", split="train[:6000]", batch_size=32),
        optimizer=OptimizerConfig("momentum", 0.1, schedule=schedule),
        epochs=8,
        seed=seed,
        ema=decay,
        run=str(folder / f"{schedule}_{decay}_{seed}"),
    )


def main(folder: Path) -> None:
    """Trains what is not there yet; prints accuracies and losses on the test part."""
    training.draw_results = lambda *args: None
    print("| schedule | weights | validation accuracy | test accuracy | test loss |")
    print("|---|---|---|---|---|")
    for schedule in SCHEDULES:
        for decay in DECAYS:
            runs = [config_of(schedule, decay, seed, folder) for seed in SEEDS]
            for config in runs:
                train(config, file=io.StringIO())
            if decay == DECAYS[0]:  # the same weights under any decay
                print(row(schedule, "themselves", runs, raw=True), flush=True)
            print(row(schedule, f"average, {decay}", runs, raw=False), flush=True)


def row(schedule: str, name: str, runs: list[ExperimentConfig], *, raw: bool) -> str:
    """Returns means and deviations of the last step over the seeds."""
    parts = ("validation", "test")
    measured = {
        part: [measure_run(c.run, part, step="latest", raw=raw)[1] for c in runs]
        for part in parts
    }
    cells = [
        spread([100 * m["accuracy"] for m in measured[part]], 2, " %") for part in parts
    ]
    cells.append(spread([m["loss"] for m in measured["test"]], 4))
    return f"| {schedule} | {name} | {' | '.join(cells)} |"


def spread(values: list[float], digits: int, unit: str = "") -> str:
    """Returns mean and standard deviation over the runs."""
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}{unit}"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
