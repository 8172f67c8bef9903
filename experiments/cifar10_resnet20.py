"""ResNet-20 on CIFAR-10: the recipe of He et al. 2016, and a short one for a CPU.

    python experiments/cifar10_resnet20.py           # 200 epochs, for a GPU or TPU
    python experiments/cifar10_resnet20.py short     # 4 epochs on two CPU cores: 81.5 %

The full recipe is written for an accelerator and not yet run on one; the paper reports
91.25 % (section 4.2, table 6). Results of what was run: experiments/README.md.
"""

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)

RECIPES = ("full", "short")


def get_config(recipe: str = "full") -> ExperimentConfig:
    """Returns the configuration of a recipe."""
    short = recipe == "short"
    return ExperimentConfig(
        name=f"cifar10_resnet20_{recipe}",
        model=ModelConfig("resnet20_cifar"),
        data=DataConfig(
            "cifar10",
            validation=0,
            batch_size=128,
            augment=("pad_crop(padding=4)", "random_flip"),
        ),
        optimizer=OptimizerConfig(
            "nesterov",
            0.2 if short else 0.1,
            schedule="one_cycle" if short else "cosine",
            warmup_epochs=0 if short else 1,
            weight_decay=5e-4 if short else 1e-4,
        ),
        epochs=4 if short else 200,
    )


if __name__ == "__main__":
    main(get_config, recipes=RECIPES, description=__doc__)
