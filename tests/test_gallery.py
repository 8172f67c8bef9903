"""The gallery shows every picture once, with a command that is there."""

import pathlib
import re

import pytest

from jaxcnn.cli import _COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "gallery.md").read_text()
SHOWN = re.findall(r"^!\[.+\]\(images/(.+)\)$", TEXT, re.M)
#: What stands between a picture and the next heading.
UNDER = re.findall(
    r"^!\[[^\n]+\]\(images/(\S+)\)\n\n```text\n([^`]+)```\n\n\[", TEXT, re.M
)


def test_every_picture_is_shown_once():
    there = sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    assert sorted(SHOWN) == there


def test_a_command_stands_under_every_picture():
    assert [name for name, _ in UNDER] == SHOWN


@pytest.mark.parametrize(
    "command", sorted({c for _, cs in UNDER for c in cs.splitlines()})
)
def test_a_command_of_the_gallery_is_there(command):
    program, first, *_ = command.split()
    if program == "make":
        assert re.search(rf"^{first}:", (ROOT / "Makefile").read_text(), re.M)
    elif program == "jaxcnn":
        assert first in _COMMANDS
    elif first == "-m":
        module = command.split()[2].replace(".", "/")
        assert (ROOT / f"{module}.py").is_file()
    else:
        assert program == "python"
        assert (ROOT / first).is_file()
