"""Seconds from the start of Python to the end of the first train step.

    python -m benchmarks startup --rounds 5

A LeNet on one batch of 64, in a fresh process each time: `import` until the library is
there, `first step` until the first update is done, compilation included. jaxcnn also
with a compilation cache that holds the program ("again"), as for a user's second run.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time

from benchmarks.record import environment, write_results
from benchmarks.rounds import spread
from benchmarks.turns import ROOT, Settings, worker_environment

#: What a process does: import, then one step of the row's side.
PROGRAM = """
import json, sys, time
side = sys.argv[1]
__import__({"jaxcnn": "jaxcnn", "again": "jaxcnn"}.get(side, side))
imported = time.time()
from benchmarks.worker import make_side
variant = {"torch": "eager", "keras": "fit"}.get(side, "jit")
name = "jaxcnn" if side == "again" else side
made = make_side(name, "lenet", variant, int(sys.argv[2]))
made.prepare("train")
made.run("train", 1)
print(json.dumps({"imported": imported, "stepped": time.time()}))
"""


def start(side: str, settings: Settings, scratch: str) -> dict[str, float]:
    """Returns the seconds of one process until the import, and until the step."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, side, str(settings.threads)],
        cwd=ROOT,
        env=worker_environment(settings, scratch),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "import": found["imported"] - began,
        "first step": found["stepped"] - began,
    }


def measure(sides: list[str], rounds: int) -> list[dict]:
    """Returns a row for each side and point in time; the sides take turns."""
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as other:
        settings = {side: Settings() for side in sides}
        if "again" in sides:
            settings["again"] = Settings(cache=cache)
            start("again", settings["again"], other)
        for _ in range(rounds):
            for side in sides:
                for point, seconds in start(side, settings[side], other).items():
                    found.setdefault((side, point), []).append(seconds)
    return [
        {"side": side, "until": point, **spread(values, 3)}
        for (side, point), values in found.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes the times."""
    installed = [s for s in ("torch", "keras") if importlib.util.find_spec(s)]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks startup", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="2 or more")
    parser.add_argument(
        "--sides",
        nargs="+",
        default=["jaxcnn", "again", *installed],
        choices=["jaxcnn", "again", "torch", "keras"],
    )
    chosen = parser.parse_args(arguments)
    about = {**environment(), "rounds": max(chosen.rounds, 2)}
    rows = measure(chosen.sides, about["rounds"])
    for row in rows:
        low, high = row["quartiles"]
        print(
            f"{row['side']:<8} {row['until']:<11} {row['median']:>7.2f} s"
            f"  {low:.2f} to {high:.2f}"
        )
    write_results("startup", about, rows)


if __name__ == "__main__":
    main()
