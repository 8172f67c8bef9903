"""Plants known bugs, and asks whether the harness would have found each."""

import shutil

from tests.faults import bugs
from tests.faults.children import call
from tests.faults.damage import every_file
from tests.faults.kills import judge, kill_at
from tests.faults.points import At
from tests.faults.report import EXACT
from tests.faults.small_run import build_once, contents, differences, live
from tests.faults.together import term_amid, two_at_once


def plant_resuming(shop):
    """The part of the harness: bugs of going on, which take one process for all."""
    found = call(
        _resume_each, shop.stopped(), shop.scratch, shop.whole(30), seconds=3600
    )
    for bug, seen in found.items():
        shop.report.add_planted(bug, seen)
    return found


def plant_all(shop):
    """The part of the harness: every planted bug must show."""
    base, whole = shop.stopped(), shop.whole(30)
    found, resuming = {}, plant_resuming(shop)
    for bug in bugs.OF_SAVING:
        found[bug] = _after_a_kill(shop, bug, whole)
    for bug in bugs.OF_READING:
        outcomes = call(every_file, base, 2, shop.arguments.seed, bug)
        found[bug] = any(outcome != EXACT for _, outcome, _ in outcomes)
    found["no lock"] = two_at_once(shop, "no lock") != EXACT
    found["signals forgotten"] = term_amid(shop, "step", "signals forgotten") != EXACT
    if missing := bugs.BUGS.keys() - found.keys() - resuming.keys():
        raise AssertionError(f"these bugs were not planted: {missing}")
    for bug, seen in found.items():
        shop.report.add_planted(bug, seen)


def _resume_each(base, scratch, whole):
    """Goes on from one kill with every bug of resuming, and with none."""
    build_once()
    found = {}
    for bug in (None, *bugs.OF_RESUMING):
        folder = shutil.copytree(base, scratch / "planted")
        with bugs.plant(bug):
            ended = live(folder)
        wrong = ended.code or differences(contents(folder), whole.contents)
        shutil.rmtree(folder)
        found[bug] = bool(wrong)
    if found.pop(None):
        raise AssertionError("the harness finds a fault where none was planted")
    return found


def _after_a_kill(shop, bug, whole):
    folder = shop.scratch / bug.replace(" ", "_")
    log = folder.with_suffix(".saves")
    at = At("reading a file for its checksum", 30)
    killed = kill_at(folder, whole.steps, at, log, bug)
    return (killed.wrong or judge(folder, log, whole, killed)) != EXACT
