"""Pictures of what a trained model does: predictions, reconstructions."""

import numpy as np
from etils import epath

from jaxcnn.data import LazySource, Source
from jaxcnn.run import Run

_COUNT = 40


def draw_results(
    folder: epath.PathLike, run: Run, source: Source | LazySource
) -> str | None:
    """Draws what the model makes of the first examples and returns the file's name.

    A classifier leaves `predictions.png`, an autoencoder `reconstructions.png`.
    Sequences, volumes and images that are neither gray nor RGB are not drawn.
    """
    from jaxcnn import plotting

    if source.rank != 2 or source.image_shape[-1] not in (1, 3):
        return None

    folder = epath.Path(folder)
    if isinstance(source, LazySource):
        source = _few(source)
    if run.config.classifies:
        images, labels = source.images[:_COUNT], source.labels[:_COUNT]
        plotting.prediction_grid(
            folder / "predictions.png",
            images,
            labels,
            run.predict(images),
            class_names=run.class_names,
            columns=10,
            title=f"{run.config.model} on {source.name}, {source.split}",
        )
        return "predictions.png"
    images = source.images[:10]
    rows = {"input": images, "output": run.predict(images)}
    if "target" in source.extras:
        rows = {"clean": source.extras["target"][:10], "noisy": images} | {
            "denoised": rows["output"]
        }
    plotting.comparison_grid(folder / "reconstructions.png", rows)
    return "reconstructions.png"


def _few(source: LazySource) -> Source:
    """Returns the examples to draw, from all over a source that is sorted by class."""
    count = min(_COUNT, len(source))
    positions = np.linspace(0, len(source) - 1, count).astype(int)
    return source.subset(positions).in_memory()
