"""Runs an experiment file from the command line, and any command with clean errors."""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.flags import parse_config
from jaxcnn.experiment.training import Result, train
from jaxcnn.train.hooks.progress import format_metric

_SIGNAL_CODES = {"SIGINT": 130, "SIGTERM": 143}


def main(
    get_config: Callable[..., ExperimentConfig],
    *,
    recipes: Sequence[str] = (),
    description: str | None = None,
    after: Callable[[str], None] | None = None,
) -> NoReturn:
    """Trains what an experiment file describes, changed by the command line's flags.

    Args:
        get_config: The file's function. With recipes, it takes the name of one.
        recipes: Names that may stand first on the command line; the first is the
            default.
        description: Shown by `--help`; the file's docstring.
        after: Called with the run folder when the run is complete.
    """
    args = sys.argv[1:]
    prog = f"python {sys.argv[0]}"

    def command() -> int:
        if not recipes:
            config = get_config()
            return run(
                parse_config(config, args, prog=prog, description=description or ""),
                after=after,
            )
        recipe, rest = recipes[0], args
        if args and not args[0].startswith("-"):
            recipe, rest = args[0], args[1:]
        if recipe not in recipes:
            raise ValueError(f"The recipes are {', '.join(recipes)}; got {recipe!r}.")
        config = get_config(recipe)
        text = f"Recipes, given first: {', '.join(recipes)}.\n\n{description or ''}"
        config = parse_config(config, rest, prog=f"{prog} {recipe}", description=text)
        return run(config, after=after)

    exit_cleanly(command)


def run(config: ExperimentConfig, *, after: Callable[[str], None] | None = None) -> int:
    """Trains, prints how it ended, and returns the exit code."""
    result = train(config)
    print(describe(result))
    if after is not None and result.complete:
        after(result.directory)
    return exit_code(result)


def exit_code(result: Result) -> int:
    """Returns the program's exit code: 130 or 143 after a signal, else 0."""
    return _SIGNAL_CODES.get(result.stop_reason or "", 0)


def describe(result: Result) -> str:
    """Returns what a person wants to know of a run that has ended."""
    if not result.complete:
        return (
            f"Stopped after step {result.step:,}: {result.stop_reason}. "
            f"The same command goes on from there ({result.directory})."
        )
    lines = [f"Finished after {result.step:,} steps, {result.seconds:.1f} s."]
    if result.metrics:
        values = ", ".join(
            f"{name.replace('_', ' ')} {format_metric(name, value)}"
            for name, value in result.metrics.items()
        )
        lines.append(f"{result.split}, step {result.tested_step:,}: {values}")
    lines.append(f"The run folder is {result.directory}")
    return "\n".join(lines)


def exit_cleanly(command: Callable[[], int]) -> NoReturn:
    """Ends the program with the command's exit code; 2, after one line, on an error."""
    try:
        code = command()
    except (ValueError, OSError, FloatingPointError) as error:
        notes = getattr(error, "__notes__", [])
        message = " ".join(" ".join([str(error), *notes]).split())
        print(f"jaxcnn: {message or type(error).__name__}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("jaxcnn: aborted", file=sys.stderr)
        code = 130
    sys.exit(code)
