"""The command `jaxcnn convert`: weights of any origin as one safetensors file."""

import dataclasses
import json
from typing import Annotated

import tyro

from jaxcnn.experiment.flags import parse_flags


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


def command(args: list[str]) -> int:
    """Writes the file, prints what it holds and returns the exit code.

    Raises:
        ValueError: for a bad flag, or weights that do not fit the model.
        OSError: if a file is missing or cannot be written.
    """
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
