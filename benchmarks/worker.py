"""One side of one row in a process of its own, which takes turns by pipes.

PyTorch's and XLA's thread pools disturb each other in one process, and threads of
OpenMP go on spinning for a while when a call is over; here a side sleeps on its pipe
while another has its turn. Started by `benchmarks.steps`: one JSON object a line in,
one out.
"""

import json
import os
import resource
import sys
import time
import traceback
from typing import Any

from benchmarks.rows import ROWS


def make_side(side: str, model: str, variant: str, threads: int) -> Any:
    """Returns what makes the calls of one side."""
    row = ROWS[model]
    if side == "torch":
        from benchmarks.sides_torch import TorchSide

        return TorchSide(model, row, variant, threads)
    if side == "keras":
        from benchmarks.sides_keras import KerasSide

        return KerasSide(model, row, variant)
    from benchmarks.sides_jax import JaxSide

    return JaxSide(model, row, plain=side == "flax")


def seconds_of(side: Any, kind: str, count: int) -> float:
    """Returns how long each of `count` calls in a row took."""
    start = time.perf_counter()
    side.run(kind, count)
    return (time.perf_counter() - start) / count


def answer(side: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Does what one line asks for and returns the reply."""
    kind = order["kind"]
    if order["do"] == "facts":
        return side.facts()
    if order["do"] == "first":
        start = time.perf_counter()
        side.prepare(kind)
        side.run(kind, 1)
        first = time.perf_counter() - start
        side.run(kind, 1)  # compiled variants adapt in their second call
        return {"first": first, "warm": seconds_of(side, kind, 1)}
    if order["warm_up"]:
        side.run(kind, order["warm_up"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds_of(side, kind, order["count"]), "peak_mb": peak}


def main() -> None:
    """Answers lines until they end."""
    job = json.loads(sys.argv[1])
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[: job["threads"]])
    # What libraries print must not be taken for an answer.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=replies, flush=True)

    side = make_side(job["side"], job["model"], job["variant"], job["threads"])
    reply({"ready": True})
    for line in sys.stdin:
        try:
            reply(answer(side, json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            reply({"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]})


if __name__ == "__main__":
    main()
