"""Trainings against the clock: one program a run, many seeds, compilation apart."""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.experiment.compiled import keep_compiled
from jaxcnn.experiment.main import exit_cleanly
from jaxcnn.train.epoch import epoch_order, make_steps
from jaxcnn.train.freed_memory import keep_freed_memory
from jaxcnn.train.state import TrainState
from jaxcnn.typing import Array, Batch

Examples = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Speedrun:
    """A training from the first draw to the test, in pure functions.

    Attributes:
        begin: `begin(key, examples)` returns the state before the first step.
        step: As `make_train_step` gives it, not compiled.
        predict: `predict(state, images)` returns logits `[batch, classes]`.
        num_steps: Updates in all; the last epoch may be a part of one.
        batch_size: Examples in a training batch.
        eval_batch_size: Examples that are predicted together, of which the test
            examples must be a multiple.
        numbered: Whether batches hold `"index"` and `"epoch"`.
    """

    begin: Callable[[Array, Examples], TrainState]
    step: Callable[[TrainState, Batch], Any]
    predict: Callable[[TrainState, Array], Array]
    num_steps: int
    batch_size: int
    eval_batch_size: int = 2000
    numbered: bool = True


@dataclasses.dataclass(frozen=True)
class Finish:
    """How a run ended.

    Attributes:
        seed: Of the run.
        accuracy: Share of the test examples that were right.
        seconds: From the draw of the parameters to the accuracy on the host.
    """

    seed: int
    accuracy: float
    seconds: float


def race(
    run: Speedrun,
    train: Examples,
    test: Examples,
    seeds: Sequence[int],
    *,
    tell: Callable[[str], None] = print,
) -> tuple[float, list[Finish]]:
    """Returns the seconds of compilation, and how the run of every seed ended.

    Nothing that depends on the data is computed before the clock of a run starts, but
    the transfer of the examples as stored (uint8) to the device; the test counts.

    Args:
        run: What to run.
        train: `"image"` and `"label"`, all examples.
        test: The same.
        seeds: One a run.
        tell: Is given a line for every run.
    """
    train, test = jax.device_put((dict(train), dict(test)))
    start = time.perf_counter()
    call = compiled_run(run, train, test)
    compile_seconds = time.perf_counter() - start
    tell(f"compiled in {compile_seconds:.1f} s")
    found = []
    for seed in seeds:
        start = time.perf_counter()
        accuracy = float(call(seed, train, test))
        found.append(Finish(seed, accuracy, time.perf_counter() - start))
        tell(f"seed {seed}: {100 * accuracy:.2f} % in {found[-1].seconds:.3f} s")
    return compile_seconds, found


def compiled_run(
    run: Speedrun, train: Examples, test: Examples, *, loop: str | None = None
) -> Callable[[int, Examples, Examples], Array]:
    """Returns `call(seed, train, test) -> accuracy`, compiled.

    On an accelerator, or with `loop="scan"`, it is one program. On a CPU, where XLA
    runs a convolution within a loop on one core, it is three: what comes before the
    steps, a step, and the test of a batch.
    """
    if loop is None:
        loop = "unroll" if jax.default_backend() == "cpu" else "scan"
    if loop == "scan":
        whole = jax.jit(lambda seed, train, test: _whole(run, seed, train, test))
        compiled = whole.lower(jnp.int32(0), train, test).compile()
        return lambda seed, train, test: compiled(jnp.int32(seed), train, test)
    return _in_pieces(run, train, test)


def orders(run: Speedrun, count: int, key: Array) -> dict[str, Array]:
    """Returns which examples all steps take: `"index"`, `"epoch"`, see `make_steps`."""
    per_epoch = count // run.batch_size
    epochs = -(-run.num_steps // per_epoch)
    draw = jax.vmap(lambda k: epoch_order(count, run.batch_size, key, k))
    index = draw(jnp.arange(epochs)).reshape(-1, run.batch_size)
    epoch = jnp.repeat(jnp.arange(epochs, dtype=jnp.int32), per_epoch)
    return {"index": index[: run.num_steps], "epoch": epoch[: run.num_steps]}


def _start(run: Speedrun, seed: Array, train: Examples) -> Any:
    keys = jax.random.split(jax.random.key(seed))
    return run.begin(keys[0], train), orders(run, len(train["image"]), keys[1])


def _right(run: Speedrun, state: TrainState, batch: Examples) -> Array:
    logits = run.predict(state, batch["image"])
    return jnp.sum(logits.argmax(axis=-1) == batch["label"])


def _whole(run: Speedrun, seed: Array, train: Examples, test: Examples) -> Array:
    state, rows = _start(run, seed, train)
    steps = make_steps(run.step, loop="scan", numbered=run.numbered)
    state, _ = steps(state, train, rows)
    right = jax.lax.map(lambda batch: _right(run, state, batch), _batches(run, test))
    return right.sum() / len(test["label"])


def _in_pieces(
    run: Speedrun, train: Examples, test: Examples
) -> Callable[[int, Examples, Examples], Array]:
    begin = jax.jit(lambda seed, train: _start(run, seed, train))
    one = make_steps(run.step, loop="unroll", numbered=run.numbered)
    step = jax.jit(one, donate_argnums=0)
    right = jax.jit(lambda state, batch: _right(run, state, batch))
    # Compiled for shapes alone, so that no run is made before its clock starts.
    state, rows = jax.eval_shape(begin, jnp.int32(0), train)
    row = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), rows)
    begin = begin.lower(jnp.int32(0), train).compile()
    step = step.lower(state, train, row).compile()
    first = jax.eval_shape(
        lambda test: jax.tree.map(lambda part: part[0], _batches(run, test)), test
    )
    right = right.lower(state, first).compile()

    def call(seed: int, train: Examples, test: Examples) -> Array:
        state, rows = begin(jnp.int32(seed), train)
        rows = {name: np.asarray(row) for name, row in rows.items()}
        for k in range(run.num_steps):
            row = {name: row[k : k + 1] for name, row in rows.items()}
            state, _ = step(state, train, row)
        parts = _batches(run, test)
        total = sum(
            right(state, {name: part[k] for name, part in parts.items()})
            for k in range(len(parts["label"]))
        )
        return total / len(test["label"])

    return call


