"""Draws the pictures of docs/arithmetic.md: `python docs/draw_arithmetic.py`."""

from pathlib import Path

from jaxcnn.plotting import draw_convolution

#: What each picture shows, as `draw_convolution` takes it.
PICTURES = {
    "arithmetic_plain": {"size": 4, "kernel": 3},
    "arithmetic_padding": {"size": 5, "kernel": 3, "padding": 1},
    "arithmetic_stride": {"size": 5, "kernel": 3, "stride": 2, "padding": 1},
    "arithmetic_dilation": {"size": 7, "kernel": 3, "dilation": 2},
    "arithmetic_transposed": {
        "size": 3,
        "kernel": 3,
        "stride": 2,
        "padding": 1,
        "output_padding": 1,
        "transposed": True,
    },
}


def main() -> None:
    """Writes every picture into docs/images."""
    for name, arguments in PICTURES.items():
        path = Path(__file__).parent / "images" / f"{name}.png"
        draw_convolution(path, **arguments)


if __name__ == "__main__":
    main()
