"""A denoising autoencoder on MNIST: noise of deviation 0.5 in, clean digits out.

    python experiments/mnist_denoising.py            # plain: 19.4 dB on the test part
    python experiments/mnist_denoising.py deep       # more convolutions
    python experiments/mnist_denoising.py filters    # classic filters: 14.2 dB at best

Gaussian noise is added to pixels in [0, 1], which are then clipped to it: drawn anew at
every step of the training, fixed by the example's index on validation and test. The
measure is the mean peak signal-to-noise ratio in dB. Results: experiments/README.md.
"""

import sys

import numpy as np

from jaxcnn.data import Source, load_source, noisy
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)

NOISE = 0.5
RECIPES = ("plain", "deep")


def get_config(recipe: str = "plain") -> ExperimentConfig:
    """Returns the configuration of a recipe."""
    model = "denoising_autoencoder" + ("_deep" if recipe == "deep" else "")
    return ExperimentConfig(
        name=f"mnist_denoising_{recipe}",
        task="reconstruction",
        model=ModelConfig(model),
        data=DataConfig(
            "mnist", validation=5000, batch_size=128, standardize=False, noise=NOISE
        ),
        optimizer=OptimizerConfig("adam", 2e-3, schedule="cosine", warmup_epochs=0.5),
        epochs=3,
    )


def psnr(images: np.ndarray, clean: np.ndarray) -> float:
    """Returns the mean over images of the peak signal-to-noise ratio in dB."""
    errors = np.mean((images - clean) ** 2, axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(errors)))


def filters() -> dict[str, dict[str, float]]:
    """Returns the PSNR of classic filters: settings chosen on validation, then test."""
    from scipy import ndimage

    def each(function, settings):
        return {f"{function.__name__} {s}": (function, s) for s in settings}

    def box(x, size):
        return ndimage.uniform_filter(x, (0, size, size, 0), mode="nearest")

    def gaussian(x, sigma):
        return ndimage.gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest")

    def median(x, size):
        return ndimage.median_filter(x, (1, size, size, 1), mode="nearest")

    families = [
        each(box, (2, 3, 5)),
        each(gaussian, (0.5, 0.7, 0.9, 1.1, 1.4)),
        each(median, (2, 3, 5)),
    ]
    chosen = noisy(load_source("mnist", "validation", validation=5000), NOISE)
    test = noisy(load_source("mnist", "test"), NOISE)

    def score(source: Source, function, setting) -> float:
        return psnr(function(source.images, setting), source.extras["target"])

    found = {"noisy input": {"test": psnr(test.images, test.extras["target"])}}
    for family in families:
        name, best = max(family.items(), key=lambda item: score(chosen, *item[1]))
        found[name] = {"validation": score(chosen, *best), "test": score(test, *best)}
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["filters"]:
        for name, values in filters().items():
            print(name, {split: f"{value:.2f} dB" for split, value in values.items()})
    else:
        main(get_config, recipes=RECIPES, description=__doc__)
