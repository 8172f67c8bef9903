"""Augmentations that mix two examples and their labels: mixup, CutMix, either."""

import math
import numbers

import jax
import jax.numpy as jnp

from jaxcnn.augment.batch import Augment, check_floats, check_images, example_keys
from jaxcnn.labels import are_classes, check_integers
from jaxcnn.typing import Array, Batch


def mixup(
    alpha: float = 0.2,
    *,
    num_classes: int,
    probability: float = 1.0,
    per_example: bool = False,
    permute: bool = False,
) -> Augment:
    r"""Returns an augmentation that averages every image and label with another one.

    With :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` and the partner (x', y'),

    .. math::

        x \leftarrow \lambda x + (1-\lambda) x', \quad
        y \leftarrow \lambda y + (1-\lambda) y'.

    The labels become soft, `[batch, num_classes]`, and stay so if they are already.
    Under `jit`, also over a mesh, partners are found in the global batch; under `pmap`
    and `shard_map` in the device's own part of it. A row whose mask is 0 is nobody's
    partner.

    Args:
        alpha: 0.1 to 0.4 is usual: most images then are nearly one of the two.
        num_classes: Classes of the soft labels; a configuration fills it in.
        probability: Share of the batches (`per_example`: examples) that are mixed.
        per_example: Draws a share for every example, not one for all.
        permute: Partners at random. Otherwise they are those of the batch reversed,
            which is as good in a batch whose order is random, and cheaper over devices.

    Raises:
        ValueError: if an argument is out of range; while tracing, if the batch has no
            labels or integer images.

    References:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2,
        https://arxiv.org/abs/1710.09412.
    """
    return _mixing(alpha, None, 0.0, num_classes, probability, per_example, permute)


def cutmix(
    alpha: float = 1.0,
    *,
    num_classes: int,
    probability: float = 1.0,
    per_example: bool = False,
    permute: bool = False,
) -> Augment:
    r"""Returns an augmentation that pastes a box of another image, and mixes labels.

    The box has a share :math:`1-\lambda` of the area, :math:`\lambda \sim
    \mathrm{Beta}(\alpha, \alpha)`, the image's proportions, and a centre anywhere in
    it; what reaches over the border is cut off. The partner's share of the label is the
    share of the pixels that were pasted in the end.

    Labels, partners and masks are as in `mixup`.

    Args:
        alpha: 1 is the paper's: every share is as likely.
        num_classes: Classes of the soft labels; a configuration fills it in.
        probability: Share of the batches (`per_example`: examples) that are mixed.
        per_example: Draws a box for every example, not one for all.
        permute: Partners at random, not those of the batch reversed.

    Raises:
        ValueError: if an argument is out of range; while tracing, if the batch has no
            labels or its images are not `[batch, height, width, channels]`.

    References:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
        Localizable Features", ICCV 2019, section 3.1, https://arxiv.org/abs/1905.04899.
    """
    return _mixing(None, alpha, 1.0, num_classes, probability, per_example, permute)


def mixup_or_cutmix(
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    *,
    num_classes: int,
    switch: float = 0.5,
    probability: float = 1.0,
    per_example: bool = False,
    permute: bool = False,
) -> Augment:
    """Returns an augmentation that is `mixup` at times and `cutmix` at others.

    Args:
        mixup_alpha: Of mixup.
        cutmix_alpha: Of CutMix.
        num_classes: Classes of the soft labels; a configuration fills it in.
        switch: Share of what is mixed that CutMix mixes.
        probability: Share of the batches (`per_example`: examples) that are mixed.
        per_example: Draws for every example, not once for all.
        permute: Partners at random, not those of the batch reversed.

    Raises:
        ValueError: as `mixup` and `cutmix` do.

    References:
        Touvron et al., "Training data-efficient image transformers & distillation
        through attention", ICML 2021, table 9 (these values),
        https://arxiv.org/abs/2012.12877.
    """
    return _mixing(
        mixup_alpha,
        cutmix_alpha,
        switch,
        num_classes,
        probability,
        per_example,
        permute,
    )


