"""Train step and inference of models, ours against others, interleaved in one run.

    python -m benchmarks steps --models lenet resnet50 --against torch keras flax
    python -m benchmarks steps --models lenet --kinds train --against torch --budget 20

Every variant of every side is a process of its own, and all take turns in every round.
A row counts a side only if it has as many parameters and multiply-adds. Rows are
written as they are finished, into one file a day and commit: a long suite may be
measured in slices, a model at a time.
"""

import argparse
import datetime
import importlib.util
import time
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.rows import ROWS, VARIANTS
from benchmarks.summary import summarise_row
from benchmarks.table import print_table, write_table
from benchmarks.turns import Settings, Worker, WorkerError, take_turns, timing

KINDS = ("train", "inference")

#: Rounds that are made even if the budget is spent.
LEAST_ROUNDS = 5

#: Seconds for which the lock is held at most, but for a round that takes longer.
HOLD = 20.0


Names = list[str]
Errors = dict[tuple[str, str, str], str]


def start_workers(
    model: str, kinds: Names, sides: Names, variants: Names | None, settings: Settings
) -> tuple[list[Worker], Errors]:
    """Returns a worker for each variant, and what went wrong with those that failed."""
    wanted = dict.fromkeys(
        (side, variant)
        for side in sides
        for kind in kinds
        for variant in VARIANTS[side][kind]
        if variants is None or side == "jaxcnn" or variant in variants
    )
    workers, errors = [], {}
    for side, variant in wanted:
        try:
            with timing([], settings):
                workers.append(Worker(side, model, variant, settings))
        except WorkerError as error:
            if side == "jaxcnn":
                raise
            errors["start", side, variant] = str(error)
    return workers, errors


def count_work(workers: list[Worker]) -> dict[str, dict[str, Any]]:
    """Returns parameters and multiply-adds by side, and why a side does not count.

    Raises:
        WorkerError: if our own model cannot be counted.
    """
    facts: dict[str, Any] = {}
    for worker in workers:
        try:
            if worker.side not in facts:
                facts[worker.side] = worker.ask("facts")
        except WorkerError as error:
            facts[worker.side] = {"refused": f"cannot be counted: {error}"}
    if "refused" in facts["jaxcnn"]:
        raise WorkerError(facts["jaxcnn"]["refused"])
    ours = facts["jaxcnn"]
    for found in facts.values():
        differences = [
            f"{found[name]:,} {name} against our {ours[name]:,}"
            for name in ours
            if name in found and found[name] != ours[name]
        ]
        if differences:
            found["refused"] = "not the same work: " + ", ".join(differences)
    return facts


def compile_all(
    workers: list[Worker], kind: str, errors: Errors, settings: Settings
) -> dict[Worker, dict[str, float]]:
    """Returns the seconds of each worker's first call and of a warm one."""
    first = {}
    for worker in workers:
        try:
            with timing([worker], settings):
                first[worker] = worker.ask("first", kind)
        except WorkerError as error:
            errors[kind, worker.side, worker.variant] = str(error)
    return first


def measure_kind(
    kind: str,
    first: dict[Worker, dict[str, float]],
    repeats: int,
    budget: float,
    settings: Settings,
) -> dict[Worker, list[dict[str, float]]]:
    """Returns the turns of each worker; rounds end with the repeats or the budget."""
    turns: dict[Worker, list] = {worker: [] for worker in first}
    warm = {worker: each["warm"] for worker, each in first.items()}
    spent, rounds = 0.0, 0

    def goes_on() -> bool:
        return rounds < repeats and (rounds < LEAST_ROUNDS or spent < budget)

    while goes_on():
        with timing(list(first), settings):
            held = spent
            while goes_on() and spent - held < HOLD:
                began = time.perf_counter()
                for worker, turn in take_turns(kind, warm, settings).items():
                    turns[worker].append(turn)
                    warm[worker] = min(warm[worker], turn["seconds"])
                rounds += 1
                spent += time.perf_counter() - began
    return turns


