"""Pictures of what a trained model does: predictions, reconstructions."""

import numpy as np
from etils import epath

from jaxcnn.data import Source
from jaxcnn.run import Run

_COUNT = 40


def draw_results(folder: epath.PathLike, run: Run, source: Source) -> str:
    """Draws what the model makes of the first examples and returns the file's name.

    A classifier leaves `predictions.png`, an autoencoder `reconstructions.png`.
    """
    from jaxcnn import plotting

    folder = epath.Path(folder)
    if run.config.task == "classification":
        images = source.images[:_COUNT]
        probabilities = run.predict(images)
        name = "predictions.png"
        _draw_predictions(plotting, folder / name, run, source, images, probabilities)
        return name
    images = source.images[:10]
    rows = {"input": images, "output": run.predict(images)}
    if "target" in source.extras:
        rows = {"clean": source.extras["target"][:10], "noisy": images} | {
            "denoised": rows["output"]
        }
    plotting.comparison_grid(folder / "reconstructions.png", rows)
    return "reconstructions.png"


def _draw_predictions(plotting, path, run, source, images, probabilities) -> None:
    names, labels = run.class_names, source.labels[: len(images)]
    predicted = np.argmax(probabilities, axis=1)
    titles = []
    for guess, label, row in zip(predicted, labels, probabilities, strict=True):
        title = f"{names[guess]}  {100 * row[guess]:.0f} %"
        titles.append(title if guess == label else f"{title}, is {names[label]}")
    share = np.mean(predicted == labels)
    plotting.image_grid(
        path,
        images,
        titles=titles,
        correct=predicted == labels,
        columns=10,
        title=f"{source.name}, {source.split}: the first {len(images)} images, "
        f"{100 * share:.0f} % right",
    )