def blend(batch: Batch, partners: Array, shares: Array, num_classes: int) -> Batch:
    """Returns the batch with each example averaged with its partner.

    Args:
        batch: With `image`, `[batch, ...]` floats, and `label`.
        partners: Index of every example's partner, `[batch]`.
        shares: How much of the example itself is left, `[batch]`, in [0, 1].
        num_classes: Classes of the soft labels.
    """
    images = check_floats(batch["image"])
    own = shares.reshape(-1, *[1] * (images.ndim - 1)).astype(images.dtype)
    mixed = own * images + (1 - own) * images[partners]
    # An example whose share is 1 stays as it is, to the bit, as does its label.
    mixed = jnp.where(own == 1, images, mixed)
    labels = _mixed_labels(batch, partners, shares, num_classes)
    return {**batch, "image": mixed, "label": labels}


def paste(batch: Batch, partners: Array, boxes: Array, num_classes: int) -> Batch:
    """Returns the batch with a box of each example's partner pasted into it.

    Args:
        batch: With `image`, `[batch, height, width, channels]`, and `label`.
        partners: Index of every example's partner, `[batch]`.
        boxes: Top, left, bottom and right of the box, `[batch, 4]` integers, the last
            two exclusive; inside the image.
        num_classes: Classes of the soft labels.
    """
    images = check_images(batch["image"])
    _, height, width, _ = images.shape
    top, left, bottom, right = boxes.T[:, :, None]
    rows, columns = jnp.arange(height)[None], jnp.arange(width)[None]
    inside = ((top <= rows) & (rows < bottom))[:, :, None] & (
        (left <= columns) & (columns < right)
    )[:, None, :]
    pasted = jnp.where(inside[..., None], images[partners], images)
    area = ((bottom - top) * (right - left))[:, 0]
    shares = 1 - area / (height * width)
    labels = _mixed_labels(batch, partners, shares, num_classes)
    return {**batch, "image": pasted, "label": labels}


def partners_of(batch: Batch, key: Array | None = None) -> Array:
    """Returns the index of every example's partner, `[batch]`.

    The examples that count (mask above 0) partner each other; any other row itself.

    Args:
        batch: A batch.
        key: Draws the partners; without one they are those of the batch reversed.
    """
    size = len(batch["image"])
    index = jnp.arange(size)
    counts = batch.get("mask", jnp.ones(size)) > 0
    # What counts first, in its order; `rank` is where each example stands there.
    order = jnp.argsort(~counts, stable=True)
    if key is None:
        rank = jnp.cumsum(counts) - 1
        partners = order[counts.sum() - 1 - rank]
    else:
        keys = example_keys(key, batch)
        draws = jax.vmap(jax.random.uniform)(keys)
        drawn = jnp.argsort(jnp.where(counts, draws, jnp.inf), stable=True)
        partners = jnp.zeros_like(index).at[order].set(drawn)
    return jnp.where(counts, partners, index)


def boxes_of(shares: Array, centres: Array, height: int, width: int) -> Array:
    """Returns boxes of an area `1 - share` around centres, clipped, `[batch, 4]`.

    Args:
        shares: What is to be left of each image, `[batch]`, in [0, 1].
        centres: Where the box's middle falls, `[batch, 2]`, as shares of height and
            width in [0, 1).
        height: Of the images, in pixels.
        width: Of the images, in pixels.
    """
    size = jnp.array([[height, width]], jnp.float32)
    sides = jnp.floor(size * jnp.sqrt(1 - shares)[:, None]).astype(jnp.int32)
    start = jnp.floor(centres * size).astype(jnp.int32) - sides // 2
    limits = size.astype(jnp.int32)
    low = jnp.clip(start, 0, limits)
    high = jnp.clip(start + sides, 0, limits)
    return jnp.concatenate([low, high], axis=1)


def symmetric_beta(alpha: float, first: Array, second: Array) -> Array:
    r"""Returns Beta(alpha, alpha) variates made of two uniform ones, in [0, 1].

    If T is Student's with :math:`2\alpha` degrees of freedom, :math:`(1 + T /
    \sqrt{2\alpha + T^2}) / 2` is such a variate, and T comes from a polar method
    without rejection. The loop of `jax.random.beta` compiles for seconds.

    Args:
        alpha: Above 0.
        first: Uniform in [0, 1).
        second: Uniform in [0, 1), of the same shape.

    References:
        Bailey, "Polar Generation of Random Variates with the t-Distribution",
        Mathematics of Computation 62, 1994,
        https://doi.org/10.1090/S0025-5718-1994-1219702-8.
    """
    power = first ** (1 / alpha)
    cosine = jnp.cos(2 * jnp.pi * second)
    inverse = power / jnp.maximum(1 - power, jnp.finfo(power.dtype).tiny)
    length = jnp.sqrt(jnp.maximum(inverse + cosine**2, jnp.finfo(power.dtype).tiny))
    return (1 + cosine / length) / 2