def measure_model(
    model: str,
    kinds: Names,
    against: Names,
    repeats: int,
    budget: float,
    settings: Settings,
    variants: Names | None = None,
) -> list[dict[str, Any]]:
    """Returns a row for each kind of call of one model.

    Args:
        model: A name of `ROWS`.
        kinds: Among `KINDS`.
        against: The sides next to ours.
        repeats: Rounds at most, two or more.
        budget: Seconds of rounds for each kind; at least `LEAST_ROUNDS` are made.
        settings: What all workers share.
        variants: Those of the other sides that are run; None for all.

    Raises:
        WorkerError: if our own side fails.
    """
    sides = ["jaxcnn", *against]
    workers, errors = start_workers(model, kinds, sides, variants, settings)
    try:
        facts = count_work(workers)
        rows = []
        for kind in kinds:
            before = record.load()
            able = [
                w for w in workers if w.alive and w.variant in VARIANTS[w.side][kind]
            ]
            first = compile_all(able, kind, errors, settings)
            turns = measure_kind(kind, first, repeats, budget, settings)
            row = summarise_row(model, kind, facts, first, turns, errors)
            rows.append({**row, "load_before": before, **settings.recorded()})
        return rows
    finally:
        for worker in workers:
            worker.close()


def results_path(name: str | None) -> Path:
    """Returns the file of this day and commit, or the one that was asked for."""
    day = datetime.date.today().isoformat()
    return (
        Path(name) if name else record.RESULTS / f"steps-{day}-{record.commit()}.json"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this measure."""
    add = parser.add_argument
    others = [side for side in VARIANTS if side != "jaxcnn"]
    known = sorted({v for s in VARIANTS.values() for vs in s.values() for v in vs})
    add("--models", nargs="+", choices=ROWS, default=list(ROWS), metavar="MODEL")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    installed = [s for s in others if importlib.util.find_spec(s)]
    add("--against", nargs="*", choices=others, default=installed)
    add("--variants", nargs="+", choices=known, help="of the others; all by default")
    add("--repeats", type=int, default=20, help="rounds at most")
    add("--budget", type=float, default=20, help="seconds of rounds, a model and kind")
    add("--into", help="JSON file that rows are merged into")
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all workers share."""
    default = Settings()
    add = parser.add_argument
    add("--threads", type=int, default=default.threads, help="cores of every side")
    add("--limit", type=float, default=default.limit, help="seconds to compile in")
    add("--lock", help="file locked while something is timed")
    add("--nice", type=int, help="niceness while something is timed")
    add("--cache", help="folder of compiled programs; first calls are then not timed")
    add(
        "--hugepages",
        action=argparse.BooleanOptionalAction,
        default=default.hugepages,
        help="glibc.malloc.hugetlb=1 on all sides",
    )
    add(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=default.keep_memory,
        help="glibc gives no freed memory back to the system, on all sides",
    )


def settings_of(chosen: argparse.Namespace) -> Settings:
    """Returns the settings that were chosen."""
    names = ("threads", "limit", "lock", "nice", "cache", "hugepages", "keep_memory")
    return Settings(**{name: getattr(chosen, name) for name in names})


def main(arguments: list[str] | None = None) -> None:
    """Measures the chosen models, prints the table and writes it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks steps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    settings, path = settings_of(chosen), results_path(chosen.into)
    packages = {"torch": ("torch", "torchvision", "timm"), "keras": ("keras",)}
    wanted = [name for side in chosen.against for name in packages.get(side, ())]
    about = record.environment(*filter(importlib.util.find_spec, wanted))
    for model in chosen.models:
        rows = measure_model(
            model,
            chosen.kinds,
            chosen.against,
            max(chosen.repeats, 2),
            chosen.budget,
            settings,
            chosen.variants,
        )
        for row in rows:
            row |= {"date": about["date"], "commit": about["commit"]}
            record.merge_row(path, about, row, ("model", "kind"))
        print_table(rows, about["cpu"])
    print(f"written to {path} and {write_table(path)}")
