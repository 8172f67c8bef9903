"""Strict settings for every test: eight CPU devices, exact matmuls, no promotion."""

import hashlib
import os
import platform
from pathlib import Path

# Compiling is most of the tests' time; half of it goes into optimising what runs once.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "float32")


def _keep_compiled() -> None:
    """Compiles the same thing only once, here and in the programs that tests start."""
    folder = Path(__file__).parents[1] / ".pytest_cache" / f"compiled-{_processor()}"
    for option, value in {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }.items():
        os.environ[option.upper()] = str(value)
        jax.config.update(option, value)


def _processor() -> str:
    """Returns a word for the processor's kind: another may not run its programs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [f"flags {platform.processor()}"]
    features = {line for line in lines if line.startswith(("flags", "Features"))}
    return hashlib.sha256("".join(sorted(features)).encode()).hexdigest()[:12]


_keep_compiled()


@pytest.fixture
def key():
    return jax.random.key(0)
