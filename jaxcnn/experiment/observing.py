"""What a configuration wants to see of a run: traces, layers, utilisation."""

import jax
import jax.numpy as jnp
from etils import epath

from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.experiment.build import Experiment
from jaxcnn.models.summary import summarize
from jaxcnn.train import (
    Hook,
    LayerStatistics,
    Profile,
    Throughput,
    make_layer_statistics,
    peak_flops,
)
from jaxcnn.train.hooks.profile import parse_window

PROFILE = "profile"
STATISTICS = "statistics"


def observers(experiment: Experiment, folder: epath.Path) -> list[Hook]:
    """Returns the hooks that an experiment's configuration asks for.

    Args:
        experiment: What is trained.
        folder: The run folder.
    """
    config = experiment.config
    hooks: list[Hook] = []
    if config.profile is not None:
        hooks.append(Profile(*parse_window(config.profile), folder / PROFILE))
    if config.layer_statistics is not None:
        statistics = make_layer_statistics(
            experiment.model,
            experiment.task,
            experiment.tx,
            preprocess=make_preprocess(experiment.run_config.preprocess),
            augment=experiment.augment,
            penalty=experiment.penalty,
        )
        hooks.append(
            LayerStatistics(
                statistics,
                folder / STATISTICS,
                every=config.layer_statistics,
                picture=folder / f"{STATISTICS}.png",
                title=f"{experiment.run_config.model} on {config.data.name}",
            )
        )
    return hooks


def throughput_of(experiment: Experiment) -> Throughput:
    """Returns what is worked out from images/s: the MFU, where a peak is known.

    Without a peak the model is not traced for its multiply-adds.
    """
    model = experiment.model
    peak = experiment.config.peak_flops
    if peak is None:
        dtype = getattr(model, "dtype", None) or jnp.float32
        peak = peak_flops(jax.devices()[0].device_kind, dtype)
    if peak is None:
        return Throughput()
    if getattr(model, "axis_name", None) is not None:
        model = model.clone(axis_name=None)
    shape = (1, *experiment.train.source.image_shape)
    return Throughput(summarize(model, shape).macs, peak)
