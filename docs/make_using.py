"""The picture of docs/using.md: what a report holds, put beside each other.

`python docs/make_using.py RUN/report.html` takes the pictures out of a page that
`jaxcnn evaluate RUN --html` wrote, of two classes with small images.
"""

import base64
import io
import re
import sys
from pathlib import Path

from PIL import Image

OUT = Path(__file__).parent / "images" / "report.png"
#: Diagrams of a page: learning curves, calibration, ROC and precision-recall.
DIAGRAMS = 3
WIDTH, GAP, SIDE = 1240, 8, 96


def pictures(page: str) -> list[Image.Image]:
    """Returns the pictures of a page in their order."""
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def scaled(image: Image.Image, height: int) -> Image.Image:
    """Returns a picture of this height."""
    width = round(image.width * height / image.height)
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def main() -> None:
    """Writes the picture."""
    found = pictures(Path(sys.argv[1]).read_text())
    _, calibration, curves = (scaled(image, 400) for image in found[:DIAGRAMS])
    examples = found[DIAGRAMS : DIAGRAMS + 12]
    sheet = Image.new("RGB", (WIDTH, 400 + GAP + SIDE), "white")
    sheet.paste(calibration, (0, 0))
    sheet.paste(curves, (calibration.width + 3 * GAP, 0))
    for k, image in enumerate(examples):
        tile = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(tile, (k * (SIDE + GAP), 400 + GAP))
    sheet.quantize(128).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
