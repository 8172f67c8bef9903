"""What several processes of one run agree on. With one process, nothing happens."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

#: Bytes that a value of `gather` may take.
_GATHERED = 512


def is_primary() -> bool:
    """Whether this is the process that writes what is written once."""
    return jax.process_index() == 0


def from_primary(action: Callable[[], Any]) -> Any:
    """Runs `action` on process 0 and returns its result, JSON, on every process.

    Raises:
        ValueError, OSError: on every process what `action` raised on process 0.
    """
    if jax.process_count() == 1:
        return action()
    outcome: list[Any] = []
    if is_primary():
        try:
            outcome = ["value", action()]
        except OSError as error:
            outcome = ["OSError", str(error)]
        except ValueError as error:
            outcome = ["ValueError", str(error)]
    kind, value = json.loads(_broadcast(json.dumps(outcome).encode()))
    if kind == "value":
        return value
    raise {"OSError": OSError, "ValueError": ValueError}[kind](value)


def any_process(flag: bool) -> bool:
    """Whether the flag is set on one process or more. Waits for all of them."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def gather(value: Any) -> list[Any]:
    """Returns the small JSON value of every process, in their order, on every process.

    Waits for all of them.

    Raises:
        ValueError: if the value takes more than 512 bytes.
    """
    if jax.process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    payload = json.dumps(value).encode()
    if len(payload) > _GATHERED:
        raise ValueError(f"{value!r} is too long to be gathered.")
    # Of one size, so that one compiled exchange does for all.
    padded = np.frombuffer(payload.ljust(_GATHERED), np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(np.asarray(row).tobytes()) for row in rows]


def _broadcast(payload: bytes) -> bytes:
    """Returns the bytes of process 0 on every process."""
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(payload))))
    buffer = np.zeros(size, np.uint8)
    if is_primary():
        buffer[:] = np.frombuffer(payload, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes()
