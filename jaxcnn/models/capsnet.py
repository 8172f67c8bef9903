"""The capsule network: digits as vectors, found by routing, drawn back by a decoder."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.capsule import PrimaryCapsules, RoutedCapsules, capsule_lengths
from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.conv import Conv
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.models.features import endpoints_of
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype, PyTree


class CapsuleDecoder(nn.Module):
    """Dense layers that draw an image from the capsules: `hidden1`, ..., `pixels`.

    Attributes:
        hidden: Units of the hidden layers, each with ReLU.
        kernel_init: Initialiser of the kernels.
        dtype: Computation type; parameters stay float32.
    """

    hidden: Sequence[int] = (512, 1024)
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, image_shape: tuple[int, ...]) -> Array:
        """Returns images with pixels in [0, 1], `[..., *image_shape]`.

        Args:
            x: Capsules in one row, those of other classes zero, `[..., features]`.
            image_shape: `(height, width, channels)`.
        """
        size = math.prod(image_shape)
        kernel_init = make_initializer(self.kernel_init)
        options = {"kernel_init": kernel_init, "dtype": self.dtype}
        for number, units in enumerate(self.hidden, 1):
            x = nn.relu(nn.Dense(units, name=f"hidden{number}", **options)(x))
        x = nn.sigmoid(nn.Dense(size, name="pixels", **options)(x))
        return x.reshape(*x.shape[:-1], *image_shape)


class CapsNet(nn.Module):
    """A convolution `stem`, capsules `primary`, routed to the capsules `head`.

    The lengths of the head's capsules are the logits: each is the probability, in
    [0, 1), that its class is there, whatever the others say. So several classes may be
    there at once. They are trained with `jaxcnn.train.capsules()`.

    `decoder` draws the image from the capsule of one class. It is run where labels are
    given, whether the model trains or not; the paper masks by the true class too.

    Attributes:
        features: Channels of the stem.
        kernel_size: Of the stem and of the primary capsules, which have stride 2.
        primary_capsules: Primary capsules at every position.
        primary_dims: Length of a primary capsule's vector.
        capsule_dims: Length of a class's vector.
        routings: Iterations of the routing, 1 or more.
        reconstruction: Whether there is a decoder.
        decoder_hidden: Units of its hidden layers.
        num_classes: Capsules of the head; 0 returns what the head would get, the
            primary capsules in one row, and leaves the decoder out.
        kernel_init: Initialiser of all kernels but the head's.
        dtype: Computation type; parameters, routing and logits stay float32.
    """

    features: int = 256
    kernel_size: int = 9
    primary_capsules: int = 32
    primary_dims: int = 8
    capsule_dims: int = 16
    routings: int = 3
    reconstruction: bool = True
    decoder_hidden: Sequence[int] = (512, 1024)
    num_classes: int = 10
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        for name in ("features", "kernel_size", "primary_capsules", "primary_dims"):
            check_number(name, getattr(self, name), 1)
        check_number("capsule_dims", self.capsule_dims, 1)
        check_number("routings", self.routings, 1)
        check_number("num_classes", self.num_classes, 0)
        check_numbers("decoder_hidden", self.decoder_hidden, 1)
        super().__post_init__()

    # Not compact: images, capsules and decoded images are each wanted alone.
    def setup(self) -> None:
        """Names the submodules."""
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        self.stem = Conv(self.features, self.kernel_size, padding="valid", **options)
        self.primary = PrimaryCapsules(
            self.primary_capsules, self.primary_dims, self.kernel_size, **options
        )
        if not self.num_classes:
            return
        self.head = RoutedCapsules(
            self.num_classes,
            self.capsule_dims,
            self.routings,
            dtype=self.dtype,
        )
        if self.reconstruction:
            self.decoder = CapsuleDecoder(self.decoder_hidden, **options)

    def __call__(
        self, images: Array, labels: Array | None = None, *, train: bool = False
    ) -> Any:
        """Returns logits, and with labels the images drawn from their capsules.

        Args:
            images: `[batch, height, width, channels]`, with pixels in [0, 1].
            labels: Class indices, `[batch]`, or `[batch, n]` where n things lie in
                each image, each of which is drawn alone.
            train: Changes nothing.

        Returns:
            Logits `[batch, num_classes]`, float32: the capsules' lengths. With labels
            and a decoder a dictionary: `"logits"`, and `"reconstruction"`, float32 in
            [0, 1], `[batch, height, width, channels]`, or `[batch, n, height, width,
            channels]`.

        Raises:
            ValueError: if the images are too small for two convolutions, the second of
                stride 2, or the labels do not fit them.
        """
        if not self.num_classes:
            u = self.primary_of(images)
            return u.reshape(u.shape[0], -1).astype(jnp.float32)
        capsules = self.capsules(images)
        logits = capsule_lengths(capsules)
        if not self.reconstruction:
            return logits
        if labels is None and not self.is_initializing():
            return logits
        given = jnp.zeros(len(images), jnp.int32) if labels is None else labels
        _check_labels(given, images)
        rows = given.reshape(len(images), -1)
        chosen = jnp.take_along_axis(capsules, rows[..., None], axis=1)
        drawn = self.decode(chosen, rows, images.shape[1:])
        drawn = drawn.reshape(*given.shape, *images.shape[1:])
        if labels is None:  # only to make the decoder's parameters
            return logits
        return {"logits": logits, "reconstruction": drawn}

    def primary_of(self, images: Array) -> Array:
        """Returns the primary capsules, `[batch, capsules below, dims]`."""
        check_images(images, "CapsNet", min_size=2 * self.kernel_size - 1)
        return self.primary(nn.relu(self.stem(images)))

    def capsules(self, images: Array) -> Array:
        """Returns the class capsules, `[batch, num_classes, capsule_dims]`, float32.

        Raises:
            ValueError: as the call.
        """
        return self.head(self.primary_of(images))

    def decode(
        self, vectors: Array, labels: Array, image_shape: Sequence[int]
    ) -> Array:
        """Returns the images that class capsules stand for, float32 in [0, 1].

        Args:
            vectors: One capsule an image, `[..., capsule_dims]`.
            labels: Whose capsule each is, `[...]`, integers.
            image_shape: `(height, width, channels)` of the images.

        Returns:
            `[..., *image_shape]`.
        """
        place = jax.nn.one_hot(labels, self.num_classes, dtype=vectors.dtype)
        # The capsules of all classes in one row: zero, but for that of the label.
        masked = place[..., :, None] * vectors[..., None, :]
        masked = masked.reshape(*masked.shape[:-2], -1)
        return self.decoder(masked, tuple(image_shape)).astype(jnp.float32)


def _check_labels(labels: Array, images: Array) -> None:
    fits = labels.ndim in (1, 2) and labels.shape[0] == images.shape[0]
    if not fits or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers of shape [{images.shape[0]}] or "
            f"[{images.shape[0]}, n], got {labels.dtype}{list(labels.shape)}."
        )


def perturb_capsules(
    model: CapsNet,
    variables: PyTree,
    images: Array,
    labels: Array,
    *,
    values: Sequence[float] = tuple(round(-0.25 + 0.05 * k, 2) for k in range(11)),
) -> Array:
    """Returns images drawn with one number of their capsule changed at a time.

    Args:
        model: A capsule network with a decoder.
        variables: Its variables.
        images: `[n, height, width, channels]`, as the model takes them.
        labels: Their classes, `[n]`, integers.
        values: What is added to a number; by default -0.25 to 0.25 in steps of 0.05.

    Returns:
        `[n, capsule_dims, len(values), height, width, channels]`, float32 in [0, 1].

    Raises:
        ValueError: if the model has no decoder, or the labels do not fit the images.

    References:
        Sabour et al., NeurIPS 2017, section 5.1 and figure 4,
        https://arxiv.org/abs/1710.09829.
    """
    if not (model.num_classes and model.reconstruction):
        raise ValueError(
            "perturb_capsules needs a decoder: a CapsNet with reconstruction=True and "
            "num_classes of 1 or more."
        )
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    _check_labels(labels.reshape(-1), images)
    capsules = model.apply(variables, images, method="capsules")
    chosen = jnp.take_along_axis(capsules, labels[:, None, None], axis=1)
    # [dims, values, dims]: each value stands alone at its dimension.
    changes = jnp.einsum("de,v->dve", jnp.eye(model.capsule_dims), jnp.array(values))
    vectors = chosen[:, :, None] + changes[None]
    return model.apply(
        variables,
        vectors,
        jnp.broadcast_to(labels[:, None, None], vectors.shape[:-1]),
        images.shape[1:],
        method="decode",
    )


@endpoints_of(CapsNet)
def _endpoints(model: CapsNet) -> list[str]:
    return ["stem", "primary/conv"]


@register_model
def capsnet(**kwargs: Any) -> CapsNet:
    """The capsule network of 2017, 8,215,568 parameters, 199.40 MMACs at 28x28x1.

    6,804,224 parameters without the decoder (`reconstruction=False`). Each of the 1,152
    primary capsules predicts the ten class capsules by a matrix of its own: 1,474,560
    multiply-adds more, which the 199.40 M of the convolutions leave out, as they do the
    routing and the decoder.

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", NeurIPS 2017,
        https://arxiv.org/abs/1710.09829.
    """
    return CapsNet(**kwargs)
