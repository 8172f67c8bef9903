"""The settings of a style transfer, checked when they are made."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jaxcnn.interpret.style_layers import Layers
from jaxcnn.interpret.style_losses import SCALES
from jaxcnn.layers.checks import check_choice, check_number, check_numbers

OPTIMIZERS = ("lbfgs", "adam")
STARTS = ("content", "noise")
COLOURS = ("style", "content")


@dataclasses.dataclass(frozen=True)
class StyleOptions:
    """How `style_transfer` works.

    Attributes:
        content_layers: Layers of the content: names, which share the weight 1, or
            weights by name. By default those of the family, see
            `default_content_layers`.
        style_layers: Likewise of the style, see `default_style_layers`.
        content_weight: How much the content counts.
        style_weight: How much the style counts.
        tv_weight: How much neighbouring pixels are to be alike, see `total_variation`.
        scale: `"relative"`: the distance of a layer as a share of what it is to be,
            so that the weights suit any network, layer and size. `"paper"`: as Gatys
            et al. have it (eq. 1 and 4), whose weights depend on all three.
        optimizer: `"lbfgs"`, as in the paper, or `"adam"`.
        learning_rate: Of Adam, in units of [0, 1].
        sizes: The longer side of the picture in pixels; several from coarse to fine.
        steps: Steps at every size, one number or one for each.
        style_scale: The longer side of the style images, in units of the picture's:
            below 1 strokes get finer, above 1 coarser.
        margin: Pixels drawn around the picture at every size and cut off in the end.
        start: `"content"` or `"noise"`.
        colours: `"style"`, or `"content"` to transfer the luminance alone.
        seed: Of the noise.
    """

    content_layers: Layers | None = None
    style_layers: Layers | None = None
    content_weight: float = 1.0
    style_weight: float = 10.0
    tv_weight: float = 1.0
    scale: str = "relative"
    optimizer: str = "lbfgs"
    learning_rate: float = 0.02
    sizes: Sequence[int] = (96, 192, 320)
    steps: int | Sequence[int] = 50
    style_scale: float = 1.0
    margin: int = 8
    start: str = "content"
    colours: str = "style"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "tv_weight"):
            _check_finite(name, getattr(self, name), least=0)
        if not self.content_weight and not self.style_weight:
            raise ValueError(
                "content_weight and style_weight are both 0: nothing is left to do."
            )
        for name in ("learning_rate", "style_scale"):
            _check_finite(name, getattr(self, name), least=None)
        check_choice("scale", self.scale, SCALES)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("start", self.start, STARTS)
        check_choice("colours", self.colours, COLOURS)
        check_number("seed", self.seed, 0)
        check_number("margin", self.margin, 0)
        self._check_sizes()

    def _check_sizes(self) -> None:
        check_numbers("sizes", self.sizes, 1)
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"sizes must grow from coarse to fine, got {tuple(self.sizes)}."
            )
        if isinstance(self.steps, Sequence) and not isinstance(self.steps, str):
            check_numbers("steps", self.steps, 1)
            if len(self.steps) != len(self.sizes):
                raise ValueError(
                    f"steps must be one number or one for each of the {len(self.sizes)}"
                    f" sizes, got {tuple(self.steps)}."
                )
        else:
            check_number("steps", self.steps, 1)

    def steps_of_sizes(self) -> tuple[int, ...]:
        """Returns the steps at each size."""
        if isinstance(self.steps, int):
            return (self.steps,) * len(self.sizes)
        return tuple(self.steps)


def _check_finite(name: str, value: Any, least: float | None) -> None:
    """Raises unless a value is a finite number of at least 0, or above it."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (
        not good
        or not math.isfinite(value)
        or value < 0
        or (least is None and not value)
    ):
        kind = "above 0" if least is None else "of at least 0"
        raise ValueError(f"{name} must be a number {kind}, got {value!r}.")
