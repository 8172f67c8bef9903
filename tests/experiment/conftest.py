"""Small runs on the embedded digits, that several tests share."""

import dataclasses
import io

import pytest

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    train,
)


def small(directory, **changes):
    """Returns the configuration of a run of seconds."""
    config = ExperimentConfig(
        run=str(directory),
        model=ModelConfig("cnn", args={"features": [4, 8], "norm": "batch"}),
        data=DataConfig(
            "digits",
            split="train[:240]",
            test_split="test[:100]",
            validation=0.2,
            batch_size=32,
            eval_batch_size=64,
        ),
        optimizer=OptimizerConfig("adam", 5e-3),
        steps=12,
        eval_every=6,
        save_every=4,
        log_every=5,
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Returns a finished run's result and what it printed; tests must not change it."""
    file = io.StringIO()
    result = train(small(tmp_path_factory.mktemp("finished") / "run"), file=file)
    return result, file.getvalue()
