"""The command line: `jaxcnn train`, `evaluate`, `predict`, `models`, `convert`, ..."""

import csv
import dataclasses
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

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
  evaluate RUN        measure a trained model on a split of its data
  predict RUN IMAGE   name what is on pictures
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


@dataclasses.dataclass(frozen=True)
class _Evaluate:
    """Measures a trained model on a split of its data."""

    run: tyro.conf.Positional[str]
    """The run folder."""
    split: str = "test"
    """Which part: test, validation, train[:10%], ..."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""
    data_dir: str | None = None
    """Where the data are now, if not where they were."""
    tta: tuple[str, ...] = ()
    """Average over views: flip, "shifts(pixels=1)", "ten_crops(size=28)"."""
    report: bool = False
    """Print tables: every class, the whole with intervals, the confusion matrix."""
    threshold: str | None = None
    """Report: probability from which class 1 of two is named: 0.5, validation, ..."""
    ordered: bool = False
    """Report: the classes are grades; adds the quadratic weighted kappa."""
    bootstrap: int | None = None
    """Report: resamples for the intervals, 1,000 by default; 0 for none."""
    json: bool = False
    """Print JSON."""


def _evaluate(args: list[str]) -> int:
    from jaxcnn.experiment.flags import parse_flags
    from jaxcnn.experiment.measure import measure_run
    from jaxcnn.train.hooks.progress import format_metric

    flags = parse_flags(_Evaluate, args, prog="jaxcnn evaluate")
    if flags.report:
        return _report(flags)
    for name in ("threshold", "ordered", "bootstrap"):
        if getattr(flags, name) not in (None, False):
            raise ValueError(f"--{name} is for --report.")
    step, metrics = measure_run(
        flags.run,
        flags.split,
        step=_step(flags.step),
        raw=flags.raw,
        data_dir=flags.data_dir,
        views=flags.tta,
    )
    if flags.json:
        print(json.dumps({"split": flags.split, "step": step, **metrics}))
    else:
        words = [f"{name} {format_metric(name, v)}" for name, v in metrics.items()]
        print(f"{flags.split}, step {step:,}: {', '.join(words)}")
    return 0


def _report(flags: _Evaluate) -> int:
    from jaxcnn.experiment.report import report_run

    step, report = report_run(
        flags.run,
        flags.split,
        step=_step(flags.step),
        raw=flags.raw,
        data_dir=flags.data_dir,
        views=flags.tta,
        threshold=flags.threshold,
        ordered=flags.ordered,
        bootstrap=1000 if flags.bootstrap is None else flags.bootstrap,
    )
    if flags.json:
        print(json.dumps({"split": flags.split, "step": step, **report.to_json()}))
        return 0
    threshold = "" if report.threshold is None else f", threshold {report.threshold:g}"
    print(f"{flags.split}, step {step:,}, {report.examples:,} examples{threshold}\n")
    print(report.table())
    return 0


@dataclasses.dataclass(frozen=True)
class _Predict:
    """Names what is on pictures, the most probable classes first."""

    run: tyro.conf.Positional[str]
    """The run folder."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Picture files."""
    top: int = 3
    """How many classes to name."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""
    tta: tuple[str, ...] = ()
    """Average over views: flip, "shifts(pixels=1)", "ten_crops(size=28)"."""
    csv: bool = False
    """Print CSV: file, rank, class, probability."""
    json: bool = False
    """Print JSON: one object a file."""


def _predict(args: list[str]) -> int:
    from jaxcnn.experiment.flags import parse_flags
    from jaxcnn.run import load_run, read_image

    flags = parse_flags(_Predict, args, prog="jaxcnn predict")
    if flags.csv and flags.json:
        raise ValueError("--csv and --json exclude each other.")
    if flags.top < 1:
        raise ValueError(f"--top must be 1 or more, got {flags.top}.")
    if not flags.images:
        raise ValueError("predict needs at least one picture file.")
    run = load_run(flags.run, step=_step(flags.step), raw=flags.raw)
    if not run.config.classifies:
        raise ValueError(f"{flags.run} holds an autoencoder, which names no classes.")
    images = [read_image(path, run.config.image_shape) for path in flags.images]
    probabilities = run.predict(np.stack(images), views=flags.tta)
    rows = [_ranked(row, run.class_names, flags.top) for row in probabilities]
    print(_formatted(flags, rows))
    return 0


def _ranked(
    row: np.ndarray, names: tuple[str, ...], top: int
) -> list[tuple[str, float]]:
    order = np.argsort(-row, kind="stable")[:top]
    return [(names[k], float(row[k])) for k in order]


def _formatted(flags: _Predict, rows: list[list[tuple[str, float]]]) -> str:
    pairs = list(zip(flags.images, rows, strict=True))
    if flags.json:
        return "\n".join(
            json.dumps(
                {"file": f, "top": [{"class": n, "probability": p} for n, p in row]}
            )
            for f, row in pairs
        )
    if flags.csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "rank", "class", "probability"])
        for path, row in pairs:
            for rank, (name, probability) in enumerate(row, 1):
                writer.writerow([path, rank, name, f"{probability:.6f}"])
        return text.getvalue().rstrip("\n")
    return "\n".join(
        f"{path}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in row)
        for path, row in pairs
    )


@dataclasses.dataclass(frozen=True)
class _Models:
    """Lists the registered models: size, cost, usual image, published weights."""

    pattern: tyro.conf.Positional[str] = "*"
    """A shell pattern, such as 'resnet*'."""
    kind: str | None = None
    """Only models of this kind, such as autoencoder."""
    json: bool = False
    """Print JSON."""


def _models(args: list[str]) -> int:
    import jaxcnn
    from jaxcnn.experiment.flags import parse_flags
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


@dataclasses.dataclass(frozen=True)
class _Summary:
    """Shows a model layer by layer: shapes, counts, receptive field, memory."""

    model: tyro.conf.Positional[str]
    """A registered name, or a run folder."""
    size: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = ()
    """Spatial sizes of the images, or one number for all; by default the usual."""
    channels: int | None = None
    """Channels of the images."""
    batch: int = 1
    """Images in the batch, for the memory of the activations."""
    dtype: str | None = None
    """Computation type: float32, bfloat16 or float16."""
    classes: int | None = None
    """Number of classes; the model's own default if not given."""
    depth: int | None = None
    """Show modules down to this depth only."""
    json: bool = False
    """Print JSON."""


