"""A small net on chest X-rays: pneumonia or normal, unbalanced, 28x28 gray.

    python experiments/pneumonia.py --data npz:pneumoniamnist.npz --seed 0
    jaxcnn evaluate runs/pneumonia --report --bootstrap 200

The file is PneumoniaMNIST's (MedMNIST, 28x28): train 4,708 images, of which 3,494 of
pneumonia, and test 624. A tenth of the training part is set apart for validation; the
file's own validation part is not used (8 of its images are also in the training part).
The loss weighs the classes alike, and the checkpoint with the best validation accuracy
is tested. Other data of two classes in folders: `--data folder:PATH --data.image-size
28`. From trained weights: `--model resnet20_cifar --model.args '{}' --transfer.weights
resnet20.th --transfer.strategy fine_tune`. Expected: see experiments/README.md.
"""

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)


def get_config() -> ExperimentConfig:
    """Returns the configuration."""
    return ExperimentConfig(
        name="pneumonia",
        model=ModelConfig("cnn", args={"features": [8, 16, 32], "norm": "batch"}),
        data=DataConfig(
            "npz:pneumoniamnist.npz",
            validation=0.1,
            batch_size=64,
            augment=("random_shift(max_pixels=2)",),
        ),
        optimizer=OptimizerConfig("adam", 3e-3, schedule="cosine"),
        loss=LossConfig(class_weights="balanced"),
        epochs=8,
    )


if __name__ == "__main__":
    main(get_config, description=__doc__)
