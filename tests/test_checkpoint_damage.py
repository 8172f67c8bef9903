"""Damaged files, killed saves, full disks, several processes."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from jaxcnn.checkpoint import Checkpoints, folder, manifest, orbax_io

TREE = {"w": jnp.arange(4.0), "rng": jax.random.key(0), "step": 1}
METRICS = {"accuracy": 0.5}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the steps 1, 2 and 3; 2 is the best."""
    directory = tmp_path_factory.mktemp("saved")
    with Checkpoints(directory, keep=3, best="accuracy") as checkpoints:
        for step, accuracy in [(1, 0.5), (2, 0.9), (3, 0.7)]:
            metrics = {"accuracy": accuracy}
            checkpoints.save(step, {**TREE, "step": step}, metrics=metrics)
    return directory


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def files_of(step_folder):
    return sorted(path for path in step_folder.rglob("*") if path.is_file())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def extend(path):
    path.write_bytes(path.read_bytes() + b"\0")


def delete(path):
    path.unlink()


@pytest.mark.parametrize("harm", [flip, truncate, extend, delete])
def test_damage_to_any_file_is_found(saved, tmp_path, harm):
    files = files_of(saved / "step_00000003")
    names = [path.relative_to(saved) for path in files]
    assert {"step.json", "manifest.sha256"} <= {name.name for name in names}
    harmed = 0
    for number, name in enumerate(names):
        if harm in (flip, truncate) and (saved / name).stat().st_size == 0:
            continue
        copy = shutil.copytree(saved, tmp_path / str(number))
        harm(copy / name)
        checkpoints = Checkpoints(copy)
        assert list(checkpoints.damaged) == [3], name
        assert checkpoints.restore(TREE).state["step"] == 2
        harmed += 1
    assert harmed >= 8


def test_every_byte_of_the_manifest_counts(tmp_path):
    (tmp_path / "a b").write_text("x")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "d").write_text("y")
    path = epath.Path(tmp_path)
    manifest.write_manifest(path)
    assert manifest.find_damage(path) is None
    content = (tmp_path / manifest.MANIFEST).read_bytes()
    for position in range(len(content)):
        for bit in (0x01, 0x20):  # 0x20 changes the case of a letter
            changed = bytearray(content)
            changed[position] ^= bit
            (tmp_path / manifest.MANIFEST).write_bytes(changed)
            assert manifest.find_damage(path) is not None, (position, bit)
    for line in content.splitlines(keepends=True):
        (tmp_path / manifest.MANIFEST).write_bytes(content.replace(line, b""))
        assert "is not listed" in manifest.find_damage(path)


def test_hidden_files_of_others_are_no_damage(directory):
    (directory / "step_00000003" / "arrays" / ".DS_Store").write_text("")
    assert Checkpoints(directory).damaged == {}


def test_a_damaged_newest_step_is_reported_and_the_one_before_is_used(
    directory, caplog
):
    (directory / "step_00000003" / "manifest.sha256").unlink()
    checkpoints = Checkpoints(directory)
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        assert checkpoints.restore(TREE).step == 2
        assert checkpoints.latest_step == 2
    message = (
        f"The checkpoint {directory}/step_00000003 is damaged and will not be used: "
        "manifest.sha256 is missing."
    )
    assert [record.getMessage() for record in caplog.records] == [message]
    assert checkpoints.damaged == {3: "manifest.sha256 is missing"}


def test_a_damaged_best_step_gives_the_next_best(directory):
    flip(directory / "step_00000002" / "step.json")
    checkpoints = Checkpoints(directory, best="accuracy")
    assert checkpoints.best_step == 3
    assert checkpoints.restore(TREE, "best").step == 3


def test_damage_after_the_first_look_is_found(directory):
    checkpoints = Checkpoints(directory)
    assert checkpoints.latest_step == 3
    flip(directory / "step_00000003" / "step.json")
    assert checkpoints.restore(TREE).step == 2


def test_a_damaged_step_asked_for_by_number_is_an_error(directory):
    flip(directory / "step_00000003" / "step.json")
    message = (
        r"step_00000003 is damaged: step.json does not have the contents that were "
        r"saved. Good steps are \[1, 2\]"
    )
    with pytest.raises(ValueError, match=message):
        Checkpoints(directory).restore(TREE, 3)


