"""What a run compiles is kept on disk, so that its next start need not compile it."""

import contextlib
import hashlib
import os
import platform
import warnings
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxcnn.data.cache import home_folder

#: Programs that took less to compile than this are not worth a file each.
MIN_SECONDS = 0.1
#: Of all kept programs, on one kind of processor; the oldest go first.
MAX_BYTES = 4 * 2**30


def keep_compiled() -> Path | None:
    """Returns where JAX now keeps what it compiles, or None where it is told not to.

    The folder is `$JAXCNN_HOME/compiled`, by default `~/.cache/jaxcnn/compiled`, with
    one for each kind of processor: a program for another may end this process. Within
    it JAX tells programs apart by all they depend on: the code, the shapes, its own
    version, the flags of XLA, the accelerator. It may be deleted at any time, and
    several processes may use it at once.

    JAX's own settings come first: a folder that was chosen (JAX_COMPILATION_CACHE_DIR)
    is kept, and JAX_ENABLE_COMPILATION_CACHE=false keeps nothing.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir:
        return Path(jax.config.jax_compilation_cache_dir)
    folder = home_folder() / "compiled" / processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(
            f"Compiled programs are not kept: {folder} cannot be made ({error}). Set "
            "JAXCNN_HOME to a folder with room, or give --no-keep-compiled.",
            stacklevel=2,
        )
        return None
    forget_oldest(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    # Else JAX, which asks once, would stay with what it found at the first program.
    compilation_cache.reset_cache()
    return folder


def processor() -> str:
    """Returns a word for the processor's kind: another may not run its programs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [f"flags {platform.processor()}"]
    features = {line for line in lines if line.startswith(("flags", "Features"))}
    words = "".join(sorted(features)) or platform.machine()
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def forget_oldest(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Deletes the files that were written first until the rest take `max_bytes`.

    JAX's own limit needs a lock, and a process killed at the wrong moment would leave a
    folder that it cannot use any more.
    """
    found = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process may have deleted it
            if entry.is_file():
                found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= max_bytes:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
