"""A small Inception network on MNIST, by a course's recipe and by our own.

    python experiments/mnist_inception.py course --seed 0   # test accuracy 98.7 %
    python experiments/mnist_inception.py own --seed 0      # 99.2 %

Two Inception-A blocks, 97,298 parameters, 9 epochs on all 60,000 training images. The
settings of `own` are those of mnist_lenet, with nothing chosen anew. Results:
experiments/README.md.
"""

import dataclasses

import mnist_lenet

from jaxcnn.experiment import ExperimentConfig, ModelConfig, main

RECIPES = mnist_lenet.RECIPES


def get_config(recipe: str = "own") -> ExperimentConfig:
    """Returns the configuration of a recipe."""
    return dataclasses.replace(
        mnist_lenet.get_config(recipe),
        name=f"mnist_inception_{recipe}",
        model=ModelConfig("inception_small"),
    )


if __name__ == "__main__":
    main(get_config, recipes=RECIPES, description=__doc__)
