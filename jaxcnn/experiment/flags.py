"""Turns command-line flags into configurations, and bad ones into one line."""

import contextlib
import dataclasses
import io
from typing import Annotated, Any

import tyro

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.hosts import Hosts

#: What people type first, and the field that it means.
_SHORT = {
    "--model": "--model.name",
    "--data": "--data.name",
    "--optimizer": "--optimizer.name",
    "--loss": "--loss.name",
}
#: How many batches a bare --fast-dev-run tries.
_DEV_BATCHES = "3"


def parse_config(
    default: ExperimentConfig, args: list[str], *, prog: str, description: str = ""
) -> ExperimentConfig:
    """Returns `default` changed by flags such as `--steps 500 --model lenet`.

    Raises:
        ValueError: in one line, for a flag or a value that is not allowed.
    """
    args = _with_counts([_SHORT.get(arg, arg) for arg in args])
    return parse_flags(
        type(default), args, prog=prog, description=description, default=default
    )


@dataclasses.dataclass(frozen=True)
class _TrainFlags(ExperimentConfig):
    """The configuration, and what is no part of it."""

    hosts: Annotated[Hosts, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Hosts
    )


def parse_train(
    default: ExperimentConfig, args: list[str], *, prog: str, description: str = ""
) -> tuple[ExperimentConfig, Hosts]:
    """Returns what `parse_config` does, and the processes that the flags name.

    Raises:
        ValueError: in one line, for a flag or a value that is not allowed.
    """
    names = [field.name for field in dataclasses.fields(ExperimentConfig)]
    flags = parse_config(
        _TrainFlags(**{name: getattr(default, name) for name in names}),
        args,
        prog=prog,
        description=description,
    )
    changed = {name: getattr(flags, name) for name in names}
    return dataclasses.replace(default, **changed), flags.hosts


def _with_counts(args: list[str]) -> list[str]:
    """Returns the arguments with a number of batches behind a bare --fast-dev-run."""
    words = []
    for place, word in enumerate(args):
        words.append(word)
        follower = args[place + 1] if place + 1 < len(args) else "--"
        if word.replace("_", "-") == "--fast-dev-run" and follower.startswith("--"):
            words.append(_DEV_BATCHES)
    return words


def parse_flags(cls: Any, args: list[str], *, prog: str, **options: Any) -> Any:
    """Returns `tyro.cli(cls, ...)`, with its boxed errors as a ValueError of one line.

    Raises:
        ValueError: for a flag or a value that is not allowed, with the nearest flag.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, args=args, prog=prog, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_one_line(errors.getvalue(), prog)) from None


def step_of(text: str | None) -> str | int | None:
    """Returns what `--step` says as `load_run` takes it.

    Raises:
        ValueError: if it is neither `best`, `latest` nor a number.
    """
    if text is None or text in ("best", "latest"):
        return text
    if not text.isdecimal():
        raise ValueError(f"--step is best, latest or a number, got {text!r}.")
    return int(text)


def _one_line(box: str, prog: str) -> str:
    """Returns tyro's boxed message as one line, with the nearest flag."""
    lines = [line.strip("│╭╮╰╯|+ ") for line in box.splitlines()]
    lines = [line for line in lines if line]
    rules = [k for k, line in enumerate(lines) if not line.strip("─-")]
    body = " ".join(lines[1 : rules[0]] if rules else lines[1:])
    message = body.split(" Got errors:")[0].rstrip(".") or "Bad arguments"
    hint = ""
    if "Perhaps you meant:" in lines:
        flag = lines[lines.index("Perhaps you meant:") + 1].split()[0].rstrip(",")
        hint = f" Did you mean {flag}?"
    return f"{message}.{hint} See {prog} --help."
