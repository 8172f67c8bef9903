"""Four ways to use trained weights, two transfers, five seeds: docs/transfer.md.

    python experiments/transfer_cases.py pretrain FOLDER
    python experiments/transfer_cases.py run FOLDER cifar
    python experiments/transfer_cases.py run FOLDER xrays --xrays pneumoniamnist.npz \
        --weights resnet20-12fca82f.th
    python experiments/transfer_cases.py table FOLDER

`cifar` pre-trains a CNN of three stages on CIFAR-10's classes 0 to 4 and transfers it
to a tenth of the training images of classes 5 to 9; published weights have seen all ten
classes and play no part in it. `xrays` takes the published CIFAR-10 weights of a
ResNet-20 to chest X-rays (28x28, gray). CIFAR-10 is read from TFDS_DATA_DIR.

Each strategy's learning rate is chosen from two by the accuracy on the validation part
with seed 0; the test part is measured once for each run at that rate. All runs lie in
FOLDER, and a command that is started again goes on there. `table` writes
experiments/transfer_cases.json. Expected: see experiments/README.md.
"""

import argparse
import dataclasses
import json
import statistics
from pathlib import Path

import jax
import numpy as np

from jaxcnn.data import load_source
from jaxcnn.data.splits import stratified_choice
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TransferConfig,
    train,
)
from jaxcnn.experiment.report import report_run
from jaxcnn.run import CONFIG_FILE, METRICS, write_json
from jaxcnn.train import read_metrics
from jaxcnn.version import __version__

SEEDS = range(5)
RESULTS = Path(__file__).with_suffix(".json")
#: Without weights, "retrain" is training from scratch.
STRATEGIES = {
    "new_head": (TransferConfig(strategy="new_head"), (3e-3, 3e-2)),
    "cut_early": (TransferConfig(strategy="cut_early"), (3e-3, 3e-2)),
    "fine_tune": (TransferConfig(strategy="fine_tune"), (3e-4, 3e-3)),
    "retrain": (TransferConfig(strategy="retrain"), (3e-3, 1e-2)),
    "scratch": (None, (3e-3, 1e-2)),
}
#: All in hundredths in the table, which is Markdown for the guide.
MEASURED = ("accuracy", "balanced_accuracy", "auroc")
CNN = ModelConfig("cnn", args={"features": [32, 64, 128], "norm": "batch"})
AUGMENT = ("pad_crop(padding=4)", "random_flip")


