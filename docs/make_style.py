"""Makes the pictures of docs/style_transfer.md.

    python docs/make_style.py PART PHOTOS WEIGHTS

PHOTOS is a folder with chelsea.png, astronaut.png, coffee.png and
starry_night_google.jpg, WEIGHTS is squeezenet1_0-imagenet.npz. PART is `results`,
`weights`, `options`, `dreams` or `all`; each writes docs/images/style_PART.jpg, and
`results` the loss curves too.
"""

import argparse
import dataclasses
import functools
from pathlib import Path

import numpy as np

from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.data.samples import as_bytes
from jaxcnn.interpret import StyleOptions, deepdream, style_transfer
from jaxcnn.interpret.style_progress import StyleProgress
from jaxcnn.plotting import style_curves
from jaxcnn.plotting.style import INK
from jaxcnn.transfer.load import load

IMAGES = Path(__file__).parent / "images"
STYLE = "starry_night_google.jpg"
SMALL = StyleOptions(sizes=(96, 192), steps=(50, 40))
NETWORK = "squeezenet1_0"

Picture = np.ndarray


class Studio:
    """The photographs, and what is done with them."""

    def __init__(self, photos: Path, weights: Path) -> None:
        self.photos, self.weights = photos, weights

    def photo(self, name: str) -> Picture:
        """Returns a photograph, uint8 `[height, width, 3]`."""
        from PIL import Image

        with Image.open(self.photos / name) as image:
            return np.asarray(image.convert("RGB"))

    @functools.cache  # noqa: B019
    def network(self, pool: str) -> tuple:
        """Returns the model, its variables and its preprocessing without a size."""
        loaded = load(NETWORK, self.weights, pool=pool)
        config = dataclasses.replace(loaded.config.preprocess, size=None)
        return loaded.model, loaded.variables, make_preprocess(config)

    def styled(self, name: str, options: StyleOptions, pool: str = "average"):
        """Returns what `style_transfer` makes of a photograph."""
        model, variables, preprocess = self.network(pool)
        with StyleProgress() as progress:
            return style_transfer(
                model,
                variables,
                self.photo(name),
                self.photo(STYLE),
                preprocess=preprocess,
                options=options,
                on_step=progress,
            )


def results(studio: Studio) -> None:
    """The painting, three photographs and what becomes of them; the loss curves."""
    names = ("chelsea.png", "astronaut.png", "coffee.png")
    made = [studio.styled(name, StyleOptions()) for name in names]
    above = [thumbnail(studio.photo(name), 150) for name in names]
    rows = [[thumbnail(studio.photo(STYLE), 150), *above]]
    rows.append([result.image for result in made])
    write_rows("results", rows, [["style", "content", "content", "content"], [""] * 3])
    title = "The cat"
    file = IMAGES / "style_curves.png"
    style_curves(file, made[0].losses, made[0].sizes, title=title)


def weights(studio: Studio) -> None:
    """One photograph with three weights of the style."""
    values = (1.0, 10.0, 100.0)
    pictures = [
        studio.styled("chelsea.png", dataclasses.replace(SMALL, style_weight=value))
        for value in values
    ]
    titles = [f"style_weight={value:g}" for value in values]
    write_rows("weights", [[result.image for result in pictures]], [titles])


def options(studio: Studio) -> None:
    """One photograph with one option changed at a time."""
    changes = {
        "max pooling": {},
        'colours="content"': {"colours": "content"},
        'start="noise"': {"start": "noise"},
        "style up to fire3": {"style_layers": ("conv1", "fire2", "fire3")},
        "style_scale=2": {"style_scale": 2.0},
        "tv_weight=10": {"tv_weight": 10.0},
    }
    titles, pictures = list(changes), []
    for title, change in changes.items():
        pool = "max" if title == "max pooling" else "average"
        chosen = dataclasses.replace(SMALL, **change)
        pictures.append(studio.styled("chelsea.png", chosen, pool).image)
    write_rows("options", [pictures[:3], pictures[3:]], [titles[:3], titles[3:]])


def dreams(studio: Studio) -> None:
    """What three layers see in two photographs."""
    model, variables, preprocess = studio.network("max")
    layers = ("fire4", "fire6", "fire8")
    rows = []
    for name in ("coffee.png", "astronaut.png"):
        photo = thumbnail(studio.photo(name), 320)[None]
        rows.append(
            [
                np.asarray(
                    deepdream(
                        model, variables, photo, layer, preprocess=preprocess, steps=20
                    )[0]
                )
                for layer in layers
            ]
        )
    write_rows("dreams", rows, [list(layers), [""] * 3])


def thumbnail(picture: Picture, longer: int) -> Picture:
    """Returns a picture with its longer side as asked for."""
    from PIL import Image

    image = Image.fromarray(as_bytes(picture))
    image.thumbnail((longer, longer), Image.Resampling.LANCZOS)
    return np.asarray(image)


def write_rows(part: str, rows: list[list[Picture]], titles: list[list[str]]) -> None:
    """Writes rows of pictures pixel by pixel, with a title above each."""
    from PIL import Image, ImageDraw, ImageFont

    gap = 8
    font = ImageFont.load_default(14)
    heights = [max(p.shape[0] for p in row) for row in rows]
    tops = [24 if any(texts) else gap for texts in titles]
    width = max(sum(p.shape[1] + gap for p in row) - gap for row in rows)
    sheet = Image.new("RGB", (width, sum(heights) + sum(tops)), "white")
    draw, y = ImageDraw.Draw(sheet), 0
    for row, texts, height, top in zip(rows, titles, heights, tops, strict=True):
        x, y = 0, y + top
        for picture, text in zip(row, texts, strict=True):
            sheet.paste(Image.fromarray(as_bytes(picture)), (x, y))
            draw.text((x + 2, y - 20), text, fill=INK, font=font)
            x += picture.shape[1] + gap
        y += height
    sheet.save(IMAGES / f"style_{part}.jpg", quality=85, optimize=True)


PARTS = (results, weights, options, dreams)


def main() -> None:
    """Makes the pictures that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {part.__name__: part for part in PARTS}
    parser.add_argument("part", choices=(*parts, "all"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    args = parser.parse_args()
    studio = Studio(args.photos, args.weights)
    for name, part in parts.items():
        if args.part in (name, "all"):
            part(studio)


if __name__ == "__main__":
    main()
