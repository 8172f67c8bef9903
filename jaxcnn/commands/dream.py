"""The command `jaxcnn dream`: what a channel, a layer or a class wants to see."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxcnn.commands.opened import OpenedModel, open_model, read_picture
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.layers.checks import check_number

#: In front of the name or the number of a class.
_CLASS = "class:"


@dataclasses.dataclass(frozen=True)
class _Dream:
    """Draws what a channel, a layer or a class of a network wants to see.

    With --image into that picture (DeepDream), else from noise.
    """

    model: tyro.conf.Positional[str]
    """A run folder; or the registered name of a model, with --weights."""
    target: str
    """PATH (a layer), PATH:CHANNEL, PATH:CHANNEL@centre (one unit), or class:NAME."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """The picture to write: OUT.png or OUT.jpg."""
    image: str | None = None
    """The picture to dream into."""
    size: int | None = None
    """Pixels: the longer side that larger pictures are brought to (512); from noise
    both sides (by default the model's usual)."""
    octaves: int | None = None
    """Sizes, from small to its own; 4, or 1 from noise."""
    octave_scale: float = 1.4
    """Each size by the one before."""
    steps: int | None = None
    """Steps at each size; 12, or 128 from noise."""
    rate: float | None = None
    """How far a step moves the pixels on average, of 1 from black to white; 0.01, or
    0.02 from noise."""
    jitter: int | None = None
    """Pixels by which the image is rolled about; 16, or 4 from noise."""
    frequency: float | None = None
    """By which power of their frequency waves are held back; 0.25, or 1 from noise."""
    total_variation: float | None = None
    """Pull towards flat areas; 0.02, or 0.05 from noise."""
    l2: float = 0.0
    """Pull back to what each size began with."""
    seed: int = 0
    """Of the jitter and the noise."""
    weights: str | None = None
    """With the name of a model: a file, a published set, or hf-hub:owner/name."""
    like: str | None = None
    """With --weights: a published set whose preprocessing and classes they share."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""


def command(args: list[str]) -> int:
    """Writes the picture and returns the exit code.

    Raises:
        ValueError: for a bad flag, or if there is no such submodule, channel or class.
        OSError: if a file is missing or cannot be written.
    """
    from PIL import Image

    flags = parse_flags(_Dream, args, prog="jaxcnn dream")
    _check(flags)
    opened = open_model(
        flags.model,
        weights=flags.weights,
        like=flags.like,
        step=flags.step,
        raw=flags.raw,
    )
    dreamt = _dreamt(flags, opened, _start(flags, opened))
    pixels = np.asarray(np.round(255 * dreamt), np.uint8)
    gray = pixels.shape[-1] == 1
    Image.fromarray(pixels[..., 0] if gray else pixels).save(flags.out)
    print(f"The picture is {flags.out}", file=sys.stderr)
    return 0


def _check(flags: _Dream) -> None:
    endings = (".png", ".jpg", ".jpeg")
    if not flags.out.lower().endswith(endings):
        raise ValueError(f"--out must end in {', '.join(endings)}, got {flags.out!r}.")
    folder = Path(flags.out).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} for {flags.out}.")
    if flags.size is not None:
        check_number("--size", flags.size, 1)


def _start(flags: _Dream, opened: OpenedModel) -> np.ndarray:
    """Returns the picture to begin with, `[1, height, width, channels]`."""
    from jaxcnn.interpret import noise_images

    *sides, channels = opened.image_shape
    if flags.image is not None:
        return read_picture(flags.image, channels, flags.size or 512)[None]
    if flags.size is not None:
        sides = [flags.size] * 2
    key = jax.random.fold_in(jax.random.key(flags.seed), 1)
    return np.asarray(noise_images(key, (1, *sides, channels)))


def _dreamt(flags: _Dream, opened: OpenedModel, start: np.ndarray) -> np.ndarray:
    """Returns the picture, `[height, width, channels]` in [0, 1]."""
    from jaxcnn.data.preprocess import make_preprocess
    from jaxcnn.interpret import Target, deepdream
    from jaxcnn.interpret.ascent import USUAL
    from jaxcnn.interpret.deepdream import DREAM

    noise = flags.image is None
    usual = {"octaves": 1, "steps": 128} if noise else {"octaves": 4, "steps": 12}
    usual["learning_rate"] = 0.02 if noise else 0.01
    given = {
        "octaves": flags.octaves,
        "steps": flags.steps,
        "learning_rate": flags.rate,
    }
    held = {
        name: getattr(flags, name)
        for name in ("jitter", "frequency", "total_variation")
        if getattr(flags, name) is not None
    }
    prior = dataclasses.replace(USUAL if noise else DREAM, l2=flags.l2, **held)
    target = flags.target
    if target.startswith(_CLASS):
        target = Target("", opened.number_of(target.removeprefix(_CLASS)))
    images = deepdream(
        opened.model,
        opened.variables,
        start,
        target,
        preprocess=make_preprocess(opened.pixels),
        octave_scale=flags.octave_scale,
        prior=prior,
        key=jax.random.key(flags.seed),
        **{k: usual[k] if value is None else value for k, value in given.items()},
    )
    return np.asarray(images[0])
