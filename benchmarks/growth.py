"""How step time, memory and compile time grow with batch, size, depth and devices.

    python -m benchmarks.growth
    python -m benchmarks.growth --axes batch --values 8 64 --into growth.json

A train step of a CIFAR ResNet (He et al. 2016), momentum, synthetic data. One thing
grows at a time, from ResNet-20 on 32 images of 32x32. Every row is a process of its
own, so that nothing is compiled or cached before it. Devices are made of one CPU: the
program's shape (memory of a device, what travels) is what is asked there, no time. The
step time is the median of the rounds, memory what XLA plans for a device, compile time
what `jaxcnn.train.compile_ahead` takes. The rows go to benchmarks/results/, or are
added to the file of `--into`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rounds import quartiles

#: What grows, and the values of it. Depth is 6n + 2 layers.
AXES = {
    "batch": (8, 32, 128, 512),
    "size": (16, 32, 64, 96),
    "depth": (8, 20, 32, 56),
    "devices": (1, 2, 4, 8),
}
START = {"batch": 32, "size": 32, "depth": 20, "devices": 1}
#: Beside the first call, which is not counted.
ROUNDS, SECONDS = 15, 8.0
#: In the program of a device: the kinds of exchange between devices.
EXCHANGES = (
    r" = ([^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all)(?:-start)?\("
)


def make_row(axis, value, *, seconds=SECONDS):
    """Returns the figures of one point, measured in this process."""
    import jax

    import jaxcnn
    from jaxcnn.models.resnet_cifar import CifarResNet
    from jaxcnn.optim import make_optimizer
    from jaxcnn.train import compile_ahead, keep_freed_memory

    keep_freed_memory()  # as runs do; before JAX has threads
    at = {**START, axis: value}
    model = CifarResNet(blocks_per_stage=(at["depth"] - 2) // 6)
    tx, task = make_optimizer("momentum", 0.01), jaxcnn.classification()
    batch = _batch(at["batch"], at["size"])
    how = "jit" if axis != "devices" else jaxcnn.make_mesh(value)
    step = jaxcnn.parallelize(jaxcnn.make_train_step(model, tx, task), how)
    state = jaxcnn.init_state(model, tx, jax.random.key(0), batch["image"])
    batch = step.place(batch)
    state, compiled = compile_ahead(step, state, batch)
    row = {
        "axis": axis,
        "value": value,
        **at,
        "compile_seconds": round(compiled["seconds"], 2),
        "trace_seconds": round(compiled["trace_seconds"], 2),
        "temporary_bytes": compiled["temporary_bytes"],
        "peak_bytes": compiled["peak_bytes"],
    }
    if axis == "devices":
        text = step.compiled.lower(state, batch).compile().as_text()
        return row | {"exchanges": exchanges(text)}
    times = timed(step, state, batch, seconds)
    low, middle, high = quartiles(times)
    return row | {
        "step_seconds": middle,
        "middle_half": [low, high],
        "images_per_second": round(at["batch"] / middle, 1),
        "rounds": len(times),
        "macs": jaxcnn.summarize(model, (1, at["size"], at["size"], 3)).macs,
    }


def _batch(count, size):
    import numpy as np

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return {"image": images, "label": random.integers(0, 10, count).astype(np.int32)}


def timed(step, state, batch, seconds):
    """Returns the seconds of steps, at least three, each waited for."""
    import jax

    times, begun = [], None
    while len(times) < 4 or (
        len(times) <= ROUNDS and time.perf_counter() - begun < seconds
    ):
        start = time.perf_counter()
        begun = start if begun is None else begun
        state, _ = step(state, batch)
        jax.block_until_ready(state.params)
        times.append(time.perf_counter() - start)
    return times[1:]


def exchanges(text):
    """Returns how many arrays devices exchange in a compiled step, and their bytes."""
    # XLA numbers every fifth array of a tuple in a comment, which holds a "=".
    found = re.findall(EXCHANGES, re.sub(r"/\*.*?\*/", "", text))
    sizes = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1}
    total = count = 0
    for shapes, _ in found:
        for kind, axes in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            numbers = 1
            for axis in filter(None, axes.split(",")):
                numbers *= int(axis)
            total += numbers * sizes.get(kind, 4)
            count += 1
    return {"operations": len(found), "arrays": count, "bytes": total}


def in_a_process(axis, value):
    """Returns the row of a point, measured in a fresh process."""
    flags = os.environ.get("XLA_FLAGS", "")
    if axis == "devices":
        flags += f" --xla_force_host_platform_device_count={value}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    command = [sys.executable, "-m", "benchmarks.growth", "--row", axis, str(value)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def values_of(axis, wanted):
    """Returns the values of an axis, those that were asked for.

    Raises:
        ValueError: if a depth is none that a ResNet for CIFAR has.
    """
    for value in wanted or ():
        if value < 1 or (axis == "depth" and (value < 8 or (value - 2) % 6)):
            raise ValueError(f"{axis} cannot be {value}; depths are 8, 14, 20, ...")
    return wanted or AXES[axis]


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--values", nargs="+", type=int, help="instead of the usual")
    parser.add_argument("--into", help="a JSON file that the rows are added to")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.row:
        print(json.dumps(make_row(flags.row[0], int(flags.row[1]))))
        return
    try:
        points = [(a, v) for a in flags.axes for v in values_of(a, flags.values)]
    except ValueError as error:
        parser.error(str(error))
    rows = []
    for axis, value in points:
        rows.append(in_a_process(axis, value))
        print(describe(rows[-1]), flush=True)
        write(rows, flags.into)  # a run that is stopped keeps what it measured


def describe(row):
    """Returns a line about a row."""
    speed = ""
    if "step_seconds" in row:
        speed = f"step {1e3 * row['step_seconds']:.1f} ms, "
    return (
        f"{row['axis']} {row['value']}: {speed}compiled in "
        f"{row['compile_seconds']:.1f} s, {row['peak_bytes'] / 2**20:.0f} MiB a device"
    )


def write(rows, into=None):
    """Writes the rows with where they were measured, or adds them to a file."""
    from benchmarks.record import environment, write_results

    if into is None:
        return write_results("growth", environment(), rows)
    path = Path(into)
    known = json.loads(path.read_text()) if path.exists() else {"rows": []}
    fresh = {(row["axis"], row["value"]) for row in rows}
    kept = [row for row in known["rows"] if (row["axis"], row["value"]) not in fresh]
    path.write_text(json.dumps({**environment(), "rows": kept + rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
