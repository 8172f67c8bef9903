"""`jaxcnn finetune`: from a folder of images and trained weights to a tested run."""

import dataclasses
import re
import types
from pathlib import Path
from typing import Any

from jaxcnn.experiment.config import DataConfig, ExperimentConfig, OptimizerConfig
from jaxcnn.experiment.flags import parse_train
from jaxcnn.experiment.html.report import write_html_report
from jaxcnn.experiment.main import run
from jaxcnn.experiment.sources import load_data
from jaxcnn.experiment.transfer import proposal_of, weights_of
from jaxcnn.experiment.transfer_config import TransferConfig
from jaxcnn.run import CONFIG_FILE, RunConfig
from jaxcnn.transfer.propose import TransferProposal

_PROG = "jaxcnn finetune FOLDER_OR_NAME"
_TEXT = """Trains a model on your images from trained weights, and reports the test.

FOLDER_OR_NAME is a folder with an image folder for each class (or train, val and test
folders of such), a CSV or TSV table of paths and labels, an .npz file, or the name of a
dataset. Say by --similar whether the images are like those that the weights have seen,
or choose a --strategy. All flags of jaxcnn train override what it stands for."""

#: What people type, and the field that it means.
_SHORT = {
    f"--{name}": f"--transfer.{name}"
    for name in (
        *("weights", "strategy", "similar", "small-below", "cut-at", "freeze"),
        *("statistics", "unfreeze", "lr-decay", "head", "hidden", "dropout"),
        *("keep-head", "like"),
    )
}

_ADAM = OptimizerConfig("adamw", 1e-3, schedule="cosine", weight_decay=1e-4)
_ALL = dataclasses.replace(_ADAM, warmup="5%", weight_decay=1e-2)
#: Optimizer, epochs and patience by strategy. A new head on frozen features is a convex
#: problem, quickly solved; what is trained from weights gets a lower rate than what
#: leaves them behind.
RECIPES = types.MappingProxyType(
    {
        "new_head": {"optimizer": _ADAM, "epochs": 30.0, "patience": 6},
        "cut_early": {"optimizer": _ADAM, "epochs": 40.0, "patience": 8},
        "fine_tune": {
            "optimizer": dataclasses.replace(_ALL, learning_rate=3e-4),
            "epochs": 20.0,
            "patience": 6,
        },
        "retrain": {"optimizer": _ALL, "epochs": 40.0, "patience": 10},
    }
)


def command(args: list[str]) -> int:
    """Proposes what to train, prints it and why, trains, reports the test.

    Args:
        args: A folder or the name of data, and flags.

    Returns:
        The exit code.

    Raises:
        ValueError: for a bad flag, or weights that do not fit.
        OSError: if the data or the weights are not there.
    """
    if args and args[0] in ("-h", "--help"):
        parse_train(ExperimentConfig(), ["--help"], prog=_PROG, description=_TEXT)
    if not args or args[0].startswith("-"):
        raise ValueError(
            "finetune needs a folder of images, or the name of data, before the flags."
        )
    config, hosts, proposal = finetune_config(args[0], args[1:])
    if proposal is not None:
        print(_said(proposal, config.transfer))
    return run(config, after=lambda folder: _report(folder, config), hosts=hosts)


def finetune_config(
    data: str, args: list[str]
) -> tuple[ExperimentConfig, Any, TransferProposal | None]:
    """Returns the configuration, the processes, and the proposal that it follows.

    Args:
        data: A folder, a file or a name.
        args: The flags.

    Raises:
        ValueError: as `command` does.
    """
    args = [_long(word) for word in args]
    base = _named(ExperimentConfig(data=DataConfig(data_name(data))), args)
    config, hosts = _parse(base, args)
    if config.transfer.weights is None:
        raise ValueError("finetune needs --weights: a file, a run folder, a set.")
    _, record = weights_of(config)
    base = _sized(base, config, record["image_shape"])
    config, hosts = _parse(base, args)
    source = load_data(config, config.data.split, training=True)
    proposal = proposal_of(config, source, record["model_args"])
    base = _with_recipe(base, proposal, len(source))
    config, hosts = _parse(base, args)
    if not config.data.held_out:  # there is nothing by which to stop early
        base = dataclasses.replace(base, patience=0)
        config, hosts = _parse(base, args)
    return config, hosts, proposal