def test_with_no_good_step_the_error_lists_each(directory):
    for step, harm in [(1, flip), (2, delete), (3, truncate)]:
        harm(directory / f"step_0000000{step}" / "step.json")
    message = (
        "no good checkpoint in .*: step 1: step.json does not have .*; "
        "step 2: step.json is missing; step 3: step.json does not have"
    )
    checkpoints = Checkpoints(directory)
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(TREE)
    assert checkpoints.steps == []


def test_a_renamed_step_is_not_used(directory):
    (directory / "step_00000003").rename(directory / "step_00000009")
    checkpoints = Checkpoints(directory)
    assert checkpoints.latest_step == 2
    assert checkpoints.damaged == {9: "it was saved as step 3 and renamed"}


def test_a_step_of_a_later_format_is_not_used(directory, monkeypatch):
    monkeypatch.setattr(folder, "_FORMAT", 0)
    assert Checkpoints(directory).damaged[3] == "its format is 1, this version reads 0"


def test_a_damaged_step_is_replaced_when_it_is_saved_again(directory):
    flip(directory / "step_00000003" / "step.json")
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.restore(TREE).step == 2
        assert checkpoints.save(3, {**TREE, "step": 33})
        assert checkpoints.damaged == {}
    assert Checkpoints(directory).restore(TREE).state["step"] == 33


def test_damaged_steps_are_deleted_with_the_old_ones(directory):
    flip(directory / "step_00000002" / "step.json")
    with Checkpoints(directory, keep=2) as checkpoints:
        checkpoints.save(4, TREE)
        assert checkpoints.steps == [3, 4]
    assert not (directory / "step_00000002").exists()


def test_a_damaged_step_later_than_the_newest_is_left_alone(directory):
    (directory / "step_00000003").rename(directory / "step_00000009")
    with Checkpoints(directory, keep=1) as checkpoints:
        checkpoints.save(4, TREE)
        assert checkpoints.steps == [4]
        assert list(checkpoints.damaged) == [9]


def deletes(directory, step):
    """Does what the writer of another process does when it has newer steps."""
    (directory / f"step_{step:08d}").rename(directory / f"step_{step:08d}.deleting")
    shutil.rmtree(directory / f"step_{step:08d}.deleting")


@pytest.mark.parametrize("which", ["latest", "best"])
def test_a_step_deleted_while_it_is_read_gives_the_next(directory, monkeypatch, which):
    gone = {"latest": 3, "best": 2}[which]
    plain, deleted = orbax_io.read, []

    def read(path, placements):
        if not deleted:
            deleted.append(gone)
            deletes(directory, gone)
        return plain(path, placements)

    monkeypatch.setattr(orbax_io, "read", read)
    checkpoints = Checkpoints(directory, best="accuracy")
    restored = checkpoints.restore(TREE, which)
    assert restored.step == restored.state["step"] == {"latest": 2, "best": 3}[which]
    assert checkpoints.damaged == {}


def test_a_step_deleted_between_its_verification_and_its_use(directory, monkeypatch):
    plain = folder.find_damage

    def find_damage(path):
        damage = plain(path)
        if path.name.endswith("3"):
            deletes(directory, 3)
        return damage

    monkeypatch.setattr(folder, "find_damage", find_damage)
    assert Checkpoints(directory).restore(TREE).step == 2


def test_all_steps_replaced_while_they_are_looked_at(directory, monkeypatch):
    plain = folder.StepFolders.verify
    steps = iter([3, 2, 1])

    def verify(self, step):
        if (gone := next(steps, None)) is not None:
            if gone == 3:
                with Checkpoints(directory, keep=9) as writer:
                    writer.save(4, {**TREE, "step": 4})
            deletes(directory, gone)
        return plain(self, step)

    checkpoints = Checkpoints(directory)
    assert checkpoints.steps == [1, 2, 3]
    monkeypatch.setattr(folder.StepFolders, "verify", verify)
    assert checkpoints.restore(TREE).step == 4


