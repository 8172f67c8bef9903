"""How a run computed: types, layouts, calls and flags, for its `results.json`."""

import os
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.data import ResidentData
from jaxcnn.experiment.build import Experiment
from jaxcnn.train.resident import steps_of_call

#: What of the environment changes what XLA makes of a program.
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "GLIBC_TUNABLES")
#: What of JAX's settings does.
_OPTIONS = (
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
)


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """Returns what beside code and configuration the speed and the bits depend on.

    Args:
        experiment: What was trained.

    Returns:
        Plain values: the platform and its kind and number of devices; the types of
        computation, parameters and stored images; the layout of images, which is
        NHWC here and XLA's own choice inside the program; steps of a compiled call;
        whether compiled programs are kept; flags of XLA and options of JAX.
    """
    dtype = getattr(experiment.model, "dtype", None) or jnp.float32
    data = experiment.train
    steps = 1
    if isinstance(data, ResidentData):
        steps = steps_of_call(data.steps_per_call, data.steps_per_epoch)
    return {
        "platform": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "devices": experiment.step.devices,
        "parallel": experiment.config.parallel,
        "compute_dtype": jnp.dtype(dtype).name,
        "param_dtype": "float32",
        "image_dtype": _image_dtype(data),
        "layout": "NHWC, inside the program as XLA chooses",
        "data": "resident" if isinstance(data, ResidentData) else "from the host",
        "steps_per_call": steps,
        "compiled_kept": bool(
            jax.config.jax_enable_compilation_cache
            and jax.config.jax_compilation_cache_dir
        ),
        "flags": {name: os.environ[name] for name in _FLAGS if name in os.environ},
        "options": {name: _plain(getattr(jax.config, name)) for name in _OPTIONS},
    }


def _image_dtype(data: Any) -> str:
    images = getattr(data.source, "images", None)
    return "uint8" if images is None else str(images.dtype)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | str) else str(value)
