"""Autoencoders: an image through a few numbers and back, dense and convolutional."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_images, check_number, check_numbers
from jaxcnn.layers.resampling import (
    DOWNSAMPLES,
    UPSAMPLES,
    downsample,
    halved_sizes,
    output_conv,
    upsample,
)
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype

_OUTPUT_ACTIVATIONS = {None: lambda x: x, "sigmoid": nn.sigmoid}


class Autoencoder(nn.Module):
    """What all autoencoders share: `decode(encode(images))`, checks, the last sigmoid.

    A subclass sets `encoder`, images to latents, and `decoder`, latents to logits of
    the images, in its `setup`. Both are modules called with `train`. Their parameters
    lie under `encoder/` and `decoder/`, and each half can be called alone:
    `model.apply(variables, images, method="encode")`.

    Attributes:
        image_shape: `(height, width, channels)` of the images, in and out.
        output_activation: `"sigmoid"` for images in [0, 1]; `None` for logits.
        output_mean: Mean of the images' pixels, where the output's bias starts (MNIST's
            by default). From far off, training with a squared error first turns
            everything black, where the sigmoid is flat, and can stay there for
            hundreds of steps.
        dtype: Computation type; parameters and images out stay float32.
    """

    image_shape: Sequence[int] = (28, 28, 1)
    output_activation: str | None = "sigmoid"
    output_mean: float = 0.13
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_numbers("image_shape", self.image_shape, 1)
        if len(self.image_shape) != 3:
            raise ValueError(
                "image_shape must be (height, width, channels), "
                f"got {tuple(self.image_shape)}."
            )
        check_choice("output_activation", self.output_activation, _OUTPUT_ACTIVATIONS)
        if not 0 < self.output_mean < 1:
            raise ValueError(
                f"output_mean must lie between 0 and 1, got {self.output_mean}."
            )
        super().__post_init__()

    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns the reconstruction `[batch, *image_shape]`, float32."""
        return self.decode(self.encode(images, train=train), train=train)

    def encode(self, images: Array, *, train: bool = False) -> Array:
        """Returns the latents of images `[batch, *image_shape]`."""
        name = type(self).__name__
        check_images(images, name)
        if images.shape[1:] != tuple(self.image_shape):
            raise ValueError(
                f"{name} has image_shape={tuple(self.image_shape)}, "
                f"got images of shape {tuple(images.shape[1:])}."
            )
        return self.encoder(images, train=train)

    def decode(self, latents: Array, *, train: bool = False) -> Array:
        """Returns the images `[batch, *image_shape]`, float32, of latents."""
        expected = self.latent_shape
        if latents.ndim != len(expected) + 1 or latents.shape[1:] != expected:
            shape = ", ".join(map(str, ("batch", *expected)))
            raise ValueError(
                f"{type(self).__name__} decodes latents of shape [{shape}], "
                f"got shape {tuple(latents.shape)}."
            )
        logits = self.decoder(latents, train=train)
        return _OUTPUT_ACTIVATIONS[self.output_activation](logits)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents."""
        return (self.latent,)

    @property
    def output_bias(self) -> float:
        """The logit of `output_mean`."""
        return math.log(self.output_mean / (1 - self.output_mean))


class MlpAutoencoder(Autoencoder):
    """Dense layers down to the latents and back up.

    Layers are `hidden1`, `hidden2`, ... and `latent` in `encoder`, the same widths
    backwards and `output` in `decoder`, with ReLU between; the latents are linear.

    Attributes:
        latent: Numbers that one image becomes.
        hidden: Units of the encoder's hidden layers; none makes it linear, which at
            best equals principal component analysis.
        image_shape: As in `Autoencoder`, like all that follow.
    """

    latent: int = 32
    hidden: Sequence[int] = (512, 128)

    def __post_init__(self) -> None:
        check_number("latent", self.latent, 1)
        check_numbers("hidden", self.hidden, 1)
        super().__post_init__()

    def setup(self) -> None:
        """Makes `encoder` and `decoder`."""
        self.encoder = _MlpEncoder(self.latent, self.hidden, self.dtype)
        self.decoder = _MlpDecoder(
            self.image_shape, self.hidden, self.output_bias, self.dtype
        )


class _MlpEncoder(nn.Module):
    latent: int
    hidden: Sequence[int]
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Array:
        x = images.reshape(images.shape[0], -1)
        for number, units in enumerate(self.hidden, 1):
            x = nn.relu(nn.Dense(units, dtype=self.dtype, name=f"hidden{number}")(x))
        return nn.Dense(self.latent, dtype=self.dtype, name="latent")(x)


class _MlpDecoder(nn.Module):
    image_shape: Sequence[int]
    hidden: Sequence[int]
    output_bias: float
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents: Array, *, train: bool) -> Array:
        x = latents
        for number, units in enumerate(reversed(self.hidden), 1):
            x = nn.relu(nn.Dense(units, dtype=self.dtype, name=f"hidden{number}")(x))
        bias_init = nn.initializers.constant(self.output_bias)
        size = math.prod(self.image_shape)
        output = nn.Dense(size, bias_init=bias_init, name="output")
        return output(x.astype(jnp.float32)).reshape(-1, *self.image_shape)


class ConvAutoencoder(Autoencoder):
    """3x3 convolutions that halve the image, the latents, and the same way back.

    Layers are `conv1`, `conv2`, ... and `latent` (dense) in `encoder`; `expand`
    (dense), `up1`, `up2`, ... and `output` (3x3) in `decoder`, with ReLU between; the
    latents are linear. Sides that 2 does not divide are rounded up on the way down,
    and the decoder returns through the same sizes.

    Attributes:
        latent: Numbers that one image becomes.
        features: Channels of each stage of the encoder; the decoder's go backwards.
        downsample: How a stage of the encoder halves: `"stride"` 2 of its
            convolution, `"max"` or `"average"` pooling over 2x2 behind it.
        upsample: How a stage of the decoder doubles: a `"transposed"` convolution, 4x4
            with stride 2, or a 3x3 convolution behind `"nearest"` or `"bilinear"`
            enlargement, which leaves no checkerboard (Odena et al., 2016).
        image_shape: As in `Autoencoder`, like all that follow.
    """

    latent: int = 32
    features: Sequence[int] = (16, 32)
    downsample: str = "stride"
    upsample: str = "transposed"

    def __post_init__(self) -> None:
        check_number("latent", self.latent, 1)
        check_numbers("features", self.features, 1)
        check_choice("downsample", self.downsample, DOWNSAMPLES)
        check_choice("upsample", self.upsample, UPSAMPLES)
        super().__post_init__()

    def setup(self) -> None:
        """Makes `encoder` and `decoder`."""
        self.encoder = _ConvEncoder(
            self.latent, self.features, self.downsample, self.dtype
        )
        self.decoder = _ConvDecoder(
            self.image_shape,
            self.features,
            self.upsample,
            self.output_bias,
            self.dtype,
        )


class _ConvEncoder(nn.Module):
    latent: int
    features: Sequence[int]
    downsample: str
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Array:
        x = images
        for number, features in enumerate(self.features, 1):
            options = {"dtype": self.dtype, "name": f"conv{number}"}
            x = nn.relu(downsample(x, features, self.downsample, **options))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(self.latent, dtype=self.dtype, name="latent")(x)


class _ConvDecoder(nn.Module):
    image_shape: Sequence[int]
    features: Sequence[int]
    upsample: str
    output_bias: float
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents: Array, *, train: bool) -> Array:
        *larger, smallest = halved_sizes(self.image_shape[:2], len(self.features))
        shape = (*smallest, self.features[-1])
        x = nn.Dense(math.prod(shape), dtype=self.dtype, name="expand")(latents)
        x = nn.relu(x).reshape(-1, *shape)
        widths = (self.features[0], *self.features[:-1])
        stages = zip(reversed(widths), reversed(larger), strict=True)
        for number, (features, size) in enumerate(stages, 1):
            options = {"dtype": self.dtype, "name": f"up{number}"}
            x = nn.relu(upsample(x, features, size, self.upsample, **options))
        return output_conv(x, self.image_shape[-1], self.output_bias)


@register_model(kind="autoencoder")
def mlp_autoencoder(**kwargs: Any) -> MlpAutoencoder:
    """Dense layers 784-512-128-32 and back, 944,176 parameters at 28x28x1.

    References:
        Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural
        Networks", Science 313, 2006, https://doi.org/10.1126/science.1127647.
    """
    return MlpAutoencoder(**kwargs)


@register_model(kind="autoencoder")
def conv_autoencoder(**kwargs: Any) -> ConvAutoencoder:
    """Strided convolutions down to 32 latents, transposed ones up.

    119,217 parameters and 1.67 MMACs at 28x28x1.

    References:
        Masci et al., "Stacked Convolutional Auto-Encoders for Hierarchical Feature
        Extraction", ICANN 2011, https://doi.org/10.1007/978-3-642-21735-7_7.
    """
    return ConvAutoencoder(**kwargs)


@register_model(kind="autoencoder")
def conv_autoencoder_upsample(
    *, upsample: str = "nearest", **kwargs: Any
) -> ConvAutoencoder:
    """Strided convolutions down to 32 latents, enlargement and convolutions up.

    113,841 parameters and 3.18 MMACs at 28x28x1.

    Args:
        upsample: `"nearest"` or `"bilinear"`.
        **kwargs: As for `ConvAutoencoder`.

    Raises:
        ValueError: if `upsample` is another word.

    References:
        Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", Distill
        2016, https://distill.pub/2016/deconv-checkerboard.
    """
    check_choice("upsample", upsample, ("nearest", "bilinear"))
    return ConvAutoencoder(upsample=upsample, **kwargs)
