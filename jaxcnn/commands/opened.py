"""A model to look into: that of a run folder, or a registered one with weights."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.experiment.flags import step_of
from jaxcnn.registry import list_models
from jaxcnn.tree import nearest
from jaxcnn.typing import PyTree


@dataclasses.dataclass(frozen=True)
class OpenedModel:
    """A model with its weights, and what is known of its images.

    Attributes:
        model: The Linen module.
        variables: Its variables.
        preprocess: From pixels to its input, or None.
        image_shape: `(height, width, channels)` of the stored images.
        class_names: One name a class, or empty.
        run: The run, of a run folder.
    """

    model: Any
    variables: PyTree
    preprocess: PreprocessConfig | None
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    run: Any = None

    @property
    def channel_order(self) -> str:
        """In which order the model gets the colours."""
        return self.preprocess.channel_order if self.preprocess else "RGB"

    @property
    def pixels(self) -> PreprocessConfig | None:
        """The preprocessing without a change of size."""
        if self.preprocess is None:
            return None
        return dataclasses.replace(self.preprocess, size=None, resize=None, crop=None)

    def number_of(self, name: str) -> int:
        """Returns the number of a class, given its name or its number.

        Raises:
            ValueError: if there is no such class.
        """
        if name in self.class_names:
            return self.class_names.index(name)
        if name.isdecimal():
            return int(name)
        if not self.class_names:
            raise ValueError(
                f"The names of the classes are not known: give a number, not {name!r}."
            )
        raise ValueError(
            f"{name!r} is none of the {len(self.class_names)} classes."
            f"{nearest(name, self.class_names)}"
        )


def open_model(
    name: str,
    *,
    weights: str | None,
    like: str | None,
    step: str | None,
    raw: bool,
) -> OpenedModel:
    """Returns the model of a run folder, or a registered one with weights.

    Args:
        name: A run folder, or with `weights` the registered name of a model.
        weights: A file, a published set, or `hf-hub:owner/name`.
        like: A published set whose preprocessing and classes the weights share.
        step: Of a run folder: best, latest or a step.
        raw: Of a run folder: the weights themselves, not their average.

    Raises:
        ValueError: if something is missing, does not fit or is for the other kind, or
            the model takes no gray or RGB pictures.
        OSError: if a file is not there.
    """
    if weights is None:
        if like is not None:
            raise ValueError("--like is for --weights; a run has its own.")
        if name in list_models() and not Path(name).is_dir():
            raise ValueError(
                f"{name} is a registered model: give its --weights, or a run folder."
            )
        opened = _of_run(name, step, raw)
    else:
        if step is not None or raw:
            raise ValueError("--step and --raw are for run folders, not for --weights.")
        opened = _of_weights(name, weights, like)
    if len(opened.image_shape) != 3 or opened.image_shape[-1] not in (1, 3):
        raise ValueError(
            "Gray and RGB pictures can be drawn; the model takes "
            f"{list(opened.image_shape)}: use jaxcnn.interpret in Python."
        )
    return opened


def read_picture(path: str, channels: int, longest: int | None) -> np.ndarray:
    """Returns a picture in its own size, made smaller if it is too large.

    Args:
        path: The file.
        channels: 1 or 3.
        longest: Pixels that the longer side may have.

    Raises:
        ValueError: if the file is no picture.
        OSError: if there is no such file.
    """
    from PIL import Image

    from jaxcnn.data.decoding import upright
    from jaxcnn.run import read_image

    read_image(path, (1, 1, channels))  # says in one sentence what is wrong with it
    with Image.open(path) as image:
        width, height = upright(image).size
    scale = 1.0 if longest is None else min(1.0, longest / max(width, height))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return read_image(path, (*size, channels))


def _of_run(directory: str, step: str | None, raw: bool) -> OpenedModel:
    from jaxcnn.run import load_run

    run = load_run(directory, step=step_of(step), raw=raw)
    config = run.config
    return OpenedModel(
        run.model,
        run.variables,
        config.preprocess,
        config.image_shape,
        tuple(config.class_names),
        run,
    )


def _of_weights(name: str, weights: str, like: str | None) -> OpenedModel:
    from jaxcnn.transfer.load import load
    from jaxcnn.transfer.pretrained import pretrained_config

    loaded = load(name, weights)
    own = loaded.config
    known = pretrained_config(name, like) if like else own
    names = own.class_names or known.class_names
    return OpenedModel(
        loaded.model,
        loaded.variables,
        own.preprocess or known.preprocess,
        tuple(own.image_shape),
        tuple(names) if len(names) == own.num_classes else (),
    )