def _mixing(
    mixup_alpha: float | None,
    cutmix_alpha: float | None,
    switch: float,
    num_classes: int,
    probability: float,
    per_example: bool,
    permute: bool,
) -> Augment:
    _check_arguments(mixup_alpha, cutmix_alpha, switch, num_classes, probability)

    def augment(key: Array, batch: Batch) -> Batch:
        if "label" not in batch:
            raise ValueError(
                f"mixup and cutmix mix labels, and the batch has none: {sorted(batch)}."
            )
        size = len(batch["image"])
        partners = partners_of(batch, jax.random.fold_in(key, 0) if permute else None)
        own = jax.random.fold_in(key, 1)
        # One key for all examples, or one for each: what follows is the same.
        keys = example_keys(own, batch) if per_example else own[None]
        draws = jax.vmap(lambda key: jax.random.uniform(key, (8,)))(keys).T
        mixed, cut = draws[0] < probability, draws[1] < switch
        cut &= cutmix_alpha is not None
        blended = pasted = None
        if mixup_alpha is not None:
            shares = symmetric_beta(mixup_alpha, draws[2], draws[3])
            shares = jnp.broadcast_to(jnp.where(mixed, shares, 1.0), size)
            blended = blend(batch, partners, shares, num_classes)
        if cutmix_alpha is not None:
            shares = symmetric_beta(cutmix_alpha, draws[4], draws[5])
            shares = jnp.where(mixed, shares, 1.0)
            height, width = check_images(batch["image"]).shape[1:3]
            boxes = boxes_of(shares, draws[6:8].T, height, width)
            boxes = jnp.broadcast_to(boxes, (size, 4))
            pasted = paste(batch, partners, boxes, num_classes)
        if blended is None or pasted is None:
            return blended if pasted is None else pasted
        return {**batch, **_either(cut, pasted, blended)}

    return augment


def _either(cut: Array, pasted: Batch, blended: Batch) -> Batch:
    """Returns images and labels of CutMix where it was chosen, else of mixup."""

    def choose(one: Array, other: Array) -> Array:
        return jnp.where(cut.reshape(-1, *[1] * (one.ndim - 1)), one, other)

    return {name: choose(pasted[name], blended[name]) for name in ("image", "label")}


def _mixed_labels(
    batch: Batch, partners: Array, shares: Array, num_classes: int
) -> Array:
    """Returns the shares of every class, `[batch, num_classes]`, float32."""
    labels = batch["label"]
    if labels.ndim == 1:
        check_integers(labels)
        soft = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        # A label of no class must not become one of no mass, whose loss would be 0.
        soft = jnp.where(are_classes(labels, num_classes)[:, None], soft, jnp.nan)
    else:
        soft = labels.astype(jnp.float32)
    if soft.ndim != 2 or soft.shape[1] != num_classes:
        raise ValueError(
            f"labels {labels.shape} must be [batch], or [batch, {num_classes}] if they "
            "are soft."
        )
    own = shares[:, None].astype(jnp.float32)
    return jnp.where(own == 1, soft, own * soft + (1 - own) * soft[partners])


def _check_arguments(
    mixup_alpha: float | None,
    cutmix_alpha: float | None,
    switch: float,
    num_classes: int,
    probability: float,
) -> None:
    both = mixup_alpha is not None and cutmix_alpha is not None
    names = ("mixup_alpha", "cutmix_alpha") if both else ("alpha", "alpha")
    for name, alpha in zip(names, (mixup_alpha, cutmix_alpha), strict=True):
        if alpha is not None and not 0 < alpha < math.inf:
            raise ValueError(f"{name}={alpha} must be above 0 and finite.")
    for name, share in (("probability", probability), ("switch", switch)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share} is not between 0 and 1.")
    if not isinstance(num_classes, numbers.Integral) or num_classes < 2:
        raise ValueError(f"num_classes={num_classes!r} must be a whole number from 2.")