def _batches(run: Speedrun, test: Examples) -> Examples:
    """Returns the test examples cut into batches, `[batches, batch, ...]`.

    Raises:
        ValueError: if they are no multiple of a batch.
    """
    if len(test["label"]) % run.eval_batch_size:
        raise ValueError(
            f"eval_batch_size is {run.eval_batch_size}, which does not divide the "
            f"{len(test['label'])} test examples."
        )
    return {
        name: rows.reshape(-1, run.eval_batch_size, *rows.shape[1:])
        for name, rows in test.items()
    }


def describe_race(compile_seconds: float, found: Sequence[Finish]) -> dict[str, Any]:
    """Returns mean, deviation and number of runs as plain values, for JSON.

    Example:
        >>> runs = [Finish(0, 0.9, 2.0), Finish(1, 0.92, 3.0)]
        >>> values = describe_race(5.0, runs)
        >>> values["n"], round(values["accuracy_mean"], 3), values["seconds_mean"]
        (2, 0.91, 2.5)
    """
    values: dict[str, Any] = {"n": len(found), "compile_seconds": compile_seconds}
    for name in ("accuracy", "seconds"):
        each = [getattr(finish, name) for finish in found]
        values[f"{name}_mean"] = statistics.fmean(each)
        values[f"{name}_sd"] = statistics.stdev(each) if len(each) > 1 else None
    values["runs"] = [dataclasses.asdict(finish) for finish in found]
    values["device"] = jax.devices()[0].device_kind
    values["jax"] = jax.__version__
    return values


def main(
    description: str,
    recipes: Mapping[str, Any],
    make_run: Callable[[Any, int], Speedrun],
    load: Callable[[str | None], Sequence[dict[str, Any]]],
) -> NoReturn:
    """Runs a recipe over seeds, as the command line says; prints and writes the times.

    Args:
        description: Shown by `--help`; the file's docstring.
        recipes: Dataclasses by name, each with `epochs`; the first is the default.
        make_run: `make_run(recipe, examples)` returns the run.
        load: `load(data_dir)` returns the training and the test examples.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipe", nargs="?", choices=recipes, default=next(iter(recipes))
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many runs")
    parser.add_argument("--first-seed", type=int, default=0, help="of the first run")
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--data-dir", help="where TFDS keeps the data set")
    parser.add_argument("--json", help="a file for the results of every seed")
    flags = parser.parse_args()
    exit_cleanly(lambda: _report(flags, recipes, make_run, load))


def _report(
    flags: argparse.Namespace,
    recipes: Mapping[str, Any],
    make_run: Callable[[Any, int], Speedrun],
    load: Callable[[str | None], Sequence[dict[str, Any]]],
) -> int:
    """Returns the exit code.

    Raises:
        ValueError: for a number that is out of range.
    """
    for name in ("seeds", "epochs"):
        value = getattr(flags, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} must be above 0, got {value}.")
    recipe = recipes[flags.recipe]
    if flags.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=flags.epochs)
    keep_freed_memory()
    keep_compiled()
    train, test = load(flags.data_dir)
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    run = make_run(recipe, len(train["label"]))
    values = describe_race(*race(run, train, test, seeds))
    values["recipe"] = {k: str(v) for k, v in dataclasses.asdict(recipe).items()}
    print(f"{flags.recipe}: {_sentence(values)}")
    if flags.json:
        Path(flags.json).write_text(json.dumps(values, indent=2) + "\n")
    return 0


def _sentence(values: Mapping[str, Any]) -> str:
    deviation = values["accuracy_sd"]
    spread = "" if deviation is None else f" (sd {100 * deviation:.2f})"
    return (
        f"{100 * values['accuracy_mean']:.2f} %{spread} in "
        f"{values['seconds_mean']:.2f} s, n = {values['n']}, on {values['device']}; "
        f"compiled in {values['compile_seconds']:.1f} s"
    )
