"""How files become examples: what `folder:`, `table:` and their like are read by."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxcnn.data.decoding import Decoder, FilePart
from jaxcnn.tree import nearest

#: What a column of a table may be: the names of the columns by default.
COLUMNS = ("path", "label", "split", "group")
_MODES = ("RGB", "L", "RGBA")


@dataclasses.dataclass(frozen=True)
class FileOptions:
    r"""How the files of a source become its examples.

    Attributes:
        mode: What a file gives: `"RGB"`, `"L"` (gray), `"RGBA"`, or the number of
            channels of `.npy` arrays, such as `"5"`.
        stack: The files of an example, whose channels are stacked, each with its mode:
            columns of a table, `("path:RGB", "infrared:L")`; or patterns of the names
            of files in a folder, `("{}_ct.png:L", "{}_pet.png:L")`, of which the first
            finds the examples. Empty for one file an example.
        window: `(centre, width)` for files of more than eight bits a channel; or two
            numbers for each file of the stack.
        edges: Whether the strength of the first file's edges (Sobel) is one more
            channel.
        group: A regular expression that finds in a path what must not be parted, such
            as `"patient(\d+)"`. None part apart by examples.
        columns: The columns of a table where they are not called `path`, `label`,
            `split` and `group`, such as `{"label": "finding"}`.
        test: The share that is set apart as the split `"test"` where files are in no
            splits, of every class its part.
        split_seed: Chooses the examples of that share.
        mask_values: Which value of a mask's file is class 0, 1, ...; by default the
            values are the classes.

    Raises:
        ValueError: if one of them is not of this form.
    """

    mode: str = "RGB"
    stack: tuple[str, ...] = ()
    window: tuple[float, ...] = ()
    edges: bool = False
    group: str | None = None
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    test: float = 0.2
    split_seed: int = 0
    mask_values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", str(self.mode))
        for name in ("stack", "window", "mask_values"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_mode(self.mode, "mode")
        for entry in self.stack:
            _check_mode(entry.rpartition(":")[2], f"the mode of {entry!r} in stack")
        self._check_windows()
        for name in self.columns:
            if name not in COLUMNS:
                raise ValueError(
                    f"columns has {name!r}.{nearest(name, COLUMNS)} Allowed are "
                    f"{', '.join(map(repr, COLUMNS))}"
                )
        number = isinstance(self.test, int | float) and not isinstance(self.test, bool)
        if not number or not 0 <= self.test < 1:
            raise ValueError(f"test is {self.test!r}, expected a share from 0 to 1")
        if len(set(self.mask_values)) != len(self.mask_values):
            raise ValueError(f"mask_values {self.mask_values} has a value twice")

    def _check_windows(self) -> None:
        files = max(len(self.stack), 1)
        if len(self.window) not in {0, 2, 2 * files}:
            each = f", or {2 * files}, two for each file" if files > 1 else ""
            raise ValueError(f"window is {self.window}, expected (centre, width){each}")
        for width in self.window[1::2]:
            if not 0 < width < math.inf:
                raise ValueError(f"the width of window {self.window} must be above 0")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns or patterns of the stack, without their modes."""
        return tuple(entry.rpartition(":")[0] for entry in self.stack)

    def decoder(self) -> Decoder:
        """Returns what makes pixels of an example's files."""
        modes = [entry.rpartition(":")[2] for entry in self.stack] or [self.mode]
        pairs = list(zip(self.window[::2], self.window[1::2], strict=True))
        windows = (
            pairs * len(modes) if len(pairs) == 1 else pairs or [None] * len(modes)
        )
        parts = map(FilePart, modes, windows)
        return Decoder(tuple(parts), self.edges)


def _check_mode(mode: Any, what: str) -> None:
    if mode in _MODES or (mode.isdecimal() and 0 < int(mode) < 1000):
        return
    raise ValueError(
        f"{what} is {mode!r}.{nearest(mode, _MODES)} Allowed are 'RGB', 'L' (gray), "
        "'RGBA', or a number of channels for .npy files"
    )


#: One RGB picture a file, and no groups.
DEFAULT = FileOptions()
