"""Finds the layer in which a step went wrong: run again, with every layer watched."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn.metrics import Mean
from jaxcnn.train.forward import prepare, streams
from jaxcnn.train.probes import Event, Probes
from jaxcnn.train.task import Task
from jaxcnn.tree import flatten_named
from jaxcnn.typing import Array, Batch, PyTree

#: Longest list of names or examples in a message.
_MAX_LISTED = 5


@dataclasses.dataclass(frozen=True)
class NonFinite:
    """Where the first value of a step that is not finite came from.

    Attributes:
        where: `"forward"`, `"loss"`, `"penalty"`, `"state"` (a collection that the
            model writes), `"gradient"`, or `"before"` if the step is sound but
            something that it was given is not.
        layer: Path of the module, such as `"stage2/block1/conv"`; empty for the model
            itself, and where no module is to blame.
        kind: The module's class, or empty.
        place: `"before norm"` or `"after conv"` where the module's own code, between
            the layers that it holds, is to blame; else empty.
        inputs: Least and largest finite number that the layer got, or None.
        examples: Indices in the batch of those first concerned; empty if all or none.
        variables: Parameters and others that were not finite before the step.
        batch: Entries of the batch that are not finite, with the examples' indices.
    """

    where: str
    layer: str = ""
    kind: str = ""
    place: str = ""
    inputs: tuple[float, float] | None = None
    examples: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    batch: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        name = f"{self.layer or 'the model itself'} ({self.kind})"
        own = f", in its own code {self.place}" if self.place else ""
        text = {
            "forward": f"First in the forward pass: what {name} makes{own}",
            "loss": "The model's outputs are finite, the loss of them is not",
            "penalty": "The loss is finite, the penalty of the parameters is not",
            "state": f"The loss is finite, what {name} keeps for later is not",
            "gradient": "First in the backward pass: the gradient that "
            + (f"{name} passes on{own}" if self.kind else "the loss passes on"),
            "before": "The loss and the gradient are finite",
        }[self.where]
        if self.inputs is not None:
            text += f"; its inputs are in [{self.inputs[0]:g}, {self.inputs[1]:g}]"
        if self.examples:
            text += f"; in {_examples(self.examples)} of the batch"
        if self.variables:
            text += f"; not finite before the step: {_listed(self.variables)}"
        for entry, rows in self.batch.items():
            text += f"; batch[{entry!r}] is not finite in {_examples(rows)}"
        return f"{text}."


def find_nonfinite(
    model: nn.Module,
    variables: PyTree,
    batch: Batch,
    task: Task,
    *,
    key: Array | None = None,
    preprocess: Callable[[Array], Array] | None = None,
    augment: Callable[[Array, Batch], Batch] | None = None,
    penalty: Callable[[PyTree], Array] | None = None,
) -> NonFinite | None:
    """Returns where the first value of a train step that is not finite came from.

    Runs the forward and the backward pass again, with the inputs and outputs of every
    module watched. A module is to blame if what it got was finite and what it gave was
    not; of nested ones, the innermost. In the backward pass, which begins at the loss,
    the same goes for gradients. The step's update is not made again.

    It costs a compilation, and the memory of a step on one device.

    Args:
        model: The Linen module, made without `axis_name`.
        variables: `state.variables` before the step.
        batch: The whole batch, as the step got it.
        task: What is learned.
        key: The step's key, `jax.random.fold_in(state.rng, state.step)`, for dropout
            and augmentation as they were; `jax.random.key(0)` by default.
        preprocess: As for `make_train_step`.
        augment: As for `make_train_step`.
        penalty: As for `make_train_step`.

    Returns:
        The finding, whose `str` is a sentence; None if all is finite.

    Example:
        >>> import jaxcnn
        >>> model = jaxcnn.create_model("cnn", features=(4,))
        >>> batch = {"image": jnp.ones((3, 8, 8, 1)), "label": jnp.zeros(3, int)}
        >>> variables = model.init(jax.random.key(0), batch["image"])
        >>> batch["image"] = batch["image"].at[1, 2, 2].set(jnp.inf)
        >>> found = find_nonfinite(model, variables, batch, jaxcnn.classification())
        >>> found.layer, found.examples, found.batch
        ('stage1_conv1', (1,), {'image': (1,)})
    """
    variables, batch = _on_host(dict(variables)), _on_host(dict(batch))
    probes = Probes()
    values = _passes(model, task, key, preprocess, augment, penalty)
    given = {
        "variables": tuple(
            name for name, leaf in flatten_named(variables).items() if _bad(leaf).any()
        ),
        "batch": {name: _rows(leaf) for name, leaf in batch.items() if _rows(leaf)},
    }
    with probes:
        outcome = jax.device_get(jax.jit(values)(variables, batch))
        jax.effects_barrier()
    found = _verdict(probes, outcome, variables, len(outcome["losses"]))
    if found is None:
        return NonFinite("before", **given) if any(given.values()) else None
    return dataclasses.replace(found, **given)


def _passes(
    model: nn.Module,
    task: Task,
    key: Array | None,
    preprocess: Callable[[Array], Array] | None,
    augment: Callable[[Array, Batch], Batch] | None,
    penalty: Callable[[PyTree], Array] | None,
) -> Callable[[PyTree, Batch], dict[str, PyTree]]:
    """Returns a function that makes the passes of a step and gives what they made."""
    augment_key, model_key = jax.random.split(jax.random.key(0) if key is None else key)

    def run(variables: PyTree, batch: Batch) -> dict[str, PyTree]:
        model_state = {k: v for k, v in variables.items() if k != "params"}
        ready = prepare(batch, preprocess, augment, augment_key, None)

        def objective(params: PyTree) -> tuple[Array, dict[str, PyTree]]:
            outputs, new = model.apply(
                {"params": params, **model_state},
                *task.inputs(ready),
                train=True,
                rngs=streams(model_key),
                mutable=list(model_state),
            )
            losses = task.loss(outputs, ready)
            loss = Mean.of(losses, ready["mask"]).compute()
            extra = jnp.zeros(()) if penalty is None else penalty(params)
            # Rows that count nothing may be anything.
            losses = jnp.where(ready["mask"] == 0, 0, losses)
            made = {"losses": losses, "penalty": extra, "state": dict(new)}
            return loss + extra, {**made, "outputs": outputs}

        grads, made = jax.grad(objective, has_aux=True)(variables["params"])
        return {**made, "grads": grads}

    return run


def _verdict(
    probes: Probes, outcome: dict[str, Any], variables: PyTree, size: int
) -> NonFinite | None:
    if (event := probes.first_forward()) is not None:
        return _of_event("forward", event, probes, size)
    if (bad := _bad(outcome["losses"])).any():
        rows = tuple(np.flatnonzero(bad).tolist())
        return NonFinite("loss", inputs=_range(outcome["outputs"]), examples=rows)
    if _bad(outcome["penalty"]).any():
        return NonFinite("penalty")
    for name, leaf in flatten_named(outcome["state"]).items():
        if _bad(leaf).any():
            path = name.split("/", 1)[-1].rpartition("/")[0]
            return NonFinite("state", path, probes.kind_of(path))
    names = [n for n, x in flatten_named(outcome["grads"]).items() if _bad(x).any()]
    event = probes.first_backward([name.rpartition("/")[0] for name in names])
    if event is not None:
        return _of_event("gradient", event, probes, size)
    return NonFinite("gradient") if names else None


def _of_event(where: str, event: Event, probes: Probes, size: int) -> NonFinite:
    """Returns who is to blame for the first event that is not finite."""
    backward = where == "gradient"
    rows = event.rows(size, backward=backward)
    examples = rows if len(rows) < size else ()
    outermost = event.call.parent is None
    if backward and event.is_output and outermost:
        return NonFinite(where, inputs=event.range, examples=examples)
    # Forward a module makes its output, backward what goes to its inputs. Where the
    # other end is the first, the fault lies between this module and its neighbour.
    own = event.is_output != backward or event.of_parameters
    call = event.call if own else event.call.parent
    inner = probes.inner_of(call, first=backward) if own else event.call
    place = ""
    if inner is not None and not event.of_parameters:
        place = f"{'after' if event.is_output else 'before'} {inner.name}"
    return NonFinite(
        where,
        layer=call.path,
        kind=call.kind,
        place=place,
        inputs=call.start.range,
        examples=examples,
    )


def _on_host(tree: PyTree) -> PyTree:
    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            if not leaf.is_fully_replicated:
                raise ValueError(
                    "find_nonfinite needs the whole of an array that is spread over "
                    "several processes."
                )
            leaf = leaf.addressable_data(0)
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def _bad(leaf: Any) -> np.ndarray:
    """Returns where an array is not finite."""
    leaf = np.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return np.zeros(leaf.shape, bool)
    return ~np.isfinite(leaf.astype(np.float64))


def _rows(leaf: Any) -> tuple[int, ...]:
    bad = np.atleast_1d(_bad(leaf))
    return tuple(np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim)))).tolist())


def _range(tree: PyTree) -> tuple[float, float] | None:
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    leaves = [leaf for leaf in leaves if leaf.size]
    if not leaves:
        return None
    return (
        min(float(leaf.min()) for leaf in leaves),
        max(float(leaf.max()) for leaf in leaves),
    )


def _examples(rows: Sequence[int]) -> str:
    return f"example{'s' if len(rows) > 1 else ''} {_listed(rows)}"


def _listed(items: Sequence[Any]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(map(str, items[:_MAX_LISTED])) + more
