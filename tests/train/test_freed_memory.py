"""Memory that a process keeps: counted as page faults of a process of its own."""

import pathlib
import platform
import subprocess
import sys

import pytest

from jaxcnn.train import freed_memory, keep_freed_memory

#: Prints the fewest page faults of a call that needs 64 MB or more, of several: what
#: another thread frees a moment too late is taken anew.
PROGRAM = """
import resource, sys
from jaxcnn.train import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
import jax, jax.numpy as jnp
f = jax.jit(lambda x: (x * jnp.arange(2.0**24)).reshape(4096, -1) @ jnp.ones(4096))
counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(8):
    f(1.0).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(min(after - before for before, after in zip(counts, counts[1:])))
"""

#: Where the kernel gives huge pages to all who ask for none, there are few faults.
HUGE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
ON_GLIBC = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.thorough
@pytest.mark.skipif(not ON_GLIBC, reason="glibc's allocator on Linux")
def test_a_program_finds_its_memory_again():
    # 2**24 numbers of four bytes are 16,384 pages.
    assert faults("kept") < 1_000
    if not HUGE.exists() or "[always]" not in HUGE.read_text():
        assert faults("as usual") > 10_000


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