def write_parts(folder: Path) -> None:
    """Writes CIFAR-10's classes 0 to 4, and a tenth of the others, as two files."""
    parts = {split: load_source("cifar10", split) for split in ("train", "test")}
    labels = {split: np.asarray(part.labels) for split, part in parts.items()}
    for name, low in {"first": 0, "last": 5}.items():
        arrays = {}
        for split, part in parts.items():
            keep = (labels[split] >= low) & (labels[split] < low + 5)
            if (name, split) == ("last", "train"):
                chosen = np.flatnonzero(keep)
                tenth = stratified_choice(labels[split][keep], len(chosen) // 10, 0)
                keep = chosen[tenth]
            arrays[f"{split}_images"] = part.images[keep]
            arrays[f"{split}_labels"] = labels[split][keep] - low
        np.savez(folder / f"{name}.npz", **arrays)


def pretraining(folder: Path) -> ExperimentConfig:
    """Returns the run on the first five classes."""
    return ExperimentConfig(
        run=str(folder / "pretrain"),
        model=CNN,
        data=DataConfig(f"npz:{folder / 'first.npz'}", batch_size=128, augment=AUGMENT),
        optimizer=OptimizerConfig(
            "nesterov", 0.1, schedule="one_cycle", weight_decay=5e-4
        ),
        epochs=4,
    )


def transfer(args: argparse.Namespace) -> ExperimentConfig:
    """Returns what all runs of a transfer share, with the weights to start from."""
    cifar = args.case == "cifar"
    data, epochs = f"npz:{args.folder / 'last.npz'}", 6
    weights = str(args.folder / "pretrain")
    if not cifar:
        data, epochs, weights = f"npz:{args.xrays}", 3, args.weights
    return ExperimentConfig(
        model=CNN if cifar else ModelConfig("resnet20_cifar"),
        data=DataConfig(
            data,
            test_split="",  # measured at the end, at the chosen rate
            validation=0.2 if cifar else 0.1,
            batch_size=64,
            augment=AUGMENT if cifar else ("random_shift(max_pixels=2)",),
        ),
        optimizer=OptimizerConfig("adam", 1e-3, schedule="cosine"),
        transfer=TransferConfig(weights=weights),
        loss=LossConfig(class_weights=None if cifar else "balanced"),
        epochs=epochs,
    )


def run_of(
    args: argparse.Namespace, strategy: str, rate: float, seed: int
) -> ExperimentConfig:
    """Returns the run of a strategy at a learning rate with a seed."""
    shared = transfer(args)
    chosen, _ = STRATEGIES[strategy]
    if chosen is None:
        chosen = TransferConfig()
    else:
        # The X-rays are scaled to [0, 1] alone, though more is known of these weights.
        how = "data" if args.case == "xrays" else chosen.preprocess
        weights = shared.transfer.weights
        chosen = dataclasses.replace(chosen, weights=weights, preprocess=how)
    return dataclasses.replace(
        shared,
        run=str(args.folder / args.case / strategy / f"{rate:g}" / str(seed)),
        transfer=chosen,
        optimizer=dataclasses.replace(shared.optimizer, learning_rate=rate),
        seed=seed,
    )


def best_accuracy(config: ExperimentConfig) -> float:
    """Trains the run unless it is there; returns its best validation accuracy."""
    train(config)
    records = read_metrics(Path(config.run) / METRICS)
    return max(r["accuracy"] for r in records if r["split"] == "validation")


def run_case(args: argparse.Namespace) -> None:
    """Trains all runs of a transfer and measures those at the chosen rates."""
    for strategy in args.strategies or STRATEGIES:
        rates = STRATEGIES[strategy][1]
        tried = {rate: best_accuracy(run_of(args, strategy, rate, 0)) for rate in rates}
        rate = max(tried, key=tried.__getitem__)
        for seed in SEEDS:
            config = run_of(args, strategy, rate, seed)
            validation = best_accuracy(config)
            path = Path(config.run) / "test.json"
            if not path.exists():
                _, report = report_run(config.run, "test", bootstrap=0)
                test = {name: report.overall[name] for name in MEASURED}
                values = {"validation": validation, "test": test, "tried": tried}
                write_json(path, values)
            found = json.loads(path.read_text())["test"]["accuracy"]
            print(f"{args.case} {strategy} {rate:g} seed {seed}: {found:.4f}")


def summarise(args: argparse.Namespace) -> None:
    """Writes the results of all finished strategies and prints them as a table."""
    summary: dict[str, dict] = {}
    for path in sorted(args.folder.glob("*/*/*/*/test.json")):
        case, strategy, rate, seed = path.parts[-5:-1]
        entry = summary.setdefault(case, {}).setdefault(strategy, {"runs": {}})
        found = json.loads(path.read_text())
        entry |= {"learning_rate": float(rate), "tried": found["tried"]}
        entry["runs"][seed] = found["test"] | {"validation": found["validation"]}
    columns = "".join(f" {name.replace('_', ' ')} |" for name in MEASURED)
    print(f"| case | strategy | rate | runs |{columns}")
    print("|---" * (4 + len(MEASURED)) + "|")
    for case, strategies in summary.items():
        for strategy in [name for name in STRATEGIES if name in strategies]:
            entry = strategies[strategy]
            entry |= _spreads(list(entry["runs"].values()))
            found = (entry[name] for name in MEASURED)
            cells = [f"{100 * f['mean']:.2f} (sd {100 * f['sd']:.2f})" for f in found]
            first = (case, strategy, entry["learning_rate"], len(entry["runs"]))
            print("|", " | ".join(map(str, (*first, *cells))), "|")
    write_json(RESULTS, {**_origin(args.folder), "cases": summary})


def _spreads(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns mean and sample deviation of what was measured, over the seeds."""
    spreads = {}
    for name in MEASURED:
        values = [run[name] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        spreads[name] = {"mean": statistics.mean(values), "sd": spread}
    return spreads


def _origin(folder: Path) -> dict:
    """Returns what the weights reached on their own classes, and the versions."""
    path = folder / "pretrain" / METRICS
    found = [r["accuracy"] for r in read_metrics(path) if r["split"] == "validation"]
    return {
        "pretraining_validation_accuracy": max(found, default=None),
        "versions": {"jaxcnn": __version__, "jax": jax.__version__},
    }


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("pretrain", "run", "table"))
    parser.add_argument("folder", type=Path, help="where all runs are kept")
    parser.add_argument("case", nargs="?", choices=("cifar", "xrays"))
    parser.add_argument("--xrays", help="pneumoniamnist.npz")
    parser.add_argument("--weights", help="published ResNet-20 weights of CIFAR-10")
    parser.add_argument("--strategies", nargs="+", choices=tuple(STRATEGIES))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.command == "pretrain":
        if not (args.folder / "pretrain" / CONFIG_FILE).exists():
            write_parts(args.folder)
        print(train(pretraining(args.folder)).metrics)
    elif args.command == "run":
        if args.case is None:
            parser.error("run needs a case: cifar or xrays")
        if args.case == "xrays" and not (args.xrays and args.weights):
            parser.error("xrays needs --xrays and --weights")
        run_case(args)
    else:
        summarise(args)


if __name__ == "__main__":
    main()
