"""Diabetic retinopathy: photographs of the retina in five grades, 0 (none) to 4.

    python experiments/retinopathy.py --data folder:PHOTOS \
        --transfer.weights torchvision:IMAGENET1K_V1
    jaxcnn evaluate runs/retinopathy --report --ordered

The folder holds one folder a grade, whose names in order are the grades in order (`0`
to `4`), with or without `train/`, `val/` and `test/` above them. Both eyes of a patient
on one side: `--data.group "([0-9]+)_(?:left|right)"`.

The grades are ordered: to call a 4 a 3 is a smaller mistake than to call it a 0. What
is reported, and chooses the best checkpoint, is therefore the quadratic weighted kappa.
Most photographs are of grade 0, so the loss weighs the grades alike. The mirror image
of a right eye is a left eye, and the camera may be turned: both mirrors and turns. With
`--data.disk-cache --data.cache-size 256` each is decoded once only. Not yet run on real
data; the test runs it on a generated folder.
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
        name="retinopathy",
        model=ModelConfig("resnet18"),
        data=DataConfig(
            "folder:retinopathy",
            validation=0.15,
            batch_size=32,
            eval_batch_size=64,
            image_size=224,
            decode="lazy",  # the photographs have millions of pixels
            crop_area=(0.6, 1.0),
            crop_aspect=(0.9, 1.1),
            augment=(
                "random_vertical_flip",
                "random_affine(degrees=180)",
                "color_jitter(brightness=0.2, contrast=0.2, saturation=0.1)",
            ),
            workers=2,
        ),
        optimizer=OptimizerConfig(
            "adamw", 3e-4, schedule="cosine", warmup_epochs=1, weight_decay=1e-2
        ),
        loss=LossConfig(class_weights="balanced"),
        best_metric="quadratic_kappa",
        epochs=20,
    )


if __name__ == "__main__":
    main(get_config, description=__doc__)
