"""Several steps in one compiled call, on examples that lie on the device."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.train.parallel import ParallelStep
from jaxcnn.train.state import TrainState
from jaxcnn.train.task import Metrics
from jaxcnn.typing import Array, Batch

Examples = Mapping[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]

#: How the steps of a call become a program.
LOOPS = ("scan", "unroll")


def make_steps(
    step: Step | ParallelStep, *, loop: str | None = None, numbered: bool = False
) -> Callable[[TrainState, Examples, Mapping[str, Array]], tuple[TrainState, Metrics]]:
    """Returns `steps(state, examples, rows) -> (state, metrics)`, pure, not compiled.

    It makes one step for every row of `rows["index"]`, `[steps, batch]`, on the batch
    of those examples, gathered on the device, and stacks the metrics, `[steps]` each.

    Args:
        step: From `make_train_step`, `parallelize`, or your own; not for pmap.
        loop: `"scan"` makes one program of any length; `"unroll"` repeats the step's
            program. None for the one that is fast: XLA runs a convolution within a loop
            on one core of a CPU, so there steps are unrolled.
        numbered: Whether batches hold `"index"` and `"epoch"`, int32 `[batch]`, as
            those of `TrainData(..., numbered=True)`.

    Raises:
        ValueError: if `loop` is unknown, or the step is for pmap.
    """
    if loop is None:
        loop = "unroll" if jax.default_backend() == "cpu" else "scan"
    check_choice("loop", loop, LOOPS)
    step = _inner(step)

    def steps(
        state: TrainState, examples: Examples, rows: Mapping[str, Array]
    ) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, row: Mapping[str, Array]) -> Any:
            return step(state, gathered(examples, row, numbered=numbered))

        if loop == "scan":
            return lax.scan(one, state, dict(rows))
        found = []
        for k in range(len(rows["index"])):
            state, metrics = one(state, {name: row[k] for name, row in rows.items()})
            found.append(metrics)
        return state, jax.tree.map(lambda *each: jnp.stack(each), *found)

    return steps


def make_epoch(
    step: Step | ParallelStep,
    batch_size: int,
    *,
    loop: str | None = None,
    numbered: bool = False,
) -> Callable[[TrainState, Examples, Any, Any], tuple[TrainState, Metrics]]:
    """Returns `epoch(state, examples, seed, epoch) -> (state, metrics)`.

    A pure function, not compiled, that passes once over examples which lie on the
    device: `n // batch_size` steps in an order that `epoch_order` draws there. Nothing
    but the seed and the number of the epoch travels, so that a whole training can be
    one program: `jax.lax.scan` over epochs. Metrics are stacked, `[steps]` each.

    Args:
        step: As for `make_steps`.
        batch_size: Examples in a batch.
        loop: As for `make_steps`.
        numbered: As for `make_steps`.

    Raises:
        ValueError: as `make_steps` does, if `batch_size` is below 1; while tracing, if
            there are fewer examples than that.

    Example:
        >>> import optax
        >>> from jaxcnn import create_model
        >>> from jaxcnn.train import classification, init_state, make_train_step
        >>> images = jax.random.uniform(jax.random.key(1), (8, 4, 4, 1))
        >>> examples = {"image": images, "label": jnp.arange(8) % 2}
        >>> model, tx = create_model("mlp", num_classes=2, hidden=(3,)), optax.sgd(1)
        >>> step = make_train_step(model, tx, classification())
        >>> epoch = jax.jit(make_epoch(step, 2))
        >>> state = init_state(model, tx, jax.random.key(0), images)
        >>> state, metrics = epoch(state, examples, 0, 0)
        >>> print(state.step, metrics["loss"].total.shape)
        4 (4,)
    """
    check_number("batch_size", batch_size, 1)
    steps = make_steps(step, loop=loop, numbered=numbered)

    def run(
        state: TrainState, examples: Examples, seed: Any, epoch: Any
    ) -> tuple[TrainState, Metrics]:
        count = len(examples["image"])
        if count < batch_size:
            raise ValueError(
                f"batch_size is {batch_size}, but there are only {count} examples."
            )
        index = epoch_order(count, batch_size, seed, epoch)
        number = jnp.full(len(index), epoch, jnp.int32)
        return steps(state, examples, {"index": index, "epoch": number})

    return run


def epoch_order(count: int, batch_size: int, seed: Any, epoch: Any) -> Array:
    """Returns the order of an epoch, drawn on the device: int32 `[steps, batch]`.

    A function of the seed and the epoch, other than the host's `TrainData.positions`.

    Args:
        count: Number of examples.
        batch_size: Examples in a batch; what does not fill one is left out.
        seed: A number, or a typed key.
        epoch: From 0.
    """
    typed = isinstance(seed, jax.Array) and jnp.issubdtype(
        seed.dtype, jax.dtypes.prng_key
    )
    key = jax.random.fold_in(seed if typed else jax.random.key(seed), epoch)
    steps = count // batch_size
    order = jax.random.permutation(key, count)[: steps * batch_size]
    return order.astype(jnp.int32).reshape(steps, batch_size)


def gathered(
    examples: Examples, row: Mapping[str, Array], *, numbered: bool = False
) -> Batch:
    """Returns the batch of some examples: those of `row["index"]`, `[batch]`."""
    index = row["index"]
    batch = {name: jnp.take(rows, index, axis=0) for name, rows in examples.items()}
    if not numbered:
        return batch
    return {**batch, "index": index, "epoch": jnp.full_like(index, row["epoch"])}


def parallel_steps(step: ParallelStep, *, numbered: bool = False) -> ParallelStep:
    """Returns `make_steps(step)` compiled: called with state and `(examples, rows)`.

    Examples lie whole on each device that the step is for; the state is split, copied
    and donated as that step does it.

    Raises:
        ValueError: if the step is for pmap.
    """
    steps = make_steps(step, numbered=numbered)

    def call(state: TrainState, given: tuple[Examples, Mapping[str, Array]]) -> Any:
        return steps(state, *given)

    donated = (0,) if step.donated else ()
    compiled = jax.jit(call, donate_argnums=donated)
    return ParallelStep(
        compiled,
        step.devices,
        place=step.place_whole,
        place_state=step.place_state,
        shardings=step.shardings,
    )


def _inner(step: Step | ParallelStep) -> Step:
    """Returns what can be called within another compiled function."""
    if isinstance(step, ParallelStep) and step.place_whole is None:
        raise ValueError(
            "Several steps a call are not for 'pmap': give parallelize a mesh."
        )
    return step.compiled if isinstance(step, ParallelStep) else step