def data_name(text: str) -> str:
    """Returns the name of data for a folder, a file, or itself.

    Example:
        >>> data_name("labels.csv"), data_name("cifar10")
        ('table:labels.csv', 'cifar10')
    """
    if Path(text).is_dir():
        return f"folder:{text}"
    kinds = {".csv": "table", ".tsv": "table", ".npz": "npz"}
    kind = kinds.get(Path(text).suffix)
    return text if kind is None or ":" in text else f"{kind}:{text}"


def _long(word: str) -> str:
    name, sign, value = word.partition("=")
    return _SHORT.get(name.replace("_", "-"), name) + sign + value


def _parse(base: ExperimentConfig, args: list[str]) -> tuple[ExperimentConfig, Any]:
    return parse_train(base, args, prog=_PROG, description=_TEXT)


def _named(base: ExperimentConfig, args: list[str]) -> ExperimentConfig:
    """Returns the configuration with a model, a strategy and a name for the run."""
    config, _ = _parse(base, args)
    transfer, model = config.transfer, config.model
    if not any(word.startswith("--model") for word in args):
        folder = Path(transfer.weights or "")
        if not (folder / CONFIG_FILE).exists():
            raise ValueError("finetune needs --model, such as resnet50.")
        model = dataclasses.replace(model, name=RunConfig.load(folder).model)
    chosen = transfer.strategy or transfer.freeze or transfer.cut_at
    if not chosen and transfer.similar is None:
        raise ValueError(
            "finetune needs --similar yes or no: whether the images are like those "
            "that the weights have seen. Or choose a --strategy."
        )
    strategy = None if chosen and transfer.similar is None else "auto"
    name = re.sub(r"\W+", "_", base.data.name.split(":")[-1].strip("./"))
    return dataclasses.replace(
        base,
        name=f"finetune_{model.name}_{name}",
        model=model,
        data=dataclasses.replace(base.data, augment=("default",)),
        transfer=TransferConfig(strategy=strategy) if strategy else TransferConfig(),
    )


def _sized(
    base: ExperimentConfig, config: ExperimentConfig, image_shape: Any
) -> ExperimentConfig:
    """Returns the configuration with the images that the weights were trained with."""
    data = base.data
    if data.name.startswith(("folder:", "table:")):
        mode = "L" if image_shape[-1] == 1 else "RGB"
        data = dataclasses.replace(data, image_size=image_shape[0], mode=mode)
    size = config.data.image_size or data.image_size or 0
    if size >= 96:  # 500 large images at a time would take gigabytes
        data = dataclasses.replace(data, eval_batch_size=100)
    return dataclasses.replace(base, data=data)


def _with_recipe(
    base: ExperimentConfig, proposal: TransferProposal | None, examples: int
) -> ExperimentConfig:
    """Returns the configuration with what suits a strategy and so many examples."""
    recipe = RECIPES["fine_tune" if proposal is None else proposal.strategy]
    batch_size = 64
    while batch_size > 8 and examples < 10 * batch_size:
        batch_size //= 2
    data = dataclasses.replace(base.data, batch_size=batch_size)
    return dataclasses.replace(base, data=data, **recipe)


def _said(proposal: TransferProposal, transfer: TransferConfig) -> str:
    """Returns the proposal in words, with what the flags say in its place."""
    settings = {
        name: getattr(transfer, name) or getattr(proposal, name)
        for name in ("freeze", "cut_at", "lr_decay")
    }
    words = [f"{name} {value}" for name, value in settings.items() if value is not None]
    return f"{proposal.strategy} ({proposal.case}): {proposal.reason}\n" + ", ".join(
        words
    )


def _report(folder: str, config: ExperimentConfig) -> None:
    """Prints and writes the test's measures; without a test part validation's."""
    split = config.data.test_split or ("validation" if config.data.held_out else "")
    if not split:
        return
    written = write_html_report(folder, split=split)
    report = written.report
    print(f"\n{split}, step {written.step:,}, {report.examples:,} examples\n")
    print(report.table())
    print(f"\nThe report is {written.path}")