def _summary(args: list[str]) -> int:
    import jaxcnn
    from jaxcnn.experiment.flags import parse_flags
    from jaxcnn.models.counts import usual_image_shape
    from jaxcnn.run import RunConfig

    flags = parse_flags(_Summary, args, prog="jaxcnn summary")
    if Path(flags.model).is_dir():
        config = RunConfig.load(flags.model)
        model, usual = config.build_model(), config.input_shape
    else:
        options = {} if flags.classes is None else {"num_classes": flags.classes}
        model = jaxcnn.create_model(flags.model, **options)
        own = hasattr(model, "image_shape")
        usual = usual_image_shape(model if own else flags.model)
    shape = (flags.batch, *_image_shape(flags, usual))
    summary = jaxcnn.summarize(_cast(model, flags.dtype), shape, depth=flags.depth)
    print(json.dumps(summary.to_json()) if flags.json else summary)
    return 0


def _image_shape(flags: _Summary, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape that the flags ask for, the usual where they say nothing."""
    *sizes, channels = usual
    if len(flags.size) == 1:
        sizes = flags.size * len(sizes)
    elif flags.size:
        sizes = flags.size
    return (*sizes, channels if flags.channels is None else flags.channels)


def _cast(model: Any, dtype: str | None) -> Any:
    """Returns the model with another computation type."""
    import jax.numpy as jnp

    if dtype is None:
        return model
    types = ("float32", "bfloat16", "float16")
    if dtype not in types:
        near = nearest(dtype, types)
        raise ValueError(f"--dtype is one of {', '.join(types)}, got {dtype!r}.{near}")
    if not hasattr(model, "dtype"):
        raise ValueError(f"{type(model).__name__} has no field dtype for --dtype.")
    return model.clone(dtype=jnp.dtype(dtype))


@dataclasses.dataclass(frozen=True)
class _Convert:
    """Writes weights of any origin as safetensors, with the configuration inside."""

    source: tyro.conf.Positional[str]
    """A file, a run folder, a published set, or hf-hub:owner/name."""
    out: tyro.conf.Positional[str]
    """The file to write, OUT.safetensors."""
    model: str
    """The registered name of the model."""
    classes: int | None = None
    """Number of classes, if not that of the weights; 0 leaves the head out."""
    channels: int | None = None
    """Channels of the images, if not those of the weights."""
    size: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = ()
    """Height and width of the images; by default the model's usual."""
    args: str = "{}"
    """The model's options, a JSON object."""
    like: str | None = None
    """A published set whose preprocessing and classes the weights share."""


def _convert(args: list[str]) -> int:
    from jaxcnn.experiment.flags import parse_flags
    from jaxcnn.transfer.load import load
    from jaxcnn.transfer.save import save_loaded

    flags = parse_flags(_Convert, args, prog="jaxcnn convert")
    try:
        options = json.loads(flags.args)
    except ValueError as error:
        raise ValueError(f"--args is no JSON: {error}.") from None
    if not isinstance(options, dict):
        raise ValueError(f"--args must be a JSON object, got {flags.args}.")
    size = flags.size * 2 if len(flags.size) == 1 else flags.size
    loaded = load(
        flags.model,
        flags.source,
        num_classes=flags.classes,
        in_channels=flags.channels,
        image_size=size or None,
        **options,
    )
    save_loaded(flags.out, loaded, like=flags.like)
    print(f"{flags.out}: {flags.model}, {len(loaded.leaves):,} arrays")
    return 0


def _data(args: list[str]) -> int:
    from jaxcnn.experiment.know_data import command

    return command(args)


def _step(text: str | None) -> str | int | None:
    if text is None or text in ("best", "latest"):
        return text
    if not text.isdecimal():
        raise ValueError(f"--step is best, latest or a number, got {text!r}.")
    return int(text)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "finetune": _finetune,
    "cross-validate": _cross_validate,
    "lr-range": _lr_range,
    "evaluate": _evaluate,
    "predict": _predict,
    "augment": _augment,
    "data": _data,
    "models": _models,
    "summary": _summary,
    "convert": _convert,
}
