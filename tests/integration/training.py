"""A small run: a CNN with all that a resume has to carry, on 300 digits.

Dropout, batch norm, augmentation, a schedule and early stopping's counters.
"""

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
)


def config(directory, steps=30):
    return ExperimentConfig(
        name="killed",
        run=str(directory),
        model=ModelConfig(
            "cnn", args={"features": [4, 8], "norm": "batch", "dropout": 0.3}
        ),
        data=DataConfig(
            "digits",
            split="train[:300]",
            test_split="test[:50]",
            validation=0.2,
            batch_size=32,
            eval_batch_size=64,
            augment=("random_shift(max_pixels=1)",),
        ),
        optimizer=OptimizerConfig("adam", 2e-3, schedule="cosine"),
        steps=steps,
        eval_every=5,
        save_every=2,
        log_every=3,
        patience=50,
    )
