"""Pictures of convolution arithmetic: which input pixels make which output pixel."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from jaxcnn.arithmetic import output_size, transposed_output_size
from jaxcnn.plotting.style import BLUE, GREEN, GREY, INK, ORANGE, write_figure

_CELL = 0.3  # inches; what follows is in cells
_BETWEEN = 1.6
_MARGIN = 0.1
_MOST = 20  # cells along a side: more cannot be told apart


def draw_convolution(
    path: str | os.PathLike[str],
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    *,
    transposed: bool = False,
    output_padding: int = 0,
    outputs: Sequence[int] | None = None,
    title: str | None = None,
) -> None:
    """Writes a picture of a square convolution: input below, output above.

    A panel a position of the kernel: the pixels that it reads are shaded, the output
    that they make too. Dashed cells are zeros: the padding, and between the pixels of a
    transposed convolution, which is drawn as the convolution that it equals.

    Args:
        path: The file; its ending says the format (`.png`, `.pdf`, `.svg`).
        size: Pixels along a side of the input.
        kernel: Size of the kernel.
        stride: Step of the kernel; of a transposed convolution the growth.
        padding: Pixels added on each side; of a transposed convolution those of the
            convolution that it transposes.
        dilation: Distance between two taps of the kernel.
        transposed: Whether it is a transposed convolution.
        output_padding: As in `jaxcnn.arithmetic.transposed_output_size`.
        outputs: Numbers of the output pixels to show, row by row; by default the
            first, its neighbour and the last.
        title: The heading; by default the arithmetic.

    Raises:
        ValueError: if the kernel does not fit, the picture would be too large to read,
            or there is no such output.

    References:
        Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
        https://arxiv.org/abs/1603.07285, whose figures these are.
    """
    from matplotlib.figure import Figure

    window = (size, kernel, stride, padding, dilation)
    if output_padding and not transposed:
        raise ValueError(
            f"output_padding={output_padding} belongs to transposed=True alone."
        )
    if transposed:
        out = transposed_output_size(*window, output_padding)
        scene = _transposed_scene(*window, out)
    else:
        out = output_size(*window)
        scene = _Scene(size, out, kernel, stride, dilation, 1, padding)
    if max(scene.cells, out) > _MOST:
        raise ValueError(
            f"The picture would be {max(scene.cells, out)} cells wide; at most {_MOST} "
            "can be told apart."
        )
    shown = _shown(out, outputs)
    widest, gap = max(scene.cells, out), 1.4
    # A little more than the cells, or the outer edges are cut in half.
    width = len(shown) * (widest + gap) - gap + 2 * _MARGIN
    height = scene.cells + out + _BETWEEN + 2 * _MARGIN
    figure = Figure(figsize=(_CELL * width, _CELL * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(-_MARGIN, height - _MARGIN))
    axes.set_axis_off()
    for panel, position in enumerate(shown):
        middle = panel * (widest + gap) + widest / 2
        _draw_panel(axes, scene, divmod(position, out), middle)
    heading = _heading(*window, out, transposed, output_padding)
    figure.text(
        0.5,
        1.02,
        heading if title is None else title,
        ha="center",
        va="bottom",
        fontsize=10,
        fontweight="bold",
        color=INK,
    )
    write_figure(figure, path)


@dataclasses.dataclass(frozen=True)
class _Scene:
    """A convolution over cells, of which some are pixels and the others zeros."""

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    spread: int
    low: int
    high: int | None = None

    @property
    def cells(self) -> int:
        """Cells along a side of the input, zeros included."""
        high = self.low if self.high is None else self.high
        return max(1, (self.size - 1) * self.spread + 1 + self.low + high)

    def is_pixel(self, *cell: int) -> bool:
        """Tells whether a cell is a pixel of the input."""
        return all(
            at >= self.low
            and (at - self.low) % self.spread == 0
            and (at - self.low) // self.spread < self.size
            for at in cell
        )

    def reads(self, cell: tuple[int, int], output: tuple[int, int]) -> bool:
        """Tells whether the kernel at an output reads a cell."""
        reach = self.dilation * (self.kernel - 1)
        offsets = [at - o * self.stride for at, o in zip(cell, output, strict=True)]
        return all(0 <= n <= reach and n % self.dilation == 0 for n in offsets)


def _transposed_scene(
    size: int, kernel: int, stride: int, padding: int, dilation: int, out: int
) -> _Scene:
    """Returns the plain convolution that a transposed one equals."""
    reach = dilation * (kernel - 1)
    low = reach - padding
    if low < 0:
        raise ValueError(
            f"A padding of {padding} crops the output of a kernel that spans "
            f"{reach + 1}: at most {reach} can be drawn."
        )
    high = out + reach - ((size - 1) * stride + 1) - low
    return _Scene(size, out, kernel, 1, dilation, stride, low, high)


def _shown(out: int, outputs: Sequence[int] | None) -> list[int]:
    count = out * out
    if outputs is None:
        return list(dict.fromkeys([0, min(1, count - 1), count - 1]))
    for number in outputs:
        if not 0 <= number < count:
            raise ValueError(
                f"outputs={number} is no output pixel: there are {count}, from 0 on."
            )
    if not outputs:
        raise ValueError("outputs is empty: nothing to draw.")
    return list(outputs)


def _heading(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    out: int,
    transposed: bool,
    output_padding: int,
) -> str:
    parts = [f"kernel {kernel}", f"stride {stride}", f"padding {padding}"]
    parts += [f"dilation {dilation}"] if dilation > 1 else []
    parts += [f"output padding {output_padding}"] if output_padding else []
    kind = "transposed, " if transposed else ""
    return f"{size}x{size} to {out}x{out}: {kind}{', '.join(parts)}"


def _draw_panel(
    axes: Any, scene: _Scene, output: tuple[int, int], middle: float
) -> None:
    """Draws input, output and the lines between them, around a middle."""
    left = middle - scene.cells / 2
    for row in range(scene.cells):
        for column in range(scene.cells):
            pixel = scene.is_pixel(row, column)
            read = scene.reads((row, column), output)
            _cell(
                axes,
                (left + column, scene.cells - 1 - row),
                face=_input_colour(pixel, read),
                dashed=not pixel,
                marked=read,
            )
    base, start = scene.cells + _BETWEEN, middle - scene.out / 2
    for row in range(scene.out):
        for column in range(scene.out):
            made = (row, column) == output
            corner = (start + column, base + scene.out - 1 - row)
            face = ORANGE if made else _mixed(GREEN, 0.35)
            _cell(axes, corner, face=face, dashed=False, marked=made)
    _draw_lines(axes, scene, output, left, (start, base))


def _draw_lines(
    axes: Any,
    scene: _Scene,
    output: tuple[int, int],
    left: float,
    corner: tuple[float, float],
) -> None:
    """Draws lines from both ends of the window's top row to the output pixel."""
    row, column = output
    start, base = corner
    reach = scene.dilation * (scene.kernel - 1) + 1
    top = scene.cells - row * scene.stride
    bottom = base + scene.out - 1 - row
    for low, high in ((0, 0), (reach, 1)):
        axes.plot(
            [left + column * scene.stride + low, start + column + high],
            [top, bottom],
            color=GREY,
            linewidth=0.8,
            zorder=4,
        )


def _input_colour(pixel: bool, read: bool) -> str | tuple[float, ...]:
    if read:
        return _mixed(ORANGE, 0.75 if pixel else 0.3)
    return _mixed(BLUE, 0.45) if pixel else "white"


def _mixed(colour: str, share: float) -> tuple[float, ...]:
    """Returns a colour thinned with white."""
    from matplotlib.colors import to_rgb

    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _cell(
    axes: Any, corner: tuple[float, float], *, face: Any, dashed: bool, marked: bool
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            corner,
            1,
            1,
            facecolor=face,
            edgecolor=GREY if dashed else INK,
            linestyle=(0, (3, 2)) if dashed else "-",
            linewidth=0.6 if dashed else 0.9,
            zorder=2 if marked else 1,
        )
    )
