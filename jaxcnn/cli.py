"""The command line: `jaxcnn train`, `evaluate`, `predict`, `models`, `convert`, ..."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxcnn.tree import nearest

_USAGE = """usage: jaxcnn COMMAND ...

  train [FILE.py [RECIPE]]
                      train what flags or an experiment file describe, or go on with it
  finetune FOLDER_OR_NAME --model NAME --weights WEIGHTS --similar yes|no
                      propose what to train of a trained model, do so, and report
  cross-validate [FILE.py [RECIPE]]
                      train on all folds but one, for each, and report the mean
  lr-range [FILE.py [RECIPE]]
                      find a learning rate: try growing ones and draw the loss
  evaluate RUN        measure a trained model on a split of its data, or on other
                      data; --html writes a report with pictures
  diagnose RUN        say what the learning curves of a run show, and what to do
  predict RUN PATH ...
                      name what is on pictures, or on those of whole folders
  features RUN [IMAGE ...]
                      draw filters, feature maps, receptive fields, neighbours
  dream RUN --target PATH:CHANNEL -o OUT.png
                      draw what a channel, a layer or a class wants to see
  explain RUN PATH ...
                      draw the parts of pictures that made a model name a class
  augment --preview RUN|FILE.py
                      draw what a model will see of its training images
  data FOLDER_OR_NAME look through a dataset: counts, broken files, duplicates, leaks
  models              list the models
  summary MODEL       show a model layer by layer
  convert SOURCE OUT  write weights of any origin as one safetensors file

`jaxcnn COMMAND --help` tells more."""


def main() -> None:
    """Runs the command that the arguments name."""
    from jaxcnn.experiment.main import exit_cleanly

    exit_cleanly(lambda: dispatch(sys.argv[1:]))


def dispatch(args: list[str]) -> int:
    """Runs a command and returns its exit code.

    Raises:
        ValueError: for an unknown command, flag or value.
        OSError: for files that are missing or cannot be written.
    """
    if not args or args[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if args[0] == "--version":
        from jaxcnn.version import __version__

        print(__version__)
        return 0
    name, rest = args[0], args[1:]
    if name not in _COMMANDS:
        raise ValueError(
            f"Unknown command {name!r}.{nearest(name, _COMMANDS)} "
            f"Commands: {', '.join(_COMMANDS)}."
        )
    return _COMMANDS[name](rest)


def _train(args: list[str]) -> int:
    from jaxcnn.experiment.flags import parse_train
    from jaxcnn.experiment.main import run

    default, args = _default(args)
    text = "Trains what the flags describe; FILE.py before them gives the defaults."
    config, hosts = parse_train(default, args, prog="jaxcnn train", description=text)
    return run(config, hosts=hosts)


def _finetune(args: list[str]) -> int:
    from jaxcnn.experiment.finetune import command

    return command(args)


def _cross_validate(args: list[str]) -> int:
    from jaxcnn.experiment.cross_validation import command

    default, args = _default(args)
    return command(default, args)


def _lr_range(args: list[str]) -> int:
    from jaxcnn.experiment.lr_range import command

    default, args = _default(args)
    print(command(default, args))
    return 0


def _augment(args: list[str]) -> int:
    from jaxcnn.experiment.preview import command

    print(command(args, _config_of))
    return 0


def _default(args: list[str]) -> tuple[Any, list[str]]:
    """Returns what FILE.py [RECIPE] before the flags describes, and the flags."""
    from jaxcnn.experiment.config import ExperimentConfig

    if not args or not args[0].endswith(".py"):
        return ExperimentConfig(), args
    path, args = Path(args[0]), args[1:]
    recipe = [args.pop(0)] if args and not args[0].startswith("-") else []
    return _config_of(path, *recipe), args


def _config_of(path: Path, *recipe: str) -> Any:
    """Returns what `get_config()`, or `get_config(recipe)`, of a file returns."""
    if not path.exists():
        raise ValueError(f"There is no experiment file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # As when the file is run itself: it may import its neighbours.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path} has no function get_config().")
    recipes = getattr(module, "RECIPES", ())
    if recipe and recipe[0] not in recipes:
        known = ", ".join(recipes) or "none"
        raise ValueError(f"The recipes of {path} are: {known}; got {recipe[0]!r}.")
    return module.get_config(*recipe)


def _in(module: str) -> Callable[[list[str]], int]:
    """Returns the command of a module, which is imported when it is called."""
    return lambda args: importlib.import_module(module).command(args)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "finetune": _finetune,
    "cross-validate": _cross_validate,
    "lr-range": _lr_range,
    "evaluate": _in("jaxcnn.commands.evaluate"),
    "diagnose": _in("jaxcnn.commands.diagnose"),
    "predict": _in("jaxcnn.commands.predict"),
    "features": _in("jaxcnn.commands.features"),
    "dream": _in("jaxcnn.commands.dream"),
    "explain": _in("jaxcnn.commands.explain"),
    "augment": _augment,
    "data": _in("jaxcnn.experiment.know_data"),
    "models": _in("jaxcnn.commands.models"),
    "summary": _in("jaxcnn.commands.summary"),
    "convert": _in("jaxcnn.commands.convert"),
}