def test_a_step_can_be_replaced_by_who_saved_it(directory):
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.restore(TREE).step == 3
        assert checkpoints.save(3, {**TREE, "step": 33}, replace=True)
        assert checkpoints.steps == [1, 2, 3]
        with pytest.raises(ValueError, match="Step 2 cannot be saved"):
            checkpoints.save(2, TREE, replace=True)
    assert Checkpoints(directory).restore(TREE).state["step"] == 33
    assert not [p for p in directory.iterdir() if p.suffix]


class Killed(BaseException):
    """Stands for SIGKILL: no `except Exception` tidies up after it."""


def killed(*args, **kwargs):
    raise Killed


# Where a save dies; the newest good step then; what it leaves.
DEATHS = {
    "after making the folder": ("jaxcnn.checkpoint.orbax_io.write", 3, ".saving"),
    "before the manifest": ("jaxcnn.checkpoint.folder.write_manifest", 3, ".saving"),
    "before the rename": ("etils.epath.gpath.PosixGPath.rename", 3, ".saving"),
    "in deleting": ("etils.epath.gpath.PosixGPath.rmtree", 4, ".deleting"),
}


@pytest.mark.parametrize("place", DEATHS)
def test_a_killed_save_leaves_the_earlier_steps(directory, monkeypatch, place):
    function, newest, left = DEATHS[place]

    def save():  # dies in the foreground or in the background
        checkpoints = Checkpoints(directory, keep=2)
        checkpoints.save(4, TREE)
        checkpoints.wait()

    with monkeypatch.context() as patch:
        patch.setattr(function, killed)
        with pytest.raises(Killed):
            save()
    assert any(path.name.endswith(left) for path in directory.iterdir())
    with Checkpoints(directory, keep=2) as checkpoints:
        assert checkpoints.damaged == {}
        assert checkpoints.restore(TREE).step == newest
        checkpoints.save(5, TREE)
    names = sorted(path.name for path in directory.iterdir())
    assert names == [f"step_{newest:08d}", "step_00000005"]


SAVE_FOREVER = """
import sys, numpy as np
from jaxcnn.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1], keep=2, best="score")
step = (checkpoints.latest_step or 0) + 1
while True:
    state = {"x": np.full((50, 50), step), "y": {str(i): step for i in range(9)}}
    checkpoints.save(step, state, metrics={"score": -step})
    checkpoints.wait()
    print(step, flush=True)
    step += 1
"""


