"""SIGKILL at random moments of one run, resumed each time; nothing may be lost.

After every kill: no checkpoint is damaged, the newest is not older than the newest that
was complete before, every save had the bits of a run that was never killed, and so have
the records. At the end all that the run leaves is bit-equal to the other's.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np

from tests.faults.bugs import plant
from tests.faults.children import call, fork, new_board
from tests.faults.points import At, instrument, midst, read_saves
from tests.faults.report import EXACT
from tests.faults.small_run import contents, differences, live, look, records

#: How a kill is aimed, and how often.
AIMS = {"start": 0.15, "time": 0.4, "save": 0.25, "inside": 0.2}
_HANGS_AFTER = 120.0


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that was never killed: what it left, and the digest of every save."""

    steps: int
    contents: dict
    saves: dict


@dataclasses.dataclass
class Pace:
    """What has been seen of the speed of lives, to aim by."""

    start_up: float = 3.0
    step: float = 0.1


def reference(folder, steps):
    """Trains without a kill and returns what every other run is compared with."""
    board, log = new_board(), folder.with_suffix(".saves")
    ended = call(_life, folder, steps, board, log)
    if ended.code != 0:
        raise RuntimeError(f"the run without a fault ended with {ended}")
    return Reference(steps, call(contents, folder), read_saves(log))


def kill_often(report, folder, whole, count, seed, fault="SIGKILL", tell=lambda: None):
    """Kills one run `count` times, lets it end, and compares."""
    random, pace = np.random.default_rng(seed), Pace()
    log = folder.with_suffix(".saves")
    began, done, where = time.monotonic(), 0, {}
    for number in range(count):
        share = max(1.0, (whole.steps - done) / (count - number))
        aim = random.choice(list(AIMS), p=list(AIMS.values()))
        limit = min(done + round(3 * share) + 1, whole.steps - 1)
        killed = _kill(folder, whole.steps, aim, limit, share, random, pace, log)
        outcome = killed.wrong or judge(folder, log, whole, killed)
        done = max([*look(folder)[0], 0])
        report.add(f"{fault}, {killed.kind}", outcome, f"kill {number + 1}, {aim}")
        for what in killed.midst:
            where[what] = where.get(what, 0) + 1
        report.notes |= {
            "kills": number + 1,
            "kills in the midst of": dict(sorted(where.items())),
            "kills, seconds": round(time.monotonic() - began, 1),
        }
        tell()
        if outcome != EXACT:
            return
    ended = call(_life, folder, whole.steps, new_board(), log)
    wrong = differences(call(contents, folder), whole.contents)
    outcome = f"ended with {ended}" if ended.code else wrong or EXACT
    report.add("the run that was killed, at its end", outcome)


@dataclasses.dataclass(frozen=True)
class Killed:
    """One kill: what it hit, what was complete before it, or what went wrong."""

    kind: str
    midst: tuple
    saved: int
    wrong: str = ""


def kill_at(folder, steps, at, log, bug=None):
    """Starts the run and lets it kill itself at a point."""
    before, board = _leftovers(folder), new_board()
    newest = max(look(folder)[0], default=0)
    child = fork(_life, folder, steps, board, log, at, bug)
    child.wait()
    return _killed(child, folder, board, before, newest)


def judge(folder, log, whole, killed):
    """Returns `EXACT`, or what a kill did to the run that it must not."""
    good, damaged = look(folder)
    if damaged:
        return f"damaged checkpoints: {damaged}"
    if max(good, default=0) < killed.saved:
        return f"step {killed.saved} was saved and is lost; there are {good}"
    for step, digests in read_saves(log).items():
        if digests != whole.saves.get(step):
            return f"what was saved at step {step} has other bits"
    newest = max(good, default=0)
    kept = [record for record in records(folder) if record["step"] <= newest]
    expected = [r for r in whole.contents["records"] if r["step"] <= newest]
    return EXACT if kept == expected else f"the records up to step {newest} differ"


def _life(folder, steps, board, log, at=None, bug=None):
    """Is one start of the run, in a child."""
    instrument(board, log, at)
    with plant(bug):
        return live(folder, steps)


def _kill(folder, steps, aim, limit, share, random, pace, log):
    """Starts the run and kills it as aimed, but at the step `limit` at the latest."""
    before, board = _leftovers(folder), new_board()
    newest = max(look(folder)[0], default=0)
    at = At(None, int(random.integers(1, 60 * share + 60))) if aim == "inside" else None
    began = time.monotonic()
    child = fork(_life, folder, steps, board, log, at)
    deadline = began + (random.uniform(0, pace.start_up) if aim == "start" else 1e9)
    first, saves_left = None, 1 + int(random.uniform(0, share / 2))
    seen = set(before)
    while child.poll() is None and time.monotonic() < deadline:
        now = time.monotonic()
        if now - began > _HANGS_AFTER or board.step >= limit:
            break
        if first is None and board.step > newest:
            first = now
            pace.start_up = 0.8 * pace.start_up + 0.2 * (now - began)
            if aim == "time":
                deadline = now + random.uniform(0, 2 * share * pace.step)
        if aim == "save" and saves_left and (new := _leftovers(folder) - seen):
            seen |= new
            saves_left -= 1
            if not saves_left:
                deadline = now + random.uniform(0, 0.08)
        time.sleep(0.001 if aim == "save" else 0.003)
    child.kill()
    child.wait()
    if first is not None and board.step > newest + 1:
        each = (time.monotonic() - first) / (board.step - newest)
        pace.step = 0.8 * pace.step + 0.2 * each
    return _killed(child, folder, board, before, newest)


def _killed(child, folder, board, before, newest):
    left = _leftovers(folder) - before
    phases = midst(board)
    if any(name.endswith(".saving") for name, _ in left):
        kind = "inside a save"
    elif any(name.endswith(".deleting") for name, _ in left):
        kind = "while old checkpoints are deleted"
    elif board.step <= newest:
        kind = "before the first step"
    else:
        kind = "between saves"
    wrong = "" if child.code == -9 else f"it ended by itself: {child.result()}"
    where = tuple(phase for phase in phases if phase)
    return Killed(kind, where, max(newest, board.saved), wrong)


def _leftovers(folder):
    """Returns what saves and deletions are under way or were left, unmistakably."""
    directory = Path(folder) / "checkpoints"
    try:
        found = [p for p in directory.iterdir() if p.suffix in (".saving", ".deleting")]
        return {(path.name, path.stat().st_ino) for path in found}
    except OSError:  # not made yet, or one was renamed while we looked
        return set()
