"""Images that make a part of a network as active as can be (activation maximisation).

The image climbs the gradient of what it is to enlarge. Alone that leads to noise, so a
`Prior` holds it to what pictures are like.

References:
    Erhan, Bengio, Courville and Vincent, "Visualizing Higher-Layer Features of a Deep
    Network", University of Montreal TR 1341, 2009.
    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR
    workshop 2014, section 2, https://arxiv.org/abs/1312.6034.
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
    https://distill.pub/2017/feature-visualization.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.data.preprocess import to_float
from jaxcnn.interpret.batches import is_traced
from jaxcnn.interpret.compiling import compiled
from jaxcnn.interpret.targets import AnyTarget, Target, output_at
from jaxcnn.layers.checks import check_choice, check_number
from jaxcnn.typing import Array, PyTree

#: How steps follow each other.
LOOPS = ("python", "scan")

Preprocess = Callable[[Array], Array]
Schedule = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Prior:
    """What holds an image to being a picture while it climbs.

    The weights stand against a gradient of the target whose root mean square is 1,
    whatever the network, so the same ones do for every layer.

    Attributes:
        jitter: Pixels by which the image is rolled about, anew at every step, so that
            no pixel's place in a stride or a pool matters.
        frequency: Power p: the gradient's waves of f cycles a pixel are divided by
            f**p, so that coarse shapes grow faster than fine noise. 1 is near what
            pictures have; 0 changes nothing.
        total_variation: Weight of the differences between neighbouring pixels, which
            pulls towards flat areas.
        l2: Weight of the pull back to the image that it began with.
    """

    jitter: int = 0
    frequency: float = 0.0
    total_variation: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check_number("jitter", self.jitter, 0)
        for name in ("frequency", "total_variation", "l2"):
            check_number(name, getattr(self, name), 0, whole=False)


#: Without one most of what grows is noise; see docs/seeing_features.md.
USUAL = Prior(jitter=4, frequency=1.0, total_variation=0.05)


class Ascent(NamedTuple):
    """Images that climbed.

    Attributes:
        images: `[batch, height, width, channels]` float32.
        scores: The target before each step, `[steps, batch]` float32.
    """

    images: Array
    scores: Array


def noise_images(key: Array, shape: tuple[int, ...], *, std: float = 0.02) -> Array:
    """Returns grey images with a little noise, to begin with: float32 around 0.5.

    Args:
        key: Random key.
        shape: `(batch, height, width, channels)`.
        std: Standard deviation of the noise, where 1 is from black to white.
    """
    return 0.5 + std * jax.random.normal(key, shape)


def maximize_activation(
    model: nn.Module,
    variables: PyTree,
    images: Array,
    target: AnyTarget,
    *,
    preprocess: Preprocess | None = None,
    steps: int = 128,
    learning_rate: float | Schedule = 0.02,
    prior: Prior = USUAL,
    clip: tuple[float, float] | None = (0.0, 1.0),
    key: Array | None = None,
    loop: str | None = None,
) -> Ascent:
    r"""Returns images that make a channel, layer, unit or class as large as can be.

    With the target's score :math:`s(x)`, `f` the prior's filter and `rms` the root mean
    square over an image, each step is

    .. math:: x \leftarrow \mathrm{clip}\Big(x + r \Big(
        \frac{f(\nabla s)}{\mathrm{rms}(f(\nabla s))}
        - \lambda_{tv} \nabla \sum \lVert \Delta x \rVert_1
        - \lambda_2 (x - x_0)\Big)\Big).

    The model is called as in inference. It may compute in bfloat16: the images and
    their steps stay float32. A unit that ReLU holds at 0 for what it begins with has no
    gradient, and its image stays as it is: begin with stronger noise, or an image.

    Args:
        model: Any Linen module that is called with images.
        variables: Its variables.
        images: What to begin with, `[batch, height, width, channels]`: pictures, or
            `noise_images`. Pixels as `preprocess` takes them: uint8, or floats in
            [0, 1]. Sequences and volumes climb as well.
        target: A `Target`, its text such as `"stage3_block1:5"`, or a function
            `(variables, images) -> [batch]` of images as the model gets them.
        preprocess: From pixels to the model's input, `make_preprocess(config)`, without
            a change of size; by default the pixels are the input.
        steps: How many.
        learning_rate: How far a step moves the pixels on average (root mean square),
            where 1 is from black to white; or a function of the step's number.
        prior: What holds the image to being a picture; `Prior()` is nothing.
        clip: Least and largest value of a pixel; None for images without bounds.
        key: Random key of the jitter; `jax.random.key(0)` by default. The same key
            gives the same images.
        loop: `"python"` compiles one step and repeats it; `"scan"` compiles all of them
            as one program. By default Python on CPUs, where convolutions inside a
            compiled loop are slow, and a scan elsewhere and under `jax.jit`.

    Returns:
        The images, and the score before each step.

    Raises:
        ValueError: if there is no such submodule, channel or position, or a number is
            out of range.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = create_model("lenet")
        >>> start = noise_images(jax.random.key(1), (1, 28, 28, 1))
        >>> variables = model.init(jax.random.key(0), start)
        >>> made = maximize_activation(model, variables, start, ":3", steps=4)
        >>> made.images.shape, bool(made.scores[-1, 0] > made.scores[0, 0])
        ((1, 28, 28, 1), True)
    """
    check_number("steps", steps, 1)
    images = to_float(images).astype(jnp.float32)
    climb = Climb(model, parsed(target), preprocess, prior, clip)
    key = jax.random.key(0) if key is None else key
    return repeat(climb, variables, images, key, steps, learning_rate, loop)


def parsed(target: AnyTarget) -> AnyTarget:
    """Returns a target for its text; what is none is returned as it is."""
    return Target.parse(target) if isinstance(target, str) else target


@dataclasses.dataclass(frozen=True)
class Climb:
    """One step upwards, as a function of arrays alone.

    Attributes:
        model: As for `maximize_activation`, like all that follow.
    """

    model: nn.Module
    target: AnyTarget
    preprocess: Preprocess | None
    prior: Prior
    clip: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip must be (least, largest), got {self.clip}.")

    def score(self, variables: PyTree, images: Array) -> Array:
        """Returns the target's score for every image, `[batch]`."""
        if self.preprocess is not None:
            images = self.preprocess(images)
        if not isinstance(self.target, Target):
            return self.target(variables, images)
        outputs = output_at(self.model, variables, images, self.target.path)
        return self.target.score(outputs)

    def step(
        self, variables: PyTree, images: Array, start: Array, key: Array, rate: Array
    ) -> tuple[Array, Array]:
        """Returns the images one step further, and the scores before it."""
        axes = tuple(range(1, images.ndim - 1))
        reach = self.prior.jitter
        shift = jax.random.randint(key, (len(axes),), -reach, reach + 1)

        def total(images: Array) -> tuple[Array, Array]:
            scores = self.score(variables, images)
            return scores.sum(), scores

        moved = jnp.roll(images, shift, axes) if reach else images
        gradient, scores = jax.grad(total, has_aux=True)(moved)
        if reach:
            gradient = jnp.roll(gradient, -shift, axes)
        direction = _unit(divide_frequencies(gradient, self.prior.frequency))
        if self.prior.total_variation:
            slope = jax.grad(lambda x: total_variation(x).sum())(images)
            direction -= self.prior.total_variation * slope
        if self.prior.l2:
            direction -= self.prior.l2 * (images - start)
        images = images + rate * direction
        return images if self.clip is None else jnp.clip(images, *self.clip), scores


