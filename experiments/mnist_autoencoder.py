"""Autoencoders on MNIST through 32 numbers: dense, transposed and upsampling.

    python experiments/mnist_autoencoder.py mlp          # test MSE 0.0061
    python experiments/mnist_autoencoder.py transposed   # 0.0057
    python experiments/mnist_autoencoder.py upsample     # 0.0056
    python experiments/mnist_autoencoder.py pca          # 0.0168, what all have to beat

Trained for 5 epochs on 55,000 images with the same recipe; 5,000 choose the best
checkpoint. The measure is the squared error a pixel in [0, 1] on the test images. PCA
with 32 components, fitted to the same training images, leaves about 0.017. Results:
experiments/README.md.
"""

import sys

import numpy as np

from jaxcnn.data import load_source
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)

MODELS = {
    "mlp": "mlp_autoencoder",
    "transposed": "conv_autoencoder",
    "upsample": "conv_autoencoder_upsample",
}
RECIPES = tuple(MODELS)


def get_config(recipe: str = "mlp") -> ExperimentConfig:
    """Returns the configuration of one of the three."""
    return ExperimentConfig(
        name=f"mnist_autoencoder_{recipe}",
        task="reconstruction",
        model=ModelConfig(MODELS[recipe], args={"latent": 32}),
        data=DataConfig("mnist", validation=5000, batch_size=128, standardize=False),
        optimizer=OptimizerConfig("adam", 2e-3, schedule="cosine", warmup_epochs=0.5),
        epochs=5,
    )


def pca_error(components: int = 32) -> float:
    """Returns the test error of the best linear autoencoder."""
    train = load_source("mnist", "train", validation=5000)
    test = load_source("mnist", "test")
    x, y = (s.images.reshape(len(s), -1) / 255 for s in (train, test))
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    basis = vectors[:, -components:]
    return float(np.mean(((y - mean) @ basis @ basis.T + mean - y) ** 2))


if __name__ == "__main__":
    if sys.argv[1:] == ["pca"]:
        print(f"PCA, 32 components: test loss {pca_error():.5f}")
    else:
        main(get_config, recipes=RECIPES, description=__doc__)
