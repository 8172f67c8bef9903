"""All measures in turn; what is given goes to the steps, such as `--budget 10`."""

import importlib

#: The limits first: the steps' table has shares of them.
MEASURES = (
    "limits",
    "startup",
    "inputs",
    "checkpoints",
    "augment",
    "decode",
    "steps",
)


def main(arguments: list[str] | None = None) -> None:
    """Runs all measures."""
    for name in MEASURES:
        print(f"\n{name}", flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        module.main(arguments if name == "steps" else [])
