"""Runs that were never trained, for tests of what is done with a run."""

import dataclasses

import jax
import numpy as np

from jaxcnn.experiment import DataConfig, ExperimentConfig, ModelConfig
from jaxcnn.experiment.run_config import make_run_config
from jaxcnn.experiment.sources import load_data
from jaxcnn.run import Run


def untrained(data: DataConfig, *, seed=0, **changes) -> tuple[Run, ExperimentConfig]:
    """Returns a run of a tiny model with its first parameters, and its config."""
    data = dataclasses.replace(data, batch_size=4)
    model = ModelConfig("mlp", args={"hidden": [4]})
    config = ExperimentConfig(model=model, data=data, steps=1, **changes)
    run_config = make_run_config(config, load_data(config, data.split))
    module = run_config.build_model()
    images = np.zeros((1, *run_config.input_shape), np.float32)
    variables = module.init(jax.random.key(seed), images)
    return Run(module, dict(variables), run_config, 7), config
