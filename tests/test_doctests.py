"""Every example in a docstring is run."""

import doctest
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn import registry

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(jaxcnn.__path__, "jaxcnn.")
    if module.name != "jaxcnn.__main__"  # importing it runs the command line
)
#: Modules whose examples compile for seconds: run with the thorough tests.
LONG = {
    *(f"jaxcnn.interpret.{n}" for n in ("ascent", "attribution", "deepdream", "style")),
    *("jaxcnn.interpret.saliency", "jaxcnn.train.debug_nans", "jaxcnn.train.epoch"),
    "jaxcnn.transfer.deepen",
}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def failures_of(module) -> tuple[list[str], int]:
    """Returns what fails, one text an example, and how many examples there are."""
    failures = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    shared = {"jax": jax, "jnp": jnp, "np": np}
    examples = 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        test.globs = {**shared, **test.globs}
        examples += len(test.examples)
        runner.run(test, out=failures.append, clear_globs=False)
    return failures, examples


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough if name in LONG else ())
        for name in MODULES
    ],
)
def test_examples_are_true(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    failures, _ = failures_of(importlib.import_module(name))
    assert not failures, "\n".join(failures)


def test_the_modules_with_long_examples_are_there():
    assert set(MODULES) >= LONG


def test_examples_are_found():
    assert failures_of(registry)[1] >= 2


def test_a_wrong_example_would_be_found():
    module = type(registry)("made_up")
    module.__doc__ = "Adds.\n\n>>> 1 + 1\n3\n"
    failures, examples = failures_of(module)
    assert examples == 1
    assert "Expected:\n    3\nGot:\n    2" in "".join(failures)
