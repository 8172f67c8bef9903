"""ResNet-50 on ImageNet: the 90 epochs of Goyal et al. 2017, and a rehearsal.

    python experiments/imagenet_resnet50.py                    # imagenet2012 from TFDS
    python experiments/imagenet_resnet50.py --data folder:/path/to/imagenet
    python experiments/imagenet_resnet50.py cosine --data.batch-size 1024
    python experiments/imagenet_resnet50.py --fake             # made-up JPEGs, a CPU

Written for accelerators, not yet run on one: there is no accuracy to expect from these
lines yet. The paper reports a top-1 error of 23.60 % (sd 0.12, five runs of the median
of the last five epochs; section 5.1).

TFDS reads `imagenet2012` prepared as array_record (`TFDS_DATA_DIR`); a folder holds
`train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`. Worker processes decode the images, 8 of
them by default (`--data.workers`); docs/scaling.md says how many a machine needs. The
50,000 validation images are measured once, at the end, the last batch padded under a
mask. Training does not look at them; to follow a run, set apart training images:
`--data.validation 10000`.

From the paper (sections 2.1, 2.2, 5.1): batches of 256 at a rate of 0.1, both scaled
together; 5 epochs of warm-up; a tenth of the rate after 30, 60 and 80 epochs; Nesterov
momentum 0.9; weight decay 1e-4; random resized crops (8 to 100 % of the area, aspect
3/4 to 4/3) and flips; the last scale of every block starts at zero; the shorter side at
256 and its centre 224 in evaluation. `cosine` replaces the three drops by a cosine.

What differs: batch statistics are those of the global batch, the paper's are those of
32 images on each of its workers; the bias of the head does not decay (the paper spares
the coefficients of batch normalisation alone); the head starts as Flax does, not from
normal numbers of deviation 0.01; the warm-up begins near zero, the paper's at 0.1;
channel means come from 1,024 training images; arithmetic is bfloat16, and the result
that of the last state of one run. Label smoothing, which the paper has not, is
`--label-smoothing 0.1`.

`--fake` makes JPEGs of 400x300, trains some steps on small crops of them with the same
decoding, and prints images/s of the input alone and of the whole step. It does not use
`tfds.testing.mock_data`: that puts arrays, not encoded images, in the place of the
records, and in this process alone, so that neither the decoding nor the workers would
be part of the rehearsal.
"""

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import jaxcnn
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    build,
    main,
)
from jaxcnn.experiment.flags import parse_config
from jaxcnn.train import Hook

RECIPES = ("paper", "cosine")


def get_config(recipe: str = "paper") -> ExperimentConfig:
    """Returns the configuration of a recipe."""
    drops = {"boundaries": ["30 epochs", "60 epochs", "80 epochs"]}
    return ExperimentConfig(
        name=f"imagenet_resnet50_{recipe}",
        model=ModelConfig("resnet50"),
        data=DataConfig(
            "imagenet2012",
            test_split="validation",
            validation=0,
            batch_size=256,
            eval_batch_size=256,
            decode="lazy",
            image_size=224,
            resize=256,
            workers=8,
        ),
        optimizer=OptimizerConfig(
            "nesterov",
            0.1,
            base_batch_size=256,
            schedule="multistep" if recipe == "paper" else "cosine",
            schedule_options=drops if recipe == "paper" else {},
            warmup_epochs=5,
            weight_decay=1e-4,
        ),
        epochs=90,
        precision="bfloat16",
        parallel="mesh",
    )


def fake_config(folder: str) -> ExperimentConfig:
    """Returns the same configuration for a few steps on a folder of made-up images."""
    config = get_config("cosine")
    return dataclasses.replace(
        config,
        name="imagenet_resnet50_fake",
        data=dataclasses.replace(
            config.data,
            name=f"folder:{folder}",
            batch_size=8,
            eval_batch_size=8,
            image_size=64,
            resize=None,
            workers=min(2, os.cpu_count() or 1),
        ),
        steps=6,
        # In which a CPU is slow.
        precision="float32",
    )


def make_images(folder: Path, classes: int = 4, train: int = 16, val: int = 5) -> None:
    """Writes JPEGs of 400x300: coarse random colours and noise, about 50 kB each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
                smooth = Image.fromarray(coarse).resize((400, 300))
                noisy = np.asarray(smooth) + rng.normal(0, 8, (300, 400, 3))
                pixels = np.clip(noisy, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.jpg", quality=90)


class Clock(Hook):
    """Notes when the first step, which is compiled, was done, and when the last."""

    def on_step(self, loop: jaxcnn.train.Loop) -> None:
        """Starts the clock after the first step of this start."""
        if loop.step == 1:
            jax.block_until_ready(loop.state.params)
            self.start = time.perf_counter()

    def on_end(self, loop: jaxcnn.train.Loop) -> None:
        """Stops the clock when the last step is done."""
        jax.block_until_ready(loop.state.params)
        self.seconds = time.perf_counter() - self.start


def input_speed(config: ExperimentConfig, batches: int) -> float:
    """Returns images/s of the input alone, once its workers are there."""
    experiment = build(config)
    # What was made before the clock starts: a few batches of every worker.
    ahead = 1 + 3 * config.data.workers
    try:
        for k in range(ahead):
            experiment.train[k]
        start = time.perf_counter()
        for k in range(ahead, ahead + batches):
            experiment.train[k]
        return batches * config.data.batch_size / (time.perf_counter() - start)
    finally:
        experiment.close()


def rehearse(flags: list[str]) -> dict[str, float]:
    """Trains and evaluates on made-up images and prints how fast that was."""
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder))
        prog = "python experiments/imagenet_resnet50.py --fake"
        config = parse_config(fake_config(folder), flags, prog=prog)
        steps, size = max(config.steps, 2), config.data.batch_size
        speed = {"input": input_speed(config, batches=max(steps, 10))}
        experiment, clock = build(config), Clock()
        try:
            state = jaxcnn.fit(
                experiment.init_state(),
                experiment.step,
                experiment.train,
                num_steps=steps,
                hooks=[clock],
            )
            metrics = jaxcnn.evaluate(experiment.eval_step, state, experiment.test)
        finally:
            experiment.close()
        speed["step"] = (steps - 1) * size / clock.seconds
        devices = f"{experiment.step.devices} {jax.default_backend()} device(s)"
        print(
            f"input alone: {speed['input']:.1f} images/s, {config.data.workers} workers"
        )
        print(f"whole step:  {speed['step']:.1f} images/s on {devices}")
        count = len(experiment.test.source)
        print(f"evaluated {count} images: loss {metrics['loss']:.3f}")
        return speed


if __name__ == "__main__":
    if "--fake" in sys.argv[1:]:
        rehearse([flag for flag in sys.argv[1:] if flag != "--fake"])
    else:
        main(get_config, recipes=RECIPES, description=__doc__)
