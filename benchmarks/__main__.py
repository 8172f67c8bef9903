"""Images/s of the train step and of inference, a row a model.

    make bench
    python -m benchmarks --repeats 30 --models lenet resnet20_cifar

The models take turns in every round, so that a slow minute of the machine hits all of
them; the table gives medians and the middle half of the rounds. Compilation is timed
apart. A JSON file with hardware, versions and commit goes to benchmarks/results/.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

import flax
import jax
import numpy as np

import jaxcnn
from jaxcnn.optim import make_optimizer

#: Model, batch size, image shape.
ROWS = {
    "lenet": (64, (28, 28, 1)),
    "inception_small": (64, (28, 28, 1)),
    "conv_autoencoder": (128, (28, 28, 1)),
    "resnet20_cifar": (128, (32, 32, 3)),
}


def make_calls(name):
    """Returns two functions that make one train step and one inference, and wait."""
    batch_size, shape = ROWS[name]
    model = jaxcnn.create_model(name)
    classifies = jaxcnn.model_kind(name) == "classifier"
    task = jaxcnn.classification() if classifies else jaxcnn.reconstruction()
    tx = make_optimizer("momentum", 0.01)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, *shape), dtype=np.uint8)
    labels = random.integers(0, 10, batch_size).astype(np.int32)
    batch = {"image": images, "label": labels}
    step = jaxcnn.parallelize(jaxcnn.make_train_step(model, tx, task))
    predict = jax.jit(jaxcnn.make_predict_step(model))
    box = {"state": jaxcnn.init_state(model, tx, jax.random.key(0), images)}
    variables = jax.tree.map(jax.numpy.copy, box["state"].variables)

    def train():
        box["state"], _ = step(box["state"], batch)
        jax.block_until_ready(box["state"].params)

    def infer():
        jax.block_until_ready(predict(variables, images))

    return {"train": train, "inference": infer}


def seconds(call):
    """Returns how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(names, repeats):
    """Returns a row of figures for every model and kind of call."""
    calls, rows = {}, []
    for name in names:
        for kind, call in make_calls(name).items():
            calls[name, kind] = (call, seconds(call), [])
    for _ in range(repeats):
        for call, _, times in calls.values():
            times.append(seconds(call))
    for (name, kind), (_, first, times) in calls.items():
        low, middle, high = statistics.quantiles(times, n=4)
        batch_size = ROWS[name][0]
        rows.append(
            {
                "model": name,
                "kind": kind,
                "batch": batch_size,
                "images_per_second": round(batch_size / middle, 1),
                "middle_half": [round(batch_size / t, 1) for t in (high, low)],
                "first_call_seconds": round(first, 2),
            }
        )
    return rows


def environment():
    """Returns what the figures depend on."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cpu": f"{os.cpu_count()} cores, {_cpu_name()}",
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "versions": {
            "jaxcnn": jaxcnn.__version__,
            "jax": jax.__version__,
            "flax": flax.__version__,
            "python": platform.python_version(),
        },
    }


def _cpu_name():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def write_results(kind, about, rows):
    """Writes the rows, with where they were measured, to a file of their own."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind}-{about['date']}-{about['commit']}.json"
    path.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    print(f"written to {path}")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="rounds, 2 or more")
    parser.add_argument("--models", nargs="+", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args()
    about = {**environment(), "rounds": max(arguments.repeats, 2)}
    rows = measure(arguments.models, about["rounds"])
    print(f"{'model':<18} {'call':<10} {'batch':>5} {'images/s':>10}  middle half")
    for row in rows:
        low, high = row["middle_half"]
        print(
            f"{row['model']:<18} {row['kind']:<10} {row['batch']:>5} "
            f"{row['images_per_second']:>10,.0f}  {low:,.0f} to {high:,.0f}"
        )
    write_results("steps", about, rows)


if __name__ == "__main__":
    main()
