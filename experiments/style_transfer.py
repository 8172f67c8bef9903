"""One picture in the style of another: `style_transfer.py CONTENT STYLE [STYLE ...]`.

    python experiments/style_transfer.py photo.jpg painting.jpg
    python experiments/style_transfer.py photo.jpg painting.jpg --average-pool \
        --weights squeezenet1_0-imagenet.npz --sizes 128 256 384 --every 50

Gatys et al., CVPR 2016, by `jaxcnn.interpret.style_transfer`: see
docs/style_transfer.md. Without --weights the network is VGG-19 with torchvision's
weights, downloaded once (548 MB). With weights it is the network they are of: a
published file, a run folder or a file of `jaxcnn convert` says so itself, others need
--model. Layers are those of the family (VGG: the paper's) unless named.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from jaxcnn.data.decoding import upright
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.data.samples import as_bytes
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.experiment.main import exit_cleanly
from jaxcnn.interpret import StyleOptions, StyleResult, StyleStep, style_transfer
from jaxcnn.interpret.style_progress import StyleProgress
from jaxcnn.plotting import style_curves
from jaxcnn.transfer import pretrained_config
from jaxcnn.transfer.load import Loaded, load
from jaxcnn.transfer.origin import named_model

VGG = ("vgg19", "torchvision:IMAGENET1K_V1")
Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER[=WEIGHT] ...")]


@dataclasses.dataclass(frozen=True)
class Flags:
    """Draws the content of one picture in the style of others."""

    content: tyro.conf.Positional[str]
    """The picture whose content is kept."""
    styles: tyro.conf.Positional[tuple[str, ...]]
    """Pictures of the style."""
    out: str = "styled.png"
    """The file to write."""
    weights: str | None = None
    """A file, run folder or published set; by default torchvision's of VGG-19."""
    model: str | None = None
    """Registered name of the network, where the weights do not say it."""
    like: str | None = None
    """A published set whose preprocessing the weights share, where they do not say."""
    average_pool: bool = False
    """Average pooling in place of max pooling (VGG, SqueezeNet)."""
    mix: Annotated[tuple[float, ...], tyro.conf.arg(metavar="WEIGHT ...")] = ()
    """A weight for each style picture; by default alike."""
    content_layers: Names = ()
    """Layers of the content; by default those of the family."""
    style_layers: Names = ()
    """Layers of the style; by default those of the family."""
    content_weight: float = StyleOptions.content_weight
    """How much the content counts."""
    style_weight: float = StyleOptions.style_weight
    """How much the style counts."""
    tv_weight: float = StyleOptions.tv_weight
    """How smooth the picture is to be."""
    scale: Literal["relative", "paper"] = "relative"
    """Losses as shares of what they are to be, or as the paper has them."""
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """How the pixels are optimised."""
    learning_rate: float = StyleOptions.learning_rate
    """Of Adam."""
    sizes: Numbers = tuple(StyleOptions.sizes)
    """Longer sides in pixels, from coarse to fine; the last is the picture's."""
    steps: Numbers = (StyleOptions.steps,)
    """Steps at every size: one number, or one for each."""
    style_scale: float = StyleOptions.style_scale
    """The style pictures' longer side in units of the picture's."""
    margin: int = StyleOptions.margin
    """Pixels drawn around the picture and cut off in the end."""
    start: Literal["content", "noise"] = "content"
    """What the picture is at first."""
    colours: Literal["style", "content"] = "style"
    """Whose colours the picture has; content: only the luminance is transferred."""
    seed: int = 0
    """Of the noise."""
    every: int = 0
    """Write the picture every so many steps beside --out; 0 for never."""
    curves: str | None = None
    """Write the loss curves to this file."""


def options_of(flags: Flags) -> StyleOptions:
    """Returns the options that the flags of the same names describe."""
    names = [field.name for field in dataclasses.fields(StyleOptions)]
    values: dict[str, Any] = {name: getattr(flags, name) for name in names}
    for name in ("content_layers", "style_layers"):
        values[name] = _layers(name, values[name]) or None
    if len(flags.steps) == 1:
        values["steps"] = flags.steps[0]
    return StyleOptions(**values)


