"""A disk that is full at any moment of a save, and folders that cannot be written."""

import contextlib
import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp

from jaxcnn.checkpoint import Checkpoints
from tests.faults.children import call
from tests.faults.report import ERROR, EXACT
from tests.faults.small_run import (
    build_once,
    contents,
    differences,
    live,
    look,
)

_PAGE = 4096
_DISK = 4 << 20
#: Folders of a run that are made read-only, one at a time.
FOLDERS = ("", "checkpoints", "metrics")


def may_mount():
    """Returns whether this process may mount: elsewhere there is no small disk."""
    return os.geteuid() == 0 and call(_try_mount)


def _try_mount():
    return not subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
    ).returncode


@contextlib.contextmanager
def _mounted(folder, *arguments):
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(base, scratch, pages, whole):
    """Goes on with copies of a run on disks with so many pages left, then with more.

    Returns:
        `(what, outcome)` for every number of pages.
    """
    build_once()
    outcomes = []
    with _mounted(scratch / "disk", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs") as d:
        for free in pages:
            folder = shutil.copytree(base, d / "run")
            good = look(folder)[0][-1]
            _leave(d, free)
            ended = live(folder)
            (d / "ballast").unlink()
            name, outcome = _judge(folder, ended, good, whole)
            outcomes.append((name, outcome, f"{free} pages left"))
            shutil.rmtree(folder)
    return outcomes


def _leave(disk, pages):
    """Fills a disk but for so many pages."""
    space = os.statvfs(disk)
    size = max(space.f_bavail * space.f_frsize - pages * _PAGE, 0)
    with open(disk / "ballast", "wb") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)


def _judge(folder, ended, good, whole):
    if not ended.code:
        name, outcome = "disk just large enough", EXACT
    elif not ended.error or "No space left on device" not in ended.error:
        return "disk full", f"ended with {ended}"
    elif max(look(folder)[0], default=0) < good:
        return "disk full", f"step {good} is lost"
    else:
        name, outcome = "disk full", ERROR
    again = live(folder)
    wrong = again.code or differences(contents(folder), whole.contents)
    return name, f"went on to {again} {wrong}" if wrong else outcome


def read_only(base, scratch, part, whole):
    """Goes on with a run of which a folder is read-only, then when it no longer is."""
    build_once()
    folder = shutil.copytree(base, scratch / f"read_only_{part}")
    target = folder / part
    with _mounted(target, "--bind", str(target)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(target)], check=True)
        ended = live(folder)
    clear = ended.error and "Read-only file system" in ended.error
    if not clear or str(folder) not in ended.error:
        return f"ended with {ended}"
    again = live(folder)
    wrong = again.code or differences(contents(folder), whole.contents)
    return f"went on to {again} {wrong}" if wrong else ERROR


def fill_with_arrays(scratch, count):
    """Saves a hundred arrays again and again to a disk that is full before the end.

    Returns:
        How often the disk was full, and what threads of others printed meanwhile.
    """
    state, full = {f"{k}": jnp.ones((64, 65 + k)) for k in range(100)}, 0
    printed = scratch / "printed"
    with (
        _mounted(scratch / "small", "-t", "tmpfs", "-o", "size=1000k", "tmpfs") as disk,
        open(printed, "w") as file,
        _errors_to(file),
    ):
        for step in range(count):
            try:
                with Checkpoints(disk / f"{step}") as checkpoints:
                    checkpoints.save(step, state)
            except OSError:
                full += 1
        gc.collect()  # a coroutine that nobody awaited complains then
    return full, printed.read_text()


@contextlib.contextmanager
def _errors_to(file):
    """Redirects the file descriptor of standard error: TensorStore writes to that."""
    kept, plain = os.dup(2), sys.stderr
    os.dup2(file.fileno(), 2)
    sys.stderr = file
    try:
        yield
    finally:
        sys.stderr = plain
        os.dup2(kept, 2)
        os.close(kept)


def break_disks(shop):
    """The part of the harness; without the right to mount it does nothing."""
    if not may_mount():
        shop.report.notes["disks"] = "left out: only root can mount"
        return
    base, whole, count = shop.stopped(), shop.whole(30), shop.arguments.samples
    pages = [2 + round(k * 120 / count) for k in range(count)]
    for name, outcome, where in call(
        fill, base, shop.scratch, pages, whole, seconds=3600
    ):
        shop.report.add(name, outcome, where)
    full, printed = call(fill_with_arrays, Path(shop.scratch), 40)
    clean = full > 9 and not printed
    shop.report.add("disk full, many arrays", ERROR if clean else f"{full}: {printed}")
    for part in FOLDERS:
        outcome = call(read_only, base, Path(shop.scratch), part, whole)
        shop.report.add(f"read-only {part or 'run folder'}", outcome)
