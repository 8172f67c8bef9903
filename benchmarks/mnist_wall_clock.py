"""MNIST from `import` to the last evaluation, in jaxcnn and in PyTorch.

    python -m benchmarks.mnist_wall_clock --data-dir /folder/of/tfds --pairs 3

LeNet-5 (61,706 parameters), Adam and a one-cycle rate, on the 60,000 training images;
PyTorch reads them through its `DataLoader`. Every run is a process of its own that
times itself from before its first import until it has its test accuracy: imports,
compilation, training and evaluation. Sides take turns. Nothing is kept between runs.
The arrays are read from one uncompressed `.npz` by both.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def main(argv: list[str] | None = None) -> None:
    """Times pairs of runs and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", help="a name for jaxcnn.data.load")
    parser.add_argument("--data-dir", default=None, help="folder of TFDS")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=6e-3, help="peak of the rate")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--examples", type=int, default=None, help="first so many only")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "images.npz")
        _write(path, args)
        runs = [
            _run(side, path, args, seed)
            for seed in range(args.pairs)
            for side in ("jaxcnn", "torch")
        ]
    print(json.dumps({"settings": vars(args), **summary(runs)}, indent=1))


def summary(runs: list[dict]) -> dict:
    """Returns the runs, the median seconds of each side, and theirs over ours.

    Example:
        >>> runs = [{"side": s, "seconds": n} for s, n in [("jaxcnn", 2), ("torch", 3)]]
        >>> summary(runs)["ratio"]
        1.5
    """
    seconds = {
        side: statistics.median(r["seconds"] for r in runs if r["side"] == side)
        for side in ("jaxcnn", "torch")
    }
    ratio = seconds["torch"] / seconds["jaxcnn"]
    return {"median_seconds": seconds, "ratio": ratio, "runs": runs}


def _write(path: pathlib.Path, args: argparse.Namespace) -> None:
    import numpy as np

    from jaxcnn.data import load_source

    arrays = {}
    for split in ("train", "test"):
        source = load_source(args.data, split, data_dir=args.data_dir)
        arrays[f"{split}_images"] = source.images[: args.examples]
        arrays[f"{split}_labels"] = source.labels[: args.examples]
    np.savez(path, **arrays)


def _run(side: str, path: pathlib.Path, args: argparse.Namespace, seed: int) -> dict:
    settings = {**vars(args), "path": str(path), "seed": seed}
    code = f"from benchmarks import mnist_wall_clock as m; m.side_{side}()"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(settings)],
        env={**os.environ, "OMP_NUM_THREADS": str(args.threads)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return {"side": side, "seed": seed, **json.loads(done.stdout.splitlines()[-1])}


def side_jaxcnn() -> None:
    """Trains and evaluates in jaxcnn, and prints the times and the accuracy."""
    begun = time.perf_counter()
    settings = json.loads(sys.argv[1])
    import jax
    import numpy as np

    import jaxcnn
    from jaxcnn.data import EvalData, TrainData, from_arrays
    from jaxcnn.optim import make_optimizer, make_schedule

    imported = time.perf_counter()
    arrays = np.load(settings["path"])
    train, test = (
        from_arrays(arrays[f"{split}_images"], arrays[f"{split}_labels"], split=split)
        for split in ("train", "test")
    )
    data = TrainData(train, settings["batch_size"], settings["seed"])
    steps = settings["epochs"] * data.steps_per_epoch
    model, task = jaxcnn.create_model("lenet5"), jaxcnn.classification()
    rate = make_schedule("one_cycle", settings["rate"], steps)
    tx = make_optimizer("adam", rate)
    key = jax.random.key(settings["seed"])
    state = jaxcnn.init_state(model, tx, key, data[0]["image"][:1])
    step = jaxcnn.parallelize(jaxcnn.make_train_step(model, tx, task), "jit")
    state = jaxcnn.fit(state, step, data, num_steps=steps)
    trained = time.perf_counter()
    evaluate = jax.jit(jaxcnn.make_eval_step(model, task))
    found = jaxcnn.evaluate(evaluate, state, EvalData(test, 1000))
    _say(begun, imported, trained, found["accuracy"])


def side_torch() -> None:
    """The same in PyTorch."""
    begun = time.perf_counter()
    settings = json.loads(sys.argv[1])
    import numpy as np
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks.torch_models import lenet5

    imported = time.perf_counter()
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    arrays = np.load(settings["path"])

    def dataset(split: str) -> TensorDataset:
        images = torch.from_numpy(arrays[f"{split}_images"]).permute(0, 3, 1, 2)
        labels = torch.from_numpy(arrays[f"{split}_labels"]).long()
        return TensorDataset(images.float() / 255, labels)

    batch_size = settings["batch_size"]
    loader = DataLoader(dataset("train"), batch_size, shuffle=True, drop_last=True)
    model = lenet5(torch)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["rate"], total_steps=settings["epochs"] * len(loader)
    )
    loss = nn.CrossEntropyLoss()
    for _ in range(settings["epochs"]):
        for images, labels in loader:
            optimizer.zero_grad(set_to_none=True)
            loss(model(images), labels).backward()
            optimizer.step()
            schedule.step()
    trained = time.perf_counter()
    model.eval()
    right = 0
    with torch.inference_mode():
        for images, labels in DataLoader(dataset("test"), 1000):
            right += (model(images).argmax(1) == labels).sum().item()
    _say(begun, imported, trained, right / len(arrays["test_labels"]))


def _say(begun: float, imported: float, trained: float, accuracy: float) -> None:
    ended = time.perf_counter()
    values = {
        "seconds": ended - begun,
        "import_seconds": imported - begun,
        "train_seconds": trained - imported,
        "evaluate_seconds": ended - trained,
        "accuracy": accuracy,
    }
    print(json.dumps(values))


if __name__ == "__main__":
    main()
