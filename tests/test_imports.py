"""A module imports only modules of a lower rank, or of its own package."""

import ast
import importlib.util
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxcnn"

# The first matching prefix decides; docs/architecture.md explains the ranks.
RANKS = {
    "version": 0,
    "typing": 0,
    "tree": 0,
    "named": 0,
    "registry": 0,
    "arithmetic": 0,
    "table": 0,
    "labels": 0,
    "ssim": 0,
    "ops": 1,
    "losses": 1,
    "metrics": 1,
    "optim": 1,
    "data": 1,
    "augment": 1,
    "checkpoint": 1,
    "lock": 1,
    "plotting": 1,
    "layers": 2,
    "models": 3,
    "train": 4,
    "run": 5,
    "transfer": 5,
    "interpret": 5,
    "diagnostics": 5,
    "experiment": 6,
    "commands": 7,
    "cli": 8,
    "__main__": 9,
}


def part_of(name: str) -> str:
    """Returns the part that a dotted name belongs to: `jaxcnn.ops.x` -> ops."""
    return name.split(".")[1]


def imported_names(path: Path):
    """Yields the dotted names in jaxcnn that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("jaxcnn"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "jaxcnn":
                yield from (f"jaxcnn.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("jaxcnn."):
                yield node.module


FILES = sorted(
    p
    for p in PACKAGE.rglob("*.py")
    if p.relative_to(PACKAGE).as_posix() != "__init__.py"
)


def own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_downwards(path):
    own = own_part(path)
    for name in imported_names(path):
        if name == "jaxcnn":
            assert own in ("cli", "commands", "experiment"), (
                f"{path} imports the whole package"
            )
            continue
        part = part_of(name)
        assert part == own or RANKS[part] < RANKS[own] or _same_rank(part, own), (
            f"{own} (rank {RANKS[own]}) imports {name} (rank {RANKS[part]})"
        )


def _same_rank(part: str, own: str) -> bool:
    """At rank 0 the plain helpers serve each other; elsewhere equals stay apart.

    But for `run`: what a run folder says of itself is read by all of its rank.
    """
    return RANKS[part] == RANKS[own] and (RANKS[own] == 0 or part == "run")


def test_every_part_has_a_rank():
    assert {own_part(path) for path in FILES} == set(RANKS)


def test_an_upward_import_would_be_found(tmp_path):
    file = tmp_path / "low.py"
    file.write_text("def f():\n    from jaxcnn.train import fit\n    return fit\n")
    assert list(imported_names(file)) == ["jaxcnn.train"]
    assert RANKS[part_of("jaxcnn.train")] > RANKS["ops"]


def test_the_package_is_the_one_next_to_the_tests():
    found = Path(importlib.util.find_spec("jaxcnn").origin)
    assert found == PACKAGE / "__init__.py"
