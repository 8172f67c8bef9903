"""Runs an experiment file from the command line, and any command with clean errors."""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from jaxcnn.checkpoint.processes import is_primary
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.diagnosis import verdict_line
from jaxcnn.experiment.flags import parse_train
from jaxcnn.experiment.hosts import Hosts, together
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
            config, hosts = parse_train(
                get_config(), args, prog=prog, description=description or ""
            )
            return run(config, after=after, hosts=hosts)
        recipe, rest = recipes[0], args
        if args and not args[0].startswith("-"):
            recipe, rest = args[0], args[1:]
        if recipe not in recipes:
            raise ValueError(f"The recipes are {', '.join(recipes)}; got {recipe!r}.")
        config = get_config(recipe)
        text = f"Recipes, given first: {', '.join(recipes)}.\n\n{description or ''}"
        config, hosts = parse_train(
            config, rest, prog=f"{prog} {recipe}", description=text
        )
        return run(config, after=after, hosts=hosts)

    exit_cleanly(command)


def run(
    config: ExperimentConfig,
    *,
    after: Callable[[str], None] | None = None,
    hosts: Hosts | None = None,
) -> int:
    """Trains, prints how it ended, and returns the exit code.

    Args:
        config: What to do.
        after: Called with the run folder when the run is complete.
        hosts: The processes that do it together; of these the first one prints.
    """
    with together(hosts or Hosts()):
        result = train(config)
        if is_primary():
            print(describe(result))
            if result.complete and (line := verdict_line(result.directory)):
                print(line)
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
    except (Exception, KeyboardInterrupt) as error:
        message, code = explain(error)
        if message is None:
            raise
        print(f"jaxcnn: {message}", file=sys.stderr)
    sys.exit(code)


def explain(error: BaseException) -> tuple[str | None, int]:
    """Returns an error as one line, or None where it is not the user's; exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "aborted", 130
    if not isinstance(error, ValueError | OSError | FloatingPointError):
        return None, 1
    notes = getattr(error, "__notes__", [])
    message = " ".join(" ".join([str(error), *notes]).split())
    return message or type(error).__name__, 2
