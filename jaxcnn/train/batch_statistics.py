"""Over which examples BatchNorm takes its statistics: all, a device's, or a group's."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcnn.tree import nearest
from jaxcnn.typing import Array, Batch, PyTree

KINDS = ("global", "device")


def with_batch_statistics(
    step: Callable[[PyTree, Batch], Any],
    over: str | int = "global",
    *,
    mesh: Mesh | None = None,
) -> Callable[[PyTree, Batch], Any]:
    """Returns the step with BatchNorm's statistics taken over groups of examples.

    Every `flax.linen.BatchNorm` that trains, of any model, normalises each group of
    neighbouring rows by the group's own mean and variance. Its running averages move by
    the mean of the groups' statistics. Evaluation, which uses these, is not changed.
    The numbers depend on the groups alone, not on the devices that share the batch.

    Args:
        step: From `make_train_step`, not compiled; or your own that applies a model.
        over: `"global"`, the whole batch that the model is given: the step as it came.
            A number (or its digits): groups of so many examples, "ghost batches".
            `"device"`: as many groups as the mesh has devices, so that no statistics
            travel between devices; on one device the same as `"global"`.
        mesh: That of `parallelize`. Groups that are a multiple of its devices are laid
            out so that each lies on one device.

    Raises:
        ValueError: if `over` is none of these, or `"device"` comes without a mesh;
            while tracing, if a batch is not a multiple of the group, or the model has
            an `axis_name`, over which it would average the groups of all devices.

    References:
        Hoffer et al., "Train longer, generalize better: closing the generalization gap
        in large batch training of neural networks", NeurIPS 2017, section 4 and
        algorithm 1, https://arxiv.org/abs/1705.08741.
    """
    over = check_batch_statistics(over)
    if over == "global":
        return step
    if over == "device" and mesh is None:
        raise ValueError("Batch statistics over each 'device' need the mesh.")

    def groups_of(size: int) -> int:
        groups, rest = (
            (mesh.size, size % mesh.size) if over == "device" else divmod(size, over)
        )
        if rest:
            what = f"{mesh.size} devices" if over == "device" else f"groups of {over}"
            raise ValueError(
                f"Batch statistics over {what} need a batch that is a multiple, got "
                f"one of {size}."
            )
        return groups

    @functools.wraps(step)  # keeps the attributes of the step too
    def grouped_step(state: PyTree, batch: Batch) -> Any:
        with nn.intercept_methods(_Grouping(groups_of, mesh)):
            return step(state, batch)

    return grouped_step


def check_batch_statistics(over: str | int) -> str | int:
    """Returns `"global"`, `"device"` or the number of examples in a group.

    Raises:
        ValueError: if `over` is none of these.
    """
    if isinstance(over, str) and over.isdecimal():
        over = int(over)
    is_size = isinstance(over, int) and not isinstance(over, bool) and over >= 1
    if not (is_size or over in KINDS):
        raise ValueError(
            "Batch statistics are 'global', by 'device', or over groups of a number of "
            f"examples such as 32, got {over!r}.{nearest(str(over), KINDS)}"
        )
    return over


class _Grouping:
    """Calls every BatchNorm that trains once for each group, by `jax.vmap`."""

    def __init__(self, groups_of: Callable[[int], int], mesh: Mesh | None) -> None:
        self._groups_of = groups_of
        self._mesh = mesh
        self._inside = False

    def __call__(
        self,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        norm = context.module
        if (
            self._inside
            or not isinstance(norm, nn.BatchNorm)
            or context.method_name != "__call__"
            or norm.is_initializing()
        ):
            return call(*args, **kwargs)
        x, use_average, mask = _arguments(*args, **kwargs)
        if norm.use_running_average or use_average:
            return call(*args, **kwargs)
        if norm.axis_name is not None:
            raise ValueError(
                f"Batch statistics over groups need a model without axis_name, got "
                f"{norm.axis_name!r} in {'/'.join(norm.path)}."
            )
        groups = self._groups_of(x.shape[0])
        if groups == 1:
            return call(*args, **kwargs)
        self._inside = True
        try:
            return self._normalize(norm, x, mask, groups)
        finally:
            self._inside = False

    def _normalize(
        self, norm: nn.BatchNorm, x: Array, mask: Array | None, groups: int
    ) -> Array:
        """Returns the output, and moves the running averages of the layer."""
        # A copy of its own: what the layer itself wrote under vmap could not leave it.
        alone = norm.clone(parent=None)
        variables = dict(norm.variables)

        def apply(x: Array, mask: Array | None) -> tuple[Array, PyTree]:
            return alone.apply(
                variables,
                x,
                use_running_average=None
                if norm.use_running_average is False
                else False,
                mask=mask,
                mutable=["batch_stats"],
            )

        if mask is not None:
            mask = self._split(jax.numpy.broadcast_to(mask, x.shape), groups)
        y, updated = jax.vmap(apply)(self._split(x, groups), mask)
        for name, value in updated["batch_stats"].items():
            norm.put_variable("batch_stats", name, value.mean(axis=0))
        return y.reshape(x.shape)

    def _split(self, x: Array, groups: int) -> Array:
        """Returns `[groups, size, ...]`, every group on one device where it can be."""
        x = x.reshape(groups, -1, *x.shape[1:])
        if self._mesh is None or groups % self._mesh.size:
            return x
        spec = PartitionSpec(self._mesh.axis_names)
        return lax.with_sharding_constraint(x, NamedSharding(self._mesh, spec))


def _arguments(
    x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
) -> tuple[Array, bool | None, Array | None]:
    """Returns the arguments of `BatchNorm.__call__`, however they were given."""
    return x, use_running_average, mask
