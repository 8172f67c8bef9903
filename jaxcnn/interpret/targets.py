"""What of a network is looked at: a channel, a layer, one unit or a class."""

import dataclasses
import re
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from flax.errors import ScopeParamShapeError

from jaxcnn.layers.checks import check_number, check_numbers
from jaxcnn.models.cut import WithHead
from jaxcnn.models.features import capture
from jaxcnn.typing import Array, PyTree

#: The middle of a map, away from its borders.
CENTRE = "centre"

_TEXT = re.compile(r"(?P<path>.*?)(:(?P<channel>\d+)(@(?P<position>.+))?)?")


@dataclasses.dataclass(frozen=True)
class Target:
    """What of a network is to become large.

    Attributes:
        path: Path of a submodule, as for `jaxcnn.capture`; `""` is the model itself, so
            its channels are the logits of the classes.
        channel: A channel of its output, averaged over all positions; a tuple holds one
            for each image of the batch. None: the mean square of the whole layer, what
            DeepDream enlarges.
        position: Where to look at the channel, (row, column) or `"centre"`, instead of
            averaging: one unit (neuron).

    Example:
        >>> Target.parse("stage3_block1:5@centre")
        Target(path='stage3_block1', channel=5, position='centre')
    """

    path: str = ""
    channel: int | tuple[int, ...] | None = None
    position: tuple[int, ...] | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.channel, list):
            object.__setattr__(self, "channel", tuple(self.channel))
        if isinstance(self.channel, tuple):
            check_numbers("channel", self.channel, 0)
        elif self.channel is not None:
            check_number("channel", self.channel, 0)
        if self.position is None:
            return
        if self.channel is None:
            raise ValueError(f"position={self.position!r} needs a channel too.")
        if isinstance(self.position, str):
            if self.position != CENTRE:
                raise ValueError(
                    f"position must be (row, column) or {CENTRE!r}, got "
                    f"{self.position!r}."
                )
        else:
            check_numbers("position", self.position, 0)
            object.__setattr__(self, "position", tuple(self.position))

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Returns the target of a text.

        Args:
            text: `"PATH"` (a layer), `"PATH:CHANNEL"`, `"PATH:CHANNEL@ROW,COLUMN"` or
                `"PATH:CHANNEL@centre"` (a unit), `":CLASS"` (the number of a class).

        Raises:
            ValueError: if the position is none.
        """
        found = _TEXT.fullmatch(text)
        place = found["position"]
        if place is not None and place != CENTRE:
            numbers = place.split(",")
            if not all(number.strip().isdecimal() for number in numbers):
                raise ValueError(
                    f"The target {text!r} must be PATH, PATH:CHANNEL, "
                    f"PATH:CHANNEL@ROW,COLUMN or PATH:CHANNEL@{CENTRE}."
                )
            place = tuple(int(number) for number in numbers)
        channel = found["channel"]
        return cls(found["path"], None if channel is None else int(channel), place)

    def score(self, outputs: Array) -> Array:
        """Returns how large it is for every image, `[batch]` float32.

        Args:
            outputs: What the submodule returns, `[batch, ..., channels]`.

        Raises:
            ValueError: if there is no such channel or position in it.
        """
        x = outputs.astype(jnp.float32)
        if self.channel is None:
            return jnp.square(x).reshape(len(x), -1).mean(axis=1)
        self._check(x)
        spatial = tuple(range(1, x.ndim - 1))
        if self.position is None:
            x = x.mean(axis=spatial)
        else:
            x = x[(slice(None), *unit_position(x.shape, self.position))]
        if isinstance(self.channel, int):
            return x[:, self.channel]
        return x[jnp.arange(len(x)), jnp.array(self.channel)]

    def _check(self, x: Array) -> None:
        several = isinstance(self.channel, tuple)
        channels = self.channel if several else (self.channel,)
        if several and len(channels) != len(x):
            raise ValueError(
                f"channel has {len(channels)} entries for {len(x)} images: one number, "
                "or one for each image."
            )
        if max(channels) >= x.shape[-1]:
            raise ValueError(
                f"channel {max(channels)} of {self.path!r} is none of its "
                f"{x.shape[-1]} channels, 0 to {x.shape[-1] - 1}."
            )


#: A target, its text, or any `(variables, images) -> [batch]`.
AnyTarget = Target | str | Callable[[PyTree, Array], Array]


def unit_position(shape: tuple[int, ...], position: tuple[int, ...] | str) -> tuple:
    """Returns a position in maps of a shape `[batch, ..., channels]`.

    Raises:
        ValueError: if it lies outside of them.
    """
    sizes = tuple(shape[1:-1])
    if position == CENTRE:
        return tuple(size // 2 for size in sizes)
    inside = len(position) == len(sizes) and all(
        0 <= place < size for place, size in zip(position, sizes, strict=True)
    )
    if not inside:
        raise ValueError(
            f"position {position} lies outside of the maps, which are "
            f"{'x'.join(map(str, sizes)) or 'no maps but single numbers'}."
        )
    return tuple(position)


def output_at(model: nn.Module, variables: PyTree, images: Array, path: str) -> Array:
    """Returns what a submodule gives; the model's own output for the path `""`.

    Images may have another size than the model's dense layers were made for, as long as
    these lie behind the submodule.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables.
        images: Its input.
        path: Path of a submodule, as for `jaxcnn.capture`.

    Raises:
        ValueError: if there is no such submodule, or it returns no single array.
    """
    try:
        outputs = capture(model, variables, images, [path])[path]
    except ScopeParamShapeError:
        if not path or ":" in path:
            raise
        short = WithHead(model, _Same(), path, pool=False)
        outputs = short.apply(variables, images)
    if isinstance(outputs, dict) and "logits" in outputs:
        outputs = outputs["logits"]
    if not hasattr(outputs, "ndim"):
        raise ValueError(
            f"{path or 'the model'!r} returns {type(outputs).__name__}, not one array."
        )
    return outputs


class _Same(nn.Module):
    """A head that changes nothing."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x