def repeat(
    climb: Climb,
    variables: PyTree,
    images: Array,
    key: Array,
    steps: int,
    learning_rate: float | Schedule,
    loop: str | None,
) -> Ascent:
    """Returns the images after a number of steps; see `maximize_activation`."""
    traced = is_traced(variables, images)
    if loop is None:
        on_cpu = jax.default_backend() == "cpu"
        loop = "python" if on_cpu and not traced else "scan"
    check_choice("loop", loop, LOOPS)
    numbers = jnp.arange(steps)
    schedule = learning_rate if callable(learning_rate) else None
    rates = jax.vmap(schedule)(numbers) if schedule else jnp.full(steps, learning_rate)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)
    if loop == "scan":
        return Ascent(*compiled(_all_steps, climb)(variables, images, keys, rates))
    step = compiled(Climb.step, climb)
    start, scores = images, []
    for key, rate in zip(keys, rates, strict=True):
        images, score = step(variables, images, start, key, rate)
        scores.append(score)
    return Ascent(images, jnp.stack(scores))


def _all_steps(
    climb: Climb, variables: PyTree, images: Array, keys: Array, rates: Array
) -> tuple[Array, Array]:
    """Returns the images after all steps, and the scores before each."""

    def body(now: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        return climb.step(variables, now, images, *at)

    return jax.lax.scan(body, images, (keys, rates))


def _unit(gradient: Array) -> Array:
    """Returns a gradient of root mean square 1 for every image; 0 stays 0."""
    axes = tuple(range(1, gradient.ndim))
    # Divided first by the largest: squares of a tiny gradient would become 0.
    largest = jnp.abs(gradient).max(axis=axes, keepdims=True)
    gradient = gradient / jnp.where(largest > 0, largest, 1)
    rms = jnp.sqrt(jnp.square(gradient).mean(axis=axes, keepdims=True))
    return gradient / jnp.where(rms > 0, rms, 1)


def divide_frequencies(images: Array, power: float) -> Array:
    """Returns images whose waves are divided by their frequency to a power.

    Args:
        images: `[batch, ..., channels]` float32.
        power: 0 changes nothing. The frequency is in cycles a pixel; that of the mean
            counts as the lowest other one, one cycle along the longest side.
    """
    if not power:
        return images
    axes = tuple(range(1, images.ndim - 1))
    sizes = images.shape[1:-1]
    along = [jnp.fft.fftfreq(size) for size in sizes[:-1]]
    grid = jnp.meshgrid(*along, jnp.fft.rfftfreq(sizes[-1]), indexing="ij")
    frequency = jnp.sqrt(sum(jnp.square(f) for f in grid))
    scale = jnp.maximum(frequency, 1 / max(sizes)) ** -power
    waves = jnp.fft.rfftn(images, axes=axes) * scale[None, ..., None]
    return jnp.fft.irfftn(waves, s=sizes, axes=axes)


def total_variation(images: Array, *, softness: float = 1e-3) -> Array:
    """Returns the sum of the differences between neighbouring pixels, `[batch]`.

    Args:
        images: `[batch, ..., channels]`.
        softness: Differences well below it count with their square, so that the slope
            has no jump where pixels are equal.

    References:
        Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal
        algorithms", Physica D 60, 1992, https://doi.org/10.1016/0167-2789(92)90242-F.
    """
    total = jnp.zeros(len(images))
    for axis in range(1, images.ndim - 1):
        steps = jnp.diff(images, axis=axis)
        size = jnp.sqrt(jnp.square(steps) + softness**2) - softness
        total += size.sum(axis=tuple(range(1, images.ndim)))
    return total
