"""Verdicts on the stored curves of real runs: those that docs/diagnosing.md counts."""

import json
import runpy
from pathlib import Path

import pytest

from jaxcnn.diagnostics import CASES

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "diagnosing.md").read_text()


@pytest.fixture(scope="module")
def cases():
    """Returns what the experiment file defines."""
    return runpy.run_path(str(ROOT / "experiments" / "diagnose_cases.py"))


@pytest.fixture(scope="module")
def kept(cases):
    return json.loads(cases["RESULTS"].read_text())


@pytest.mark.parametrize(
    "kind",
    [
        "reported",
        pytest.param("chosen on", marks=pytest.mark.thorough),
        pytest.param("looked at", marks=pytest.mark.thorough),
    ],
)
def test_the_confusion_is_that_of_the_guide(cases, kept, kind):
    for line in cases["table"](kept, kind).splitlines():
        assert line in GUIDE


def test_each_case_is_reported_on_five_seeds_or_more_and_other_runs(cases, kept):
    counts = cases["confusion"](kept, "reported")
    assert set(counts) == set(CASES)
    assert all(count.total() >= 5 for count in counts.values())
    recipes = {"chosen on": [], "looked at": [], "reported": []}
    for name, entry in kept.items():
        recipe = {k: v for k, v in entry["recipe"].items() if k != "first_seed"}
        recipes[name.split("/")[0]].append(recipe)
    seen = recipes["chosen on"] + recipes["looked at"]
    assert not [r for r in recipes["reported"] if r in seen]


def test_the_file_holds_the_runs_of_the_recipes(cases, kept):
    named = {
        cases["name_of"](kind, recipe)
        for kind, recipes in cases["RECIPES"].items()
        for recipe in recipes
    }
    assert set(kept) == named
    assert cases["RESULTS"].stat().st_size < 300_000
