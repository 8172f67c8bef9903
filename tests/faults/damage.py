"""Truncated, deleted and flipped files: the step before serves, or one clear error."""

import shutil

import numpy as np

from jaxcnn.checkpoint import Checkpoints
from tests.faults.bugs import plant
from tests.faults.children import call
from tests.faults.report import ERROR, EXACT
from tests.faults.small_run import (
    build_once,
    contents,
    differences,
    digest,
    live,
    look,
)


def flip(content, random):
    """Returns the bytes with one bit of one of them changed."""
    changed = bytearray(content)
    changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


def truncate(content, random):
    return content[: random.integers(len(content))]


def delete(content, random):
    return None


HARMS = {
    "one flipped bit": flip,
    "truncated": truncate,
    "deleted": delete,
}


def put(path, content):
    """Leaves a file with these bytes; None deletes it."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def files_of(folder, step):
    root = folder / "checkpoints" / f"step_{step:08d}"
    return sorted(path for path in root.rglob("*") if path.is_file())


def read(folder):
    """Returns the step and the digest of the newest good checkpoint, or an error."""
    try:
        restored = Checkpoints(folder / "checkpoints", best="accuracy").restore()
    except ValueError as error:
        return str(error)
    return restored.step, digest(
        restored.step, restored.state, restored.info, restored.metrics
    )


def every_file(folder, repeats, seed, bug=None):
    """Harms every file of the newest checkpoint in turn, reads, and puts it back.

    Returns:
        `(what, outcome)` of every harm.
    """
    random = np.random.default_rng(seed)
    *_, before, newest = look(folder)[0]
    expected = _at(folder, before)
    outcomes = []
    with plant(bug):
        for path in files_of(folder, newest):
            whole = path.read_bytes()
            for name, harm in HARMS.items():
                if not whole and harm is not delete:
                    continue
                for _ in range(1 if harm is delete else repeats):
                    put(path, harm(whole, random))
                    try:
                        found = read(folder)
                        outcome = EXACT if found == expected else f"gave {found}"
                    except Exception as error:  # one that no user should see
                        outcome = repr(error)
                    put(path, whole)
                    outcomes.append((name, outcome, path.name))
    return outcomes


def all_damaged(folder, seed):
    """Harms one file of each checkpoint: nothing is left but to say so."""
    random, names, outcomes = np.random.default_rng(seed), look(folder)[0], []
    for name, harm in HARMS.items():
        whole = {}
        for step in names:
            files = [path for path in files_of(folder, step) if path.stat().st_size]
            path = files[random.integers(len(files))]
            whole[path] = path.read_bytes()
            put(path, harm(whole[path], random))
        found = read(folder)
        said = isinstance(found, str) and all(f"step {s}:" in found for s in names)
        outcomes.append((name, ERROR if said else f"gave {found}", "all"))
        for path, content in whole.items():
            put(path, content)
    return outcomes


def resume_damaged(base, scratch, samples, seed, whole):
    """Goes on to the end with copies of a run of which one file each was harmed."""
    build_once()
    random, outcomes = np.random.default_rng(seed), []
    newest = look(base)[0][-1]
    for number in range(samples):
        folder = shutil.copytree(base, scratch / f"damaged_{number}")
        files = [path for path in files_of(folder, newest) if path.stat().st_size]
        path = files[random.integers(len(files))]
        name = list(HARMS)[number % len(HARMS)]
        put(path, HARMS[name](path.read_bytes(), random))
        outcomes.append((name, _finish(folder, whole), path.name))
        shutil.rmtree(folder)
    return outcomes


def other_files(base, scratch, samples, seed, whole):
    """Harms the files beside the checkpoints: configuration, records, results, lock.

    An error must be clear, and the run must go on when the file is put back. Records
    are a log: of a line that was harmed no more is asked than that it harms nothing.
    """
    build_once()
    random, outcomes = np.random.default_rng(seed), []
    paths = ("config.json", "metrics/00000.jsonl", ".lock", "results.json")
    for number in range(samples):
        name = paths[number % len(paths)]
        kind = ("garbage", *HARMS)[number // len(paths) % (1 + len(HARMS))]
        folder = shutil.copytree(base, scratch / f"beside_{number}")
        path = folder / name
        content = path.read_bytes() if path.exists() else None
        if content and kind != "garbage":
            put(path, HARMS[kind](content, random))
        else:
            path.write_bytes(b'\xff\x00[]{"')
        logs = name.startswith("metrics")
        ended = live(folder)
        if ended.error and content is not None:
            put(path, content)
            outcome = ERROR if _finish(folder, whole) == EXACT else "it did not go on"
        else:
            outcome = _judge(folder, ended, whole, ("records",) if logs else ())
        outcomes.append((f"{name}, {kind}", outcome, ""))
        shutil.rmtree(folder)
    return outcomes


def _at(folder, step):
    restored = Checkpoints(folder / "checkpoints").restore(step=step)
    return step, digest(step, restored.state, restored.info, restored.metrics)


def _finish(folder, whole):
    return _judge(folder, live(folder), whole)


def _judge(folder, ended, whole, ignored=()):
    if ended.code:
        return f"ended with {ended}"
    wrong = set(differences(contents(folder), whole.contents)) - set(ignored)
    return f"differs in {sorted(wrong)}" if wrong else EXACT


def break_files(shop):
    """The part of the harness."""
    base, whole, count = shop.stopped(), shop.whole(30), shop.arguments.samples
    repeats = max(1, count // 4)
    for name, outcome, where in call(every_file, base, repeats, shop.arguments.seed):
        shop.report.add(f"a file of the newest checkpoint, {name}", outcome, where)
    for name, outcome, where in call(all_damaged, base, shop.arguments.seed):
        shop.report.add(f"a file of every checkpoint, {name}", outcome, where)
    arguments = (base, shop.scratch, count, shop.arguments.seed, whole)
    for name, outcome, where in call(resume_damaged, *arguments, seconds=3600):
        shop.report.add(f"the same, resumed to the end, {name}", outcome, where)
    arguments = (base, shop.scratch, count, shop.arguments.seed, whole)
    for name, outcome, where in call(other_files, *arguments, seconds=3600):
        shop.report.add(f"a file beside: {name}", outcome, where)
