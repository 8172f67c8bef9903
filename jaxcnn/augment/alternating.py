"""Alternating flip: what one epoch shows mirrored, the next shows as it is."""

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import Augment, check_images
from jaxcnn.augment.draws import check_range
from jaxcnn.augment.matrices import scaling
from jaxcnn.augment.warps import Warp, warped
from jaxcnn.typing import Batch


def alternating_flip(seed: int = 0) -> Augment:
    """Returns an augmentation that mirrors an image left to right in every other epoch.

    A coin, thrown once for every example, says in which. So any two epochs in a row
    show both sides of every image; independent coins would show half of the images the
    same way twice, and four epochs in a row would show an eighth one way only.

    The flip depends on `(seed, epoch, index)` alone, not on the key of the step: the
    batch has to hold `"epoch"` and `"index"`, integers `[batch]`, as those of
    `TrainData(..., numbered=True)` do. A configuration sees to it.

    Args:
        seed: Of the coins; a configuration fills in its own.

    Raises:
        ValueError: if `seed` is negative; while tracing, if the batch holds no numbers.

    References:
        Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6,
        https://arxiv.org/abs/2404.00498.
    """
    check_range("seed", seed, 0, 2**32 - 1)

    def augment(key, batch):
        images, flips = check_images(batch["image"]), flipped(seed, batch)

        def mirrored(x):
            return jnp.where(flips[:, None, None, None], x[:, :, ::-1], x)

        sign = jnp.where(flips, -1.0, 1.0)
        warp = Warp(scaling(sign, jnp.ones_like(sign)))
        return warped({**batch, "image": images}, [warp], mirrored)

    return augment


def flipped(seed: int, batch: Batch) -> jax.Array:
    """Returns which examples are mirrored, `[batch]`.

    Raises:
        ValueError: if the batch has no `"epoch"` and `"index"`.
    """
    missing = [name for name in ("epoch", "index") if name not in batch]
    if missing:
        raise ValueError(
            f"alternating_flip needs {' and '.join(map(repr, missing))} in the batch "
            f"beside {sorted(batch)}: make it by TrainData(..., numbered=True)."
        )
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), batch["index"])
    first = jax.vmap(jax.random.bernoulli)(keys)
    return first ^ (batch["epoch"] % 2 == 1)
