"""Draws the pictures of docs/diagnosing.md from experiments/diagnose_cases.json.

`python docs/make_diagnosing.py` writes docs/images/diagnosing_CASE.png: for each case
the first run, of the reported or else of those looked at, that is rightly named.
"""

import json
import math
import sys
from pathlib import Path

from jaxcnn.diagnostics import CASES, curves_of, diagnose
from jaxcnn.plotting import diagnosed_curves

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

from diagnose_cases import RESULTS, records_of  # noqa: E402

NAMES = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "vehicles": "CIFAR-10's vehicles and animals",
    "xrays": "X-rays",
}


def draw(case: str, kept: dict) -> None:
    """Writes the picture of one case."""
    starts = [f"{kind}/{case}/" for kind in ("reported", "looked at")]
    names = [name for start in starts for name in kept if name.startswith(start)]
    for entry in map(kept.__getitem__, names):
        recipe = entry["recipe"]
        chance = math.log(entry["classes"])
        for run in entry["runs"]:
            curves = curves_of(records_of(run))
            train, validation = curves.train, curves.validation
            found = diagnose(
                train,
                validation,
                chance=chance,
                raised=entry["raised"],
                stopped=not run["finite"],
                examples=recipe["validation"],
            )
            if found.case == case:
                diagnosed_curves(
                    ROOT / "docs" / "images" / f"diagnosing_{case}.png",
                    (train.at, train.values),
                    (validation.at, validation.values),
                    **found.picture(),
                    chance=chance,
                    title=f"{recipe['model']} on {NAMES[recipe['data']]}, "
                    f"seed {run['seed']}",
                )
                print(f"{case}: {found.line}")
                return


def main() -> None:
    """Draws a picture of each case."""
    kept = json.loads(RESULTS.read_text())
    for case in CASES:
        draw(case, kept)


if __name__ == "__main__":
    main()
