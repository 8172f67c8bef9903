"""Draws the activations, and writes their table into the guide, from their docstrings.

Run it behind every change of them: `python docs/make_activations.py`.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.layers import ACTIVATION_MODULES, ACTIVATIONS
from jaxcnn.plotting import function_grid

PAGE = Path(__file__).parent / "layers.md"
PICTURE = Path(__file__).parent / "images" / "activations.png"
FACTS = ("Formula", "Range", "Derivative")
HEADER = "| name | formula | range | derivative |\n|---|---|---|---|\n"


def functions() -> dict[str, Callable[[jax.Array], jax.Array]]:
    """Returns every activation by name; modules as they start, in evaluation."""
    found = {name: each for name, each in ACTIVATIONS.items() if name != "swish"}
    for name, make in ACTIVATION_MODULES.items():
        variables = make().init(jax.random.key(0), jnp.zeros((1, 1)), train=False)
        found[name] = functools.partial(make().apply, variables, train=False)
    return found


def facts_of(documented: object) -> dict[str, str]:
    """Returns the formula, the range and the derivative that a docstring gives."""
    text = documented.__doc__ or ""
    return {fact: re.search(rf"- {fact}: `(.+)`\n", text)[1] for fact in FACTS}


def table() -> str:
    """Returns a row an activation, in Markdown."""
    rows = [HEADER]
    for name in functions():
        facts = facts_of(ACTIVATIONS.get(name) or ACTIVATION_MODULES[name])
        cells = " | ".join(f"`{facts[fact]}`" for fact in FACTS)
        rows.append(f"| `{name}` | {cells} |\n")
    return "".join(rows)


def draw(path: str | Path) -> None:
    """Writes a panel an activation, with its derivative."""
    x = np.linspace(-5, 5, 501)
    panels = {}
    for name, function in functions().items():
        slopes = jax.vmap(jax.grad(lambda x, f=function: f(x.reshape(1, 1)).sum()))
        panels[name] = {
            "activation": interrupted(function(jnp.asarray(x)[:, None])[:, 0]),
            "derivative": interrupted(slopes(jnp.asarray(x))),
        }
    function_grid(path, x, panels, columns=6, limits=(-1.9, 3.1))


def interrupted(values: jax.Array) -> np.ndarray:
    """Returns the values with a gap wherever they jump."""
    values = np.array(values, float)
    values[1:][np.abs(np.diff(values)) > 0.1] = np.nan
    return values


if __name__ == "__main__":
    draw(PICTURE)
    page = PAGE.read_text()
    start = page.index(HEADER)
    end = page.index("\n\n", start) + 1
    PAGE.write_text(page[:start] + table() + page[end:])
