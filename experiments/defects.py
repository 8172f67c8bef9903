"""Surface defects: what is wrong with a piece of steel, of a few hundred gray photos.

    python experiments/defects.py --data folder:PHOTOS
    python experiments/defects.py --data folder:PHOTOS \
        --transfer.weights torchvision:IMAGENET1K_V1
    jaxcnn evaluate runs/defects --report --bootstrap 200

The folder holds one folder a class, such as `scratches/17.bmp`, with or without
`train/`, `val/` and `test/` above them; without, a fifth is set apart as test. Pictures
of one piece that must not be parted: `--data.group "piece([0-9]+)"`.

The whole picture is shown, brought to 128 pixels, in gray: published weights of colour
photographs get a first convolution of one channel, the sum over their three. A surface
has neither up nor left, so both mirrors are right. Rare defects weigh as much as common
ones. Not yet run on real data; the test runs it on a generated folder.
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
        name="defects",
        model=ModelConfig("resnet18"),
        data=DataConfig(
            "folder:defects",
            validation=0.15,
            batch_size=32,
            eval_batch_size=64,
            image_size=128,
            mode="L",
            stretch=True,
            augment=(
                "random_flip",
                "random_vertical_flip",
                "random_affine(degrees=10, translate=0.05, scale=(0.9, 1.1))",
                "color_jitter(brightness=0.2, contrast=0.2, saturation=0)",
            ),
        ),
        optimizer=OptimizerConfig(
            "adamw", 1e-3, schedule="cosine", warmup_epochs=1, weight_decay=1e-2
        ),
        loss=LossConfig(class_weights="balanced"),
        label_smoothing=0.1,
        epochs=30,
    )


if __name__ == "__main__":
    main(get_config, description=__doc__)
