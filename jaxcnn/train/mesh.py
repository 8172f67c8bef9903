"""Meshes of devices, by the size of each axis."""

import math
from collections.abc import Mapping

import jax
from jax.sharding import AxisType, Mesh


def make_mesh(
    devices: int | Mapping[str, int] | None = None, *, axis_name: str = "data"
) -> Mesh:
    """Returns a mesh over the first devices, by default over all, of one axis or more.

    Args:
        devices: How many, on one axis; or the size of every axis by name, of which one
            may be -1 for the rest: `{"data": 2, "fsdp": 4}`, `{"fsdp": -1}`.
        axis_name: The name of the one axis.

    Raises:
        ValueError: if there are fewer devices, or a size is not allowed.
    """
    available = jax.device_count()
    if isinstance(devices, Mapping):
        shape = mesh_shape(devices, available)
    else:
        devices = available if devices is None else devices
        if not 1 <= devices <= available:
            raise ValueError(f"devices must be in [1, {available}], got {devices}.")
        shape = {axis_name: devices}
    # Auto axes: under Explicit ones nn.Dropout raises ShardingTypeError.
    return jax.make_mesh(
        tuple(shape.values()),
        tuple(shape),
        axis_types=(AxisType.Auto,) * len(shape),
        devices=jax.devices()[: math.prod(shape.values())],
    )


def mesh_shape(axes: Mapping[str, int], available: int) -> dict[str, int]:
    """Returns the size of every axis of a mesh, with -1 replaced by the rest.

    Args:
        axes: Sizes by name, one of which may be -1.
        available: Number of devices.

    Raises:
        ValueError: if there is no axis, a size is neither -1 nor 1 or more, two are -1,
            or there are too few devices, or no whole number of them is the rest.
    """
    shape = dict(axes)
    for name, size in shape.items():
        if (
            not isinstance(size, int)
            or isinstance(size, bool)
            or not size >= -1
            or not size
        ):
            raise ValueError(
                f"The mesh axis {name!r} must be 1 or more, or -1 for the rest, got "
                f"{size!r}."
            )
    free = [name for name, size in shape.items() if size == -1]
    if len(free) > 1 or not shape:
        raise ValueError(
            f"A mesh needs an axis, and at most one of size -1, got {shape}."
        )
    taken = math.prod(size for size in shape.values() if size != -1)
    if taken > available or (free and available % taken):
        raise ValueError(
            f"The mesh {shape} does not fit {available} devices: its axes make {taken}."
        )
    return {
        name: available // taken if size == -1 else size for name, size in shape.items()
    }