def _layers(name: str, texts: tuple[str, ...]) -> dict[str, float]:
    """Returns weights by layer from `LAYER=WEIGHT`; without weights they are alike."""
    found = {}
    for text in texts:
        layer, _, weight = text.partition("=")
        try:
            found[layer] = float(weight) if weight else 1 / len(texts)
        except ValueError:
            flag = name.replace("_", "-")
            raise ValueError(
                f"--{flag}: {weight!r} in {text!r} is no number."
            ) from None
    return found


def read_picture(file: str) -> np.ndarray:
    """Returns a picture as uint8 `[height, width, 3]`.

    Raises:
        ValueError: if it is none that Pillow reads.
        OSError: if there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return np.asarray(upright(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(
            f"{file} is no picture of a format that Pillow reads."
        ) from None


def write_picture(file: Path, picture: np.ndarray) -> None:
    """Writes floats in [0, 1] in the format of the file's ending."""
    from PIL import Image

    try:
        Image.fromarray(as_bytes(picture)).save(file)
    except ValueError as error:  # an ending that Pillow does not know
        raise ValueError(f"{file} cannot be written: {error}.") from error


def load_network(flags: Flags) -> tuple[Loaded, PreprocessConfig]:
    """Returns the network, and its preprocessing without a change of size."""
    name, weights = flags.model, flags.weights
    if weights is None:
        name, weights = name or VGG[0], VGG[1]
    name = name or named_model(weights)
    if name is None and not Path(weights).exists():
        raise ValueError(
            f"There is no file or folder {weights}; a published set, such as "
            "torchvision:IMAGENET1K_V1, needs --model."
        )
    if name is None:
        raise ValueError(f"{weights} does not say of which model it is: give --model.")
    pool = {"pool": "average"} if flags.average_pool else {}
    loaded = load(name, weights, **pool)
    preprocess = loaded.config.preprocess
    if flags.like is not None:
        preprocess = pretrained_config(name, flags.like).preprocess
    if preprocess is None:
        raise ValueError(
            f"{weights} does not say how its images are prepared: give --like, a "
            "published set, such as torchvision:IMAGENET1K_V1."
        )
    return loaded, dataclasses.replace(preprocess, size=None, resize=None, crop=None)


def transfer(flags: Flags) -> StyleResult:
    """Returns what was made, and writes intermediate pictures on the way."""
    if not flags.styles:
        raise ValueError("STYLE is missing: one picture of the style or more.")
    if flags.every < 0:
        raise ValueError(f"--every must be 0 or more, got {flags.every}.")
    options, out = options_of(flags), Path(flags.out)
    pictures = [read_picture(file) for file in (flags.content, *flags.styles)]
    loaded, preprocess = load_network(flags)
    with StyleProgress() as progress:

        def on_step(now: StyleStep) -> None:
            progress(now)
            if flags.every and now.step % flags.every == 0:
                file = out.with_name(f"{out.stem}_{now.step:05}{out.suffix}")
                write_picture(file, now.picture())

        return style_transfer(
            loaded.model,
            loaded.variables,
            pictures[0],
            pictures[1:],
            preprocess=make_preprocess(preprocess),
            options=options,
            mix=flags.mix or None,
            on_step=on_step,
        )


def command(args: list[str]) -> int:
    """Writes the picture, says what its losses are, and returns the exit code."""
    prog = f"python {sys.argv[0]}"
    flags = parse_flags(Flags, args, prog=prog, description=__doc__)
    result = transfer(flags)
    write_picture(Path(flags.out), result.image)
    if flags.curves:
        style_curves(flags.curves, result.losses, result.sizes)
    ends = ", ".join(
        f"{name} {result.losses[name][-1]:.4g}" for name in ("content", "style")
    )
    print(f"{flags.out}: {len(result.sizes)} pictures on the way, {ends}")
    return 0


if __name__ == "__main__":
    exit_cleanly(lambda: command(sys.argv[1:]))
