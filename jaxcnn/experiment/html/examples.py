"""The examples that a report shows: the most wrong and the least certain."""

import dataclasses
import io
import os

import numpy as np

from jaxcnn.data import LazySource, Source
from jaxcnn.data.samples import as_bytes
from jaxcnn.experiment.html import page

#: Pixels of the longer side of a shown image.
_SIDE = 160


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a report shows of one example.

    Attributes:
        name: Its file, or its place in the data.
        true: Its class.
        predicted: The class that was predicted.
        probability: Of the predicted class.
        of_true: The probability of the true class.
    """

    name: str
    true: str
    predicted: str
    probability: float
    of_true: float


def most_wrong(
    probabilities: np.ndarray, labels: np.ndarray, predicted: np.ndarray, count: int
) -> np.ndarray:
    """Returns the rows that are predicted wrongly, the least probable truth first.

    Args:
        probabilities: `[n, classes]`.
        labels: `[n]`.
        predicted: `[n]`.
        count: At most so many.
    """
    wrong = np.flatnonzero(predicted != labels)
    order = np.argsort(probabilities[wrong, labels[wrong]], kind="stable")
    return wrong[order][:count]


def least_certain(
    probabilities: np.ndarray, threshold: float | None, count: int
) -> np.ndarray:
    """Returns the rows of the closest decisions, the closest first.

    That is the smallest difference of the two most probable classes, or of class 1 to
    its threshold.

    Args:
        probabilities: `[n, classes]`.
        threshold: Of class 1, or None where the most probable class is predicted.
        count: At most so many.
    """
    if threshold is not None:
        margins = np.abs(probabilities[:, 1] - threshold)
    else:
        two = np.sort(probabilities, axis=1)[:, -2:]
        margins = two[:, 1] - two[:, 0]
    return np.argsort(margins, kind="stable")[:count]


def gallery(source: Source | LazySource, positions: np.ndarray, shown: list) -> str:
    """Returns the examples as HTML: pictures with their classes, else a table.

    Args:
        source: The data.
        positions: Where the examples stand in them.
        shown: What to say of each.
    """
    if source.rank != 2:
        rows = [
            [s.name, s.true, s.predicted, f"{100 * s.probability:.1f} %"] for s in shown
        ]
        return page.table(["example", "true class", "predicted", "probability"], rows)
    images = source.batch(np.asarray(positions))["image"]
    figures = "".join(
        _figure(pixels, entry) for pixels, entry in zip(images, shown, strict=True)
    )
    return f'<div class="examples">{figures}</div>'


def _figure(pixels: np.ndarray, shown: Shown) -> str:
    said = f"{shown.predicted} {100 * shown.probability:.1f} %"
    alt = f"{shown.name}: is {shown.true}, predicted {said}"
    content, kind = encoded(pixels)
    truth = f"is {page.text(shown.true)}"
    if shown.true != shown.predicted:
        truth += f" ({100 * shown.of_true:.1f} %)"
    return (
        f"<figure>{page.image(content, alt, kind=kind)}<figcaption>"
        f"<b>{page.text(said)}</b><br>{truth}<br>{page.text(shown.name)}</figcaption>"
        "</figure>"
    )


def encoded(pixels: np.ndarray) -> tuple[bytes, str]:
    """Returns an image as a small PNG, or as a JPEG where it is large, and which.

    Args:
        pixels: `[height, width, channels]`; of many channels the first three are shown.
    """
    from PIL import Image

    image = Image.fromarray(as_bytes(np.asarray(pixels)))
    large = max(image.size) > _SIDE
    if large:
        image.thumbnail((_SIDE, _SIDE))
    kind = "jpeg" if image.width * image.height > 64 * 64 else "png"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 85} if kind == "jpeg" else {}))
    return buffer.getvalue(), kind


def name_of(source: Source | LazySource, position: int) -> str:
    """Returns the file of an example, relative to the data's folder, or its number."""
    if not isinstance(source, LazySource):
        return f"example {position}"
    name = source.records.name(int(source.indices[position])).strip("'")
    root = source.name.partition(":")[2]
    if root and name.startswith(root.rstrip(os.sep) + os.sep):
        return os.path.relpath(name, root)
    return name
