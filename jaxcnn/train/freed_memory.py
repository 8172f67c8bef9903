"""Memory that a step frees is kept for the next one, where the C library can."""

import ctypes
import platform
import sys

#: Parameters of `mallopt` in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Tells the C library to keep what this process frees; returns whether it does.

    XLA takes the temporary memory of a program from the system for every call on a
    CPU, and gives it back: hundreds of megabytes a train step, which the kernel clears
    and maps page by page. A process that keeps them has no such faults after its first
    step (`docs/performance.md` has what that saved). Its memory then stays at its peak.

    To be called before JAX computes anything: threads that JAX has already started
    stay with the memory that they have, and the temporary memory of large programs is
    theirs. Linux with glibc; elsewhere it does nothing, nor for host memory that is
    another allocator's. `import jaxcnn` does not call it, `jaxcnn train` does.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # One arena, since others map what is large whatever the limit says; never map
    # apart; never give the end of the heap back.
    wanted = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    return all([mallopt(name, value) == 1 for name, value in wanted])
