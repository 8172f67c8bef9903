"""MNIST to 99 % in as few seconds as possible, on one device, over many seeds.

    python experiments/mnist_speedrun.py --seeds 20        # for a GPU: under a second
    python experiments/mnist_speedrun.py cpu --seeds 3     # for two CPU cores

On an accelerator a run is one program, as in `cifar10_speedrun.py`. The clock is the
same: from the draw of the parameters to the test accuracy on the host, compilation
apart. Written for a GPU and not yet run on one. All 60,000 training images are used and
the last state counts: nothing is selected.

Whose the ideas are: one cycle of the rate, Smith and Topin 2018,
https://arxiv.org/abs/1708.07120; label smoothing, Szegedy et al. 2016,
https://arxiv.org/abs/1512.00567; norms without scales after pools, as in airbench,
Jordan 2024, https://arxiv.org/abs/2404.00498.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn.augment import random_shift
from jaxcnn.data import load_source
from jaxcnn.experiment.speedrun import Speedrun, main
from jaxcnn.train import classification, init_state, make_train_step

#: Of all pixels of the training images.
MEAN, STD = 0.1307, 0.3081


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of a run."""

    epochs: float = 3.0
    batch_size: int = 500
    widths: tuple[int, ...] = (16, 32, 64)
    rate: float = 0.01
    shift: int = 1
    label_smoothing: float = 0.1
    dtype: Any = jnp.bfloat16


RECIPES = {
    "gpu": Recipe(),
    "cpu": Recipe(epochs=2.0, batch_size=250, widths=(8, 16, 32), dtype=None),
}


class DigitNet(nn.Module):
    """Convolution, pool, norm, three times, for 28x28 digits.

    Attributes:
        widths: Channels of the three convolutions.
        dtype: Type of the computation; norms compute in float32.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Returns logits `[batch, 10]` of images `[batch, 28, 28, 1]`."""
        for k, width in enumerate(self.widths):
            conv = nn.Conv(
                width, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv{k}"
            )
            norm = nn.BatchNorm(
                not train,
                momentum=0.8,
                use_scale=False,
                dtype=jnp.float32,
                name=f"norm{k}",
            )
            # The norm and the activation see a quarter of the positions.
            x = nn.relu(norm(nn.max_pool(conv(x), (2, 2), (2, 2))))
        head = nn.Dense(10, dtype=self.dtype, name="head")
        return head(x.reshape(len(x), -1)).astype(jnp.float32)


def normalize(images: jax.Array) -> jax.Array:
    """Returns images in [0, 1] with mean 0 and deviation 1 over the training set."""
    return (images - MEAN) / STD


def make_run(recipe: Recipe, count: int, eval_batch_size: int = 1000) -> Speedrun:
    """Returns the run of a recipe on `count` training examples."""
    steps = math.ceil(recipe.epochs * (count // recipe.batch_size))
    model = DigitNet(recipe.widths, recipe.dtype)
    tx = optax.adam(optax.cosine_onecycle_schedule(steps, recipe.rate), b1=0.8)
    task = classification(label_smoothing=recipe.label_smoothing)
    augment = random_shift(recipe.shift) if recipe.shift else None
    step = make_train_step(model, tx, task, augment=augment, preprocess=normalize)

    def begin(key: Any, examples: Any) -> Any:
        return init_state(model, tx, key, examples["image"][:1])

    def predict(state: Any, images: jax.Array) -> jax.Array:
        images = normalize(images.astype(jnp.float32) / 255)
        return model.apply(state.variables, images)

    return Speedrun(
        begin, step, predict, steps, recipe.batch_size, eval_batch_size, numbered=False
    )


def load(data_dir: str | None) -> list[dict[str, Any]]:
    """Returns the training and the test part, as stored."""
    parts = [
        load_source("mnist", split, data_dir=data_dir) for split in ("train", "test")
    ]
    return [{"image": part.images, "label": part.labels} for part in parts]


if __name__ == "__main__":
    main(__doc__, RECIPES, make_run, load)