@pytest.mark.thorough
def test_sigkill_at_any_moment_leaves_good_checkpoints(tmp_path):
    random = np.random.default_rng(0)
    for _ in range(3):
        command = [sys.executable, "-c", SAVE_FOREVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            child.stdout.readline()
            time.sleep(random.uniform(0.0, 0.3))
            child.send_signal(signal.SIGKILL)
            lines = child.stdout.read().split()
        reported = int(lines[-1]) if lines else 1
        checkpoints = Checkpoints(tmp_path, best="score")
        assert checkpoints.damaged == {}
        assert checkpoints.best_step == 1
        restored = checkpoints.restore()
        assert restored.step >= reported
        assert (restored.state["x"] == restored.step).all()
        assert set(restored.state["y"].values()) == {restored.step}


FULL = """
import resource, sys, numpy as np
from jaxcnn.checkpoint import Checkpoints
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, {"x": np.zeros(10)})
    checkpoints.wait()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    big = {"x": np.random.default_rng(0).random(100_000)}
    checkpoints.save(2, big)
    try:
        checkpoints.wait()
    except OSError as error:
        print(error)
    print(checkpoints.steps, checkpoints.restore().step)
    checkpoints.save(2, {"x": np.ones(10)})
"""


def test_a_save_that_does_not_fit_is_one_sentence_and_harms_nothing(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""  # no tracebacks of threads
    assert done.stdout.splitlines() == [
        f"Step 2 could not be saved to {tmp_path}: File too large. "
        "The checkpoint of step 1 is intact.",
        "[1] 1",
    ]
    assert Checkpoints(tmp_path).restore().state["x"][0] == 1
    assert not list(tmp_path.glob("*.saving"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_leaves_the_earlier_checkpoint(small_disk):
    big = {"x": np.random.default_rng(0).random(200_000)}
    with Checkpoints(small_disk / "run") as checkpoints:
        checkpoints.save(1, {"x": np.zeros(10)})
        checkpoints.wait()
        checkpoints.save(2, big)
        with pytest.raises(OSError, match=r"No space left on device. The check"):
            checkpoints.save(3, {"x": np.zeros(10)})
        assert checkpoints.restore().step == 1
        checkpoints.save(3, {"x": np.zeros(10)})
        assert checkpoints.steps == [1, 3]


def test_a_read_only_disk_is_one_sentence(small_disk):
    with Checkpoints(small_disk) as checkpoints:
        checkpoints.save(1, TREE)
        checkpoints.wait()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        message = "Step 2 could not be saved to .*: Read-only file system. The check"
        with pytest.raises(OSError, match=message):
            checkpoints.save(2, TREE)
        assert checkpoints.restore(TREE).step == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "checkpoints")
    with pytest.raises(OSError, match=r"could not be saved to .*: Not a directory"):
        checkpoints.save(1, TREE)


def test_an_error_in_the_background_is_raised_on_leaving(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(folder, "write_manifest", fail)
    with pytest.raises(OSError, match=r"Step 1 could not be saved to .*: Input/output"):
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.save(1, TREE)
    assert list(tmp_path.iterdir()) == []


def test_an_old_step_that_cannot_be_deleted_does_not_fail_the_save(
    directory, monkeypatch, caplog
):
    def fail(self, step):
        raise OSError("busy")

    monkeypatch.setattr(folder.StepFolders, "delete", fail)
    with Checkpoints(directory, keep=3) as checkpoints:
        checkpoints.save(4, TREE)
        assert checkpoints.latest_step == 4
    assert "Step 1 could not be deleted: busy" in caplog.text


TWO_PROCESSES = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from jaxcnn.checkpoint import Checkpoints
port, index, directory = sys.argv[1:]
jax.distributed.initialize(f"localhost:{port}", 2, int(index))
auto = (jax.sharding.AxisType.Auto,)
mesh = jax.make_mesh((8,), ("data",), axis_types=auto)
def place(x, *spec):
    sharding = NamedSharding(mesh, P(*spec))
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])
rng = jax.jit(lambda: jax.random.key(3), out_shardings=NamedSharding(mesh, P()))()
def state(step):
    x = np.arange(16.0, dtype=np.float32) + step
    return {"x": place(x, "data"), "copy": place(x), "rng": rng, "own": np.ones(2)}
with Checkpoints(directory, best="score", keep=1) as checkpoints:
    for step, score in [(1, 0.5), (2, 0.1), (3, 0.2)]:
        checkpoints.save(step, state(step), metrics={"score": score})
    assert checkpoints.steps == [1, 3], checkpoints.steps
    restored = checkpoints.restore(state(0), "best")
    assert restored.step == 1
    for shard in restored.state["x"].addressable_shards:
        assert (shard.data == np.arange(16.0)[shard.index] + 1).all()
    assert restored.state["rng"].sharding == rng.sharding
    try:
        checkpoints.restore(state(0), 2)
    except ValueError as error:
        assert "no good checkpoint of step 2" in str(error)
    else:
        raise AssertionError
    if index == "0":
        def fail(step):  # on process 0 alone
            raise OSError("disk on fire")
        checkpoints._folders.start = fail
    try:
        checkpoints.save(4, state(4))
    except OSError as error:
        assert "disk on fire" in str(error), error
    else:
        raise AssertionError
print("done")
"""


@pytest.mark.thorough
def test_two_processes_save_and_restore_together(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", TWO_PROCESSES, port]
    children = [
        subprocess.Popen(
            [*command, str(index), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    for child in children:
        output, _ = child.communicate(timeout=60)
        assert child.returncode == 0, output
        assert output.endswith("done\n")
    # One process with other devices reads what two wrote.
    state = Checkpoints(tmp_path).restore().state
    assert (state["x"] == np.arange(16.0) + 3).all()
    assert (state["copy"] == state["x"]).all()


@pytest.mark.thorough
def test_the_report_of_damage_is_seen_in_a_terminal(directory):
    flip(directory / "step_00000003" / "step.json")
    code = (
        "from jaxcnn.checkpoint import Checkpoints\n"
        f"print(Checkpoints({str(directory)!r}).steps)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[1, 2]\n"
    assert "step_00000003 is damaged and will not be used: step.json" in done.stderr
    assert len(done.stderr.splitlines()) == 1
