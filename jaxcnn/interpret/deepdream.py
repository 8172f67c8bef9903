"""DeepDream: what a network sees in a picture, drawn into it at several sizes.

References:
    Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks",
    Google Research blog, 2015,
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.data.preprocess import to_float
from jaxcnn.interpret.ascent import Climb, Preprocess, Prior, Schedule, parsed, repeat
from jaxcnn.interpret.targets import AnyTarget
from jaxcnn.layers.checks import check_number
from jaxcnn.typing import Array, PyTree

#: What deepdream uses unless told otherwise.
DREAM = Prior(jitter=16, frequency=0.25, total_variation=0.02)


def deepdream(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: AnyTarget,
    *,
    preprocess: Preprocess | None = None,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 12,
    learning_rate: float | Schedule = 0.01,
    prior: Prior = DREAM,
    clip: tuple[float, float] | None = (0.0, 1.0),
    key: Array | None = None,
    loop: str | None = None,
) -> Array:
    """Returns pictures into which a network has drawn what it looks for.

    A picture is made small; it climbs towards the target as in `maximize_activation`;
    what was added is enlarged and put on the picture of the next size, and so on up to
    its own. So there are large shapes as well as small ones.

    Args:
        model: Any Linen module that takes images of several sizes up to the submodule.
        variables: Its variables.
        images: `[batch, height, width, channels]`, uint8 or floats in [0, 1]: photos,
            or `noise_images`. Time and memory grow with the number of pixels.
        target: As for `maximize_activation`; a whole layer, such as `"fire8"`, gives
            the pictures of 2015, `"fire8:12"` one motif, `":281"` a class.
        preprocess: From floats in [0, 1] to the model's input, without a change of
            size: `make_preprocess(PreprocessConfig(mean=..., std=...))`; BGR and mean
            subtraction of Caffe's networks go there too.
        octaves: Sizes, the last of which is the images' own.
        octave_scale: Each size by the one before.
        steps: At each size.
        learning_rate: How far a step moves the pixels on average, where 1 is from black
            to white: 12 steps of 0.01 change a pixel by about 0.1 at each size.
        prior: Jitter (pixels), frequencies, total variation; with `l2` the pull back
            to the picture.
        clip: Least and largest value of a pixel.
        key: Random key of the jitter; `jax.random.key(0)` by default. The same key
            gives the same pictures.
        loop: As for `maximize_activation`. Each size is compiled once.

    Returns:
        `[batch, height, width, channels]` float32 in the range of `clip`.

    Raises:
        ValueError: if the smallest size has less than one pixel or less than the model
            takes, and as `maximize_activation`.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("resnet20_cifar")
        >>> photo = jnp.full((1, 24, 32, 3), 0.5)
        >>> variables = model.init(jax.random.key(0), photo)
        >>> how = {"octaves": 2, "steps": 1}
        >>> deepdream(model, variables, photo, "stage1_block1", **how).shape
        (1, 24, 32, 3)
    """
    check_number("steps", steps, 1)
    images = to_float(images).astype(jnp.float32)
    sizes = octave_sizes(images.shape[1:-1], octaves, octave_scale)
    climb = Climb(model, parsed(target), preprocess, prior, clip)
    key = jax.random.key(0) if key is None else key
    detail = jnp.zeros_like(images)
    for octave, size in enumerate(sizes):
        shape = (len(images), *size, images.shape[-1])
        base = jax.image.resize(images, shape, "bilinear")
        dreamt = base + jax.image.resize(detail, shape, "bilinear")
        own = jax.random.fold_in(key, octave)
        dreamt, _ = repeat(climb, variables, dreamt, own, steps, learning_rate, loop)
        detail = dreamt - base
    return dreamt


def octave_sizes(
    size: tuple[int, ...], octaves: int, scale: float
) -> list[tuple[int, ...]]:
    """Returns the sizes of a dream, the smallest first, the last one `size`.

    Example:
        >>> octave_sizes((224, 320), 3, 1.4)
        [(114, 163), (160, 229), (224, 320)]
    """
    check_number("octaves", octaves, 1)
    check_number("octave_scale", scale, 1, whole=False)
    sizes = [
        tuple(round(side / scale**smaller) for side in size)
        for smaller in reversed(range(octaves))
    ]
    if min(sizes[0]) < 1:
        raise ValueError(
            f"octaves={octaves} of octave_scale={scale} leave nothing of "
            f"{'x'.join(map(str, size))} pixels."
        )
    return sizes
