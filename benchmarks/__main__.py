"""Speed of the library next to what a user would pick instead.

python -m benchmarks steps --models lenet --against torch flax
python -m benchmarks --help
"""

import argparse
import importlib

#: The measures; each is a module with `add_arguments` and `run`.
MEASURES = ("steps",)


def main(arguments: list[str] | None = None) -> None:
    """Runs the measure that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="measure", required=True)
    for name in MEASURES:
        module = importlib.import_module(f"benchmarks.{name}")
        command = commands.add_parser(
            name,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    chosen = parser.parse_args(arguments)
    chosen.run(chosen)


if __name__ == "__main__":
    main()
