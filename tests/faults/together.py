"""Two runs on one folder; SIGTERM with a grace period; data that fail or hang."""

import contextlib
import functools
import importlib
import os
import signal
import threading
import time

import pytest

from jaxcnn.data import EvalData, TrainData
from tests.faults.bugs import plant
from tests.faults.children import call, fork, new_board
from tests.faults.points import At, instrument
from tests.faults.report import ERROR, EXACT
from tests.faults.small_run import contents, differences, live, look

#: Seconds between SIGTERM and SIGKILL.
GRACE = 10.0
#: What is under way when the signal comes.
MOMENTS = ("step", "save", "evaluation", "compilation", "wait for data", "twice")
_POINTS = {
    "step": At("a step and its hooks", 25),
    "save": At("writing arrays", 9),
    "twice": At("a step and its hooks", 25),
}

#: The module; `jaxcnn.train.fit` is the function in it.
fitting = importlib.import_module("jaxcnn.train.fit")


def two_at_once(shop, bug=None):
    """Starts two runs on one folder at the same moment; one must be refused.

    Returns:
        `EXACT` if one ended as a run alone does, the other with one line.
    """
    folder = shop.new_folder("two")
    read, write = os.pipe()
    children = [fork(_when_told, read, write, folder, bug) for _ in range(2)]
    os.close(read)
    os.close(write)  # both see the end of the pipe at once
    ended = [child.result() for child in children]
    refused = [one for one in ended if one.error and "is in use by" in one.error]
    if len(refused) != 1 or {one.code for one in ended} != {0, 2}:
        return f"ended with {ended}"
    return _compare(shop, folder)


def _when_told(read, write, folder, bug):
    os.close(write)
    os.read(read, 1)
    with plant(bug):
        return live(folder)


def term_amid(shop, moment, bug=None):
    """Sends SIGTERM amid something, SIGKILL after the grace, and goes on.

    Returns:
        `EXACT` if the run had saved and left in time, and went on bit-equal.
    """
    folder, board = shop.new_folder("term"), new_board()
    child = fork(_signalled, folder, board, moment, bug)
    while child.poll() is None and not board.signalled:
        time.sleep(0.005)
    made, deadline = board.step, time.monotonic() + GRACE
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    child.kill()
    if child.wait() != 0:
        return f"it ended with {child.code}, {GRACE:g} s after SIGTERM at step {made}"
    if max(look(folder)[0], default=0) < made:
        return f"step {made} was made, and {look(folder)[0]} saved"
    return _go_on(shop, folder)


def _signalled(folder, board, moment, bug):
    """Is a run that gets SIGTERM and must end by it, not by itself."""

    def send():
        if not board.signalled:
            board.signalled = 1
            for _ in range(2 if moment == "twice" else 1):
                os.kill(os.getpid(), signal.SIGTERM)

    log = folder.with_suffix(".saves")
    instrument(board, log, _POINTS.get(moment), act=send)
    with pytest.MonkeyPatch.context() as patch, plant(bug):
        if moment == "evaluation":
            _slow_evaluation(patch, board, send)
        elif moment == "compilation":
            _at_batch(patch, 0, lambda: threading.Timer(0.3, send).start())
        elif moment == "wait for data":
            _at_batch(patch, 13, lambda: (send(), time.sleep(1000)))
        ended = live(folder)
    if ended.code != 143:
        raise AssertionError(ended)


def _slow_evaluation(patch, board, send):
    """Makes every evaluation after step 9 take longer than the grace."""
    plain = EvalData.__iter__

    def batches(self):
        for number, batch in enumerate(plain(self)):
            if board.step > 9:
                if number == 1:
                    send()
                time.sleep(GRACE / 4)
            yield batch

    patch.setattr(EvalData, "__iter__", batches)


def _at_batch(patch, number, act):
    plain = TrainData.__getitem__

    def batch(self, k):
        if k == number:
            act()
        return plain(self, k)

    patch.setattr(TrainData, "__getitem__", batch)


def _fails():
    raise OSError("the disk of the data is gone")


#: How data fail: what happens where batch 13 is made, and what the error says.
DATA = {
    "raises": (_fails, "the disk of the data is gone while making batch 13"),
    "hangs": (lambda: time.sleep(1000), "Batch 13 was not there after 2 s"),
}


def data_fail(shop, how):
    """Lets the data fail in a run; it must say so, and go on when they are back."""
    folder = shop.new_folder("data")
    ended = call(_with_bad_data, folder, how)
    if not (ended.error and DATA[how][1] in ended.error):
        return f"ended with {ended}"
    outcome = _go_on(shop, folder)
    return ERROR if outcome == EXACT else outcome


def _with_bad_data(folder, how):
    with pytest.MonkeyPatch.context() as patch:
        _at_batch(patch, 13, DATA[how][0])
        impatient = functools.partial(fitting.prefetch, timeout=2.0)
        patch.setattr(fitting, "prefetch", impatient)
        return live(folder)


def _go_on(shop, folder):
    ended = call(live, folder)
    return f"went on to {ended}" if ended.code else _compare(shop, folder)


def _compare(shop, folder):
    with contextlib.suppress(ValueError):
        wrong = differences(call(contents, folder), shop.whole(30).contents)
        return f"differs in {wrong}" if wrong else EXACT
    return "has no checkpoint"


def run_together(shop):
    """The part of the harness: two runs at once."""
    for _ in range(max(1, shop.arguments.samples // 10)):
        outcome = two_at_once(shop)
        shop.report.add("two runs started at once: the first", outcome)
        refused = ERROR if outcome == EXACT else outcome
        shop.report.add("two runs started at once: the second", refused)


def run_signals(shop):
    """The part of the harness: SIGTERM, then SIGKILL."""
    for number in range(max(2, shop.arguments.samples // 3)):
        # Of a small number the hard ones.
        moment = ("evaluation", "twice", *MOMENTS)[number % (2 + len(MOMENTS))]
        outcome = term_amid(shop, moment)
        name = "comes twice" if moment == "twice" else f"amid a {moment}"
        shop.report.add(f"SIGTERM {name}, {GRACE:g} s of grace", outcome)


def run_data(shop):
    """The part of the harness: data that fail."""
    for how in DATA:
        shop.report.add(f"making a batch {how}", data_fail(shop, how))
