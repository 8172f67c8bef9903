"""The command `jaxcnn summary`: a model layer by layer."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxcnn.experiment.flags import parse_flags
from jaxcnn.tree import nearest


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


def command(args: list[str]) -> int:
    """Prints the table of a model's layers and returns the exit code.

    Raises:
        ValueError: for a bad flag, model or shape.
    """
    import jaxcnn
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
