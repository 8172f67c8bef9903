"""Speed of the library next to what a user would pick instead.

python -m benchmarks all --budget 10
python -m benchmarks steps --models lenet --against torch flax
python -m benchmarks steps --help
"""

import argparse
import importlib

from benchmarks.suite import MEASURES


def main(arguments: list[str] | None = None) -> None:
    """Runs the measure that the command line names; it has options of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measure", choices=["all", *MEASURES])
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the measure")
    chosen = parser.parse_args(arguments)
    name = "suite" if chosen.measure == "all" else chosen.measure
    importlib.import_module(f"benchmarks.{name}").main(chosen.options)


if __name__ == "__main__":
    main()
