"""From a configuration to the devices: the mesh, what it splits, groups of a batch."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.train import Shard, make_mesh, with_batch_statistics
from jaxcnn.train.batch_statistics import check_batch_statistics
from jaxcnn.tree import nearest


def mesh_of(config: ExperimentConfig) -> Mesh | None:
    """Returns the mesh that a configuration names, or None for jit and pmap.

    Raises:
        ValueError: if its axes do not make up all devices, or it is of no use.
    """
    if config.parallel != "mesh":
        if config.mesh:
            raise ValueError(
                f"mesh is for parallel 'mesh', got parallel {config.parallel!r}."
            )
        return None
    if not config.mesh:
        return make_mesh()
    mesh = make_mesh(config.mesh)
    if mesh.size != jax.device_count():
        raise ValueError(
            f"The axes of mesh={config.mesh} make {mesh.size} devices, but there are "
            f"{jax.device_count()}: -1 stands for the rest."
        )
    return mesh


def shard_of(config: ExperimentConfig) -> Shard | None:
    """Returns what a configuration splits over the mesh, or None if nothing.

    Raises:
        ValueError: for a number or a rule that is not allowed, or without a mesh that
            has the axis.
    """
    sharding = config.sharding
    if sharding.min_size is None and not sharding.rules:
        return None
    if config.parallel != "mesh":
        raise ValueError(
            f"sharding is for parallel 'mesh', got parallel {config.parallel!r}."
        )
    axes = config.mesh or {"data": -1}
    if sharding.axis not in axes:
        raise ValueError(
            f"sharding.axis is {sharding.axis!r}, but the mesh has the axes "
            f"{', '.join(axes)}.{nearest(sharding.axis, axes)}"
        )
    try:
        return Shard(sharding.min_size, tuple(sharding.rules), sharding.axis)
    except ValueError as error:
        raise ValueError(f"sharding: {error}") from None


def batch_groups(config: ExperimentConfig) -> int:
    """Returns over how many groups of a batch BatchNorm takes its statistics.

    Raises:
        ValueError: if `batch_statistics` is unknown or the groups do not fit.
    """
    try:
        over = check_batch_statistics(config.batch_statistics)
    except ValueError as error:
        raise ValueError(f"batch_statistics: {error}") from None
    devices = 1 if config.parallel == "jit" else jax.device_count()
    size = config.data.batch_size
    if over == "global":
        return 1
    if over == "device":
        return devices
    shared = size // devices if config.parallel == "pmap" else size
    if shared % over:
        whose = "a device's share" if config.parallel == "pmap" else "data.batch_size"
        raise ValueError(
            f"batch_statistics over groups of {over} need a multiple of it: {whose} is "
            f"{shared}."
        )
    return size // over


def grouped(
    step: Callable[..., Any], config: ExperimentConfig, mesh: Mesh | None
) -> Callable[..., Any]:
    """Returns the train step with the batch statistics that a configuration names.

    Those of each device are what pmap does by itself, with a model without `axis_name`;
    on one device they are those of the batch.
    """
    if config.batch_statistics == "device" and mesh is None:
        return step
    return with_batch_statistics(step, config.batch_statistics, mesh=mesh)
