"""Compiled programs kept on disk: where, when, and by whom."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from jaxcnn.experiment import compiled

#: Compiles one small program the way a run would, and says whether it was on disk.
PROGRAM = """
import jax, jax.numpy as jnp
from jaxcnn.experiment import compiled

hits = []
jax.monitoring.register_event_listener(
    lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None
)
jnp.ones(3).sum()  # a program before: JAX asks but once whether there is a folder
compiled.MIN_SECONDS = 0
folder = compiled.keep_compiled()
x = jnp.linspace(0, 1, 12).reshape(3, 4)
print(folder, float(jax.jit(lambda x: jnp.sin(x @ x.T).sum())(x)), len(hits))
"""


def start(tmp_path, **changes):
    """Starts the program as a user's shell would, without the tests' settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"JAX_PLATFORMS": "cpu", "JAXCNN_HOME": str(tmp_path), **changes}
    del environment["XLA_FLAGS"]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder, value, hits = out.split()
    return folder, value, int(hits)


@pytest.mark.thorough
def test_several_processes_keep_and_find_the_same_programs(tmp_path):
    first = [said(process) for process in [start(tmp_path), start(tmp_path)]]
    folder = tmp_path / "compiled" / compiled.processor()
    assert {line[0] for line in first} == {str(folder)}
    assert any(folder.iterdir())
    again = said(start(tmp_path))
    assert again[2] > 0
    assert {line[1] for line in first} == {again[1]}


@pytest.mark.thorough
def test_jax_itself_may_say_to_keep_nothing_or_where(tmp_path):
    off = start(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false")
    chosen = start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert said(off)[0] == "None"
    assert said(chosen)[0] == str(tmp_path / "mine")
    assert not (tmp_path / "compiled").exists()


def test_the_tests_keep_their_own_folder():
    assert compiled.keep_compiled() == Path(jax.config.jax_compilation_cache_dir)
    assert ".pytest_cache" in jax.config.jax_compilation_cache_dir


def test_the_oldest_programs_go_first(tmp_path):
    for name, age in (("a", 30), ("b", 10), ("c", 20)):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    compiled.forget_oldest(tmp_path, max_bytes=15)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    compiled.forget_oldest(tmp_path, max_bytes=15)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "file"))
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        with pytest.warns(UserWarning, match="not kept: .*no-keep-compiled"):
            assert compiled.keep_compiled() is None
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
