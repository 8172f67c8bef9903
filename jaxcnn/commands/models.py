"""The command `jaxcnn models`: what models there are."""

import dataclasses
import json
from typing import Any

import tyro

from jaxcnn.experiment.flags import parse_flags
from jaxcnn.tree import nearest


@dataclasses.dataclass(frozen=True)
class _Models:
    """Lists the registered models: size, cost, usual image, published weights."""

    pattern: tyro.conf.Positional[str] = "*"
    """A shell pattern, such as 'resnet*'."""
    kind: str | None = None
    """Only models of this kind, such as autoencoder."""
    json: bool = False
    """Print JSON."""


def command(args: list[str]) -> int:
    """Prints the table of models and returns the exit code.

    Raises:
        ValueError: for a bad flag, or a pattern that no model fits.
    """
    import jaxcnn
    from jaxcnn.table import aligned

    flags = parse_flags(_Models, args, prog="jaxcnn models")
    names = jaxcnn.list_models(flags.pattern, kind=flags.kind)
    if not names:
        near = nearest(flags.pattern, jaxcnn.list_models())
        raise ValueError(f"No model is named {flags.pattern!r}.{near}")
    rows = [_model_row(name) for name in names]
    if flags.json:
        print(json.dumps(rows))
        return 0
    header = ["name", "kind", "parameters", "multiply-adds", "image", "weights"]
    cells = [
        [
            row["name"],
            row["kind"],
            "" if row["params"] is None else f"{row['params']:,}",
            "" if row["macs"] is None else f"{row['macs'] / 1e6:,.2f} M",
            "x".join(map(str, row["image"] or ())),
            _some_sets(row["weights"], all_of_them=len(rows) == 1),
        ]
        for row in rows
    ]
    print("\n".join(aligned(header, cells, left=(0, 1, 5))))
    if any(row["weights"] for row in rows):
        print("\nWeights marked * were loaded and measured; the others are mapped.")
    return 0


def _some_sets(sets: list[dict[str, str]], *, all_of_them: bool) -> str:
    """Returns the names of published sets; two and a count where lines grow long."""
    names = [e["name"] + ("*" if e["status"] == "loaded" else "") for e in sets]
    if all_of_them or len(names) <= 3:
        return ", ".join(names)
    return ", ".join(names[:2]) + f" and {len(names) - 2} more"


def _model_row(name: str) -> dict[str, Any]:
    """Returns what is known of a model; counts only of the library's own."""
    from jaxcnn.models.counts import model_counts, published_sets
    from jaxcnn.registry import model_kind

    counts = model_counts().get(name)
    return {
        "name": name,
        "kind": model_kind(name),
        "params": counts and counts.params,
        "macs": counts and counts.macs,
        "image": counts and list(counts.image_shape),
        "weights": [dataclasses.asdict(e) for e in published_sets().get(name, ())],
    }
