"""The map of a course: what it names is there."""

import pathlib
import pkgutil
import re

import pytest

import jaxcnn

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "course_map.md").read_text()
NAMES = sorted(set(re.findall(r"`(jaxcnn(?:\.\w+)+)`", TEXT)))
FILES = sorted(set(re.findall(r"`((?:course/)?\w+\.py)`", TEXT)))
#: The second column of the table of architectures.
MODELS = sorted(
    {
        name
        for line in TEXT.split("## Architectures")[1].split("##")[0].splitlines()[4:]
        if line.startswith("|")
        for name in re.findall(r"`(\w+)`", line.split("|")[2])
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_map_is_public(name):
    assert pkgutil.resolve_name(name) is not None


def test_an_experiment_of_the_map_is_there():
    assert len(FILES) > 15
    missing = [f for f in FILES if not (ROOT / "experiments" / f).is_file()]
    assert missing == []


def test_a_model_of_the_map_is_registered():
    assert len(MODELS) > 15
    assert set(MODELS) <= set(jaxcnn.list_models())
