"""A capsule network on MNIST, and on pairs of overlapping digits.

    python experiments/mnist_capsnet.py small    # test accuracy 97.97 %
    python experiments/mnist_capsnet.py paper    # the paper's net, for an accelerator
    python experiments/mnist_capsnet.py pairs    # pairs: 35.8 %; or pairs 2000, steps

MNIST is read from TFDS (`TFDS_DATA_DIR`). Margin loss, three routings, reconstruction
weighed by 0.0005, Adam, and shifts of up to two pixels as in the paper. `small` has a
quarter of the channels (64 in the stem, 8 primary capsules at every position; 2,117,072
parameters) and sees 400 batches of 64: 25,600 images of the 55,000 that 5,000
validation images leave. A run leaves `capsules.png`: what each of the 16 numbers of a
digit's capsule draws when it changes.

`pairs` trains the small net for 200 batches of 64 pairs of digits of different classes,
each moved by up to four pixels in an image of 36x36, made of the 55,000; a pair counts
as right when its two classes are the two longest capsules. It is tested once, on 2,000
pairs of test digits. Results: experiments/README.md.
"""

import dataclasses
import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn

import jaxcnn
from jaxcnn import plotting
from jaxcnn.data import EvalData, OverlappingPairs, Source, load_source
from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)
from jaxcnn.models import perturb_capsules
from jaxcnn.optim import make_optimizer, make_schedule
from jaxcnn.train import Progress, TrainLog, capsules

RECIPES = ("small", "paper")
SMALL = {"features": 64, "primary_capsules": 8}
PAIR_STEPS = 200


def get_config(recipe: str = "small") -> ExperimentConfig:
    """Returns the configuration of a recipe."""
    config = ExperimentConfig(
        name=f"mnist_capsnet_{recipe}",
        task="capsules",
        model=ModelConfig("capsnet", args=SMALL),
        data=DataConfig(
            "mnist",
            validation=5000,
            batch_size=64,
            eval_batch_size=250,
            standardize=False,
            augment=("random_shift(max_pixels=2)",),
        ),
        optimizer=OptimizerConfig("adam", 2e-3, schedule="cosine"),
        steps=400,
        eval_every=400,
        save_every=100,
        log_every=20,
    )
    if recipe == "paper":
        # Adam's default rate; the paper names no batch size and no number of epochs.
        return dataclasses.replace(
            config,
            model=ModelConfig("capsnet"),
            data=dataclasses.replace(config.data, batch_size=128),
            optimizer=OptimizerConfig("adam", 1e-3, schedule="cosine"),
            steps=None,
            epochs=50,
            eval_every=None,
            save_every=None,
        )
    return config


def draw_capsules(folder: str) -> None:
    """Draws what every number of a test digit's capsule stands for."""
    run = jaxcnn.load_run(folder)
    test = load_source("mnist", "test[:10]")
    chosen, labels = test.images[:1] / np.float32(255), test.labels[:1]
    images = perturb_capsules(run.model, run.variables, chosen, labels)
    rows = {f"{k + 1}": row for k, row in enumerate(np.asarray(images[0]))}
    changes = [f"{-0.25 + 0.05 * k:+.2f}" for k in range(11)]
    plotting.comparison_grid(
        epath.Path(folder) / "capsules.png",
        rows,
        notes={"1": changes},
        title=f"The capsule of a {labels[0]}",
        subtitle="Each row changes one of the 16 numbers.",
    )


def train_pairs(
    folder: str = "runs/mnist_capsnet_pairs", steps: int = PAIR_STEPS
) -> None:
    """Trains on overlapping digits, tests once, and draws what was found."""
    train = OverlappingPairs(load_source("mnist", "train", validation=5000))
    test = OverlappingPairs(load_source("mnist", "test"), seed=1).to_source(2000)
    model, task = jaxcnn.create_model("capsnet", **SMALL), capsules()
    tx = make_optimizer("adam", make_schedule("cosine", 2e-3, steps))
    images = jnp.zeros((1, *test.image_shape))
    state = jaxcnn.init_state(model, tx, jax.random.key(0), images)
    start = time.monotonic()
    step = jaxcnn.parallelize(jaxcnn.make_train_step(model, tx, task))
    state = jaxcnn.fit(
        state, step, train, num_steps=steps, hooks=[TrainLog(10), Progress()]
    )
    seconds = time.monotonic() - start
    eval_step = jaxcnn.parallelize(jaxcnn.make_eval_step(model, task))
    metrics = jaxcnn.evaluate(eval_step, state, EvalData(test, 125))
    print(f"{steps} steps, {seconds:.0f} s; {len(test)} test pairs: {metrics}")
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"steps": steps, "seconds": seconds, "test": metrics}
    (folder / "results.json").write_text(json.dumps(results, indent=2))
    draw_pairs(folder / "pairs.png", model, state.variables, test.subset(slice(10)))


def draw_pairs(
    path: epath.Path, model: nn.Module, variables: Any, pairs: Source
) -> None:
    """Draws pairs, what they are made of, and what the two longest capsules draw."""
    images = jnp.asarray(pairs.images / np.float32(255))
    longest = jax.lax.top_k(model.apply(variables, images), 2)[1].sort(axis=1)
    drawn = model.apply(variables, images, longest)["reconstruction"]
    order = np.argsort(pairs.extras["label"], axis=1)
    labels = np.take_along_axis(pairs.extras["label"], order, axis=1)
    wholes = pairs.extras["target"][np.arange(len(images))[:, None], order]
    rows, notes = {"pair": images}, {}
    for k, name in enumerate(("lower", "higher")):
        rows |= {f"{name} class": wholes[:, k] / np.float32(255)}
        rows |= {f"{name} found": drawn[:, k]}
        notes |= {f"{name} class": [str(n) for n in labels[:, k]]}
        notes |= {f"{name} found": [str(n) for n in longest[:, k]]}
    plotting.comparison_grid(path, rows, notes=notes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["pairs"]:
        train_pairs(steps=int(sys.argv[2]) if sys.argv[2:] else PAIR_STEPS)
    else:
        main(get_config, recipes=RECIPES, description=__doc__, after=draw_capsules)
