"""Denoising autoencoders: a noisy image in, the clean one out; convolutions alone."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn

from jaxcnn.layers.checks import check_choice, check_number, check_numbers
from jaxcnn.layers.resampling import (
    DOWNSAMPLES,
    UPSAMPLES,
    conv3x3,
    downsample,
    halved_sizes,
    output_conv,
    upsample,
)
from jaxcnn.models.autoencoder import Autoencoder
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class DenoisingAutoencoder(Autoencoder):
    """Stages of convolutions that halve the image, and the same way back.

    The latents are a map, `latent_shape`, that keeps where things are: it is no
    bottleneck of a few numbers, as a denoiser has to return every detail that is not
    noise. Layers are `conv1`, `conv2`, ... in `encoder`, `up1`, `up2`, ... and `output`
    in `decoder`, with ReLU between; `conv1_2`, `up1_2`, ... where a stage has more
    convolutions, at the smaller of its two sizes.

    Attributes:
        features: Channels of each stage of the encoder; the decoder's go backwards.
        convs_per_stage: Convolutions of each stage, those that change the size
            included.
        downsample: As in `ConvAutoencoder`.
        upsample: As in `ConvAutoencoder`.
        image_shape: As in `Autoencoder`, like all that follow.
    """

    features: Sequence[int] = (32, 64)
    convs_per_stage: int = 1
    downsample: str = "stride"
    upsample: str = "transposed"

    def __post_init__(self) -> None:
        check_numbers("features", self.features, 1)
        check_number("convs_per_stage", self.convs_per_stage, 1)
        check_choice("downsample", self.downsample, DOWNSAMPLES)
        check_choice("upsample", self.upsample, UPSAMPLES)
        super().__post_init__()

    def setup(self) -> None:
        """Makes `encoder` and `decoder`."""
        extra = self.convs_per_stage - 1
        self.encoder = _Encoder(self.features, extra, self.downsample, self.dtype)
        self.decoder = _Decoder(
            self.image_shape,
            self.features,
            extra,
            self.upsample,
            self.output_bias,
            self.dtype,
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents, `(height, width, channels)`."""
        sizes = halved_sizes(self.image_shape[:2], len(self.features))
        return (*sizes[-1], self.features[-1])


class _Encoder(nn.Module):
    features: Sequence[int]
    extra: int
    downsample: str
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Array:
        x = images
        for number, features in enumerate(self.features, 1):
            name = f"conv{number}"
            options = {"dtype": self.dtype, "name": name}
            x = nn.relu(downsample(x, features, self.downsample, **options))
            x = _convs(x, self.extra, name, self.dtype)
        return x


class _Decoder(nn.Module):
    image_shape: Sequence[int]
    features: Sequence[int]
    extra: int
    upsample: str
    output_bias: float
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents: Array, *, train: bool) -> Array:
        sizes = halved_sizes(self.image_shape[:2], len(self.features))[:-1]
        widths = (self.features[0], *self.features[:-1])
        x = latents
        stages = zip(reversed(widths), reversed(sizes), strict=True)
        for number, (features, size) in enumerate(stages, 1):
            name = f"up{number}"
            options = {"dtype": self.dtype, "name": name}
            x = _convs(x, self.extra, name, self.dtype)
            x = nn.relu(upsample(x, features, size, self.upsample, **options))
        return output_conv(x, self.image_shape[-1], self.output_bias)


def _convs(x: Array, count: int, name: str, dtype: Dtype | None) -> Array:
    """Returns `x` after convolutions that change neither size nor channels."""
    for number in range(2, count + 2):
        conv = conv3x3(x.shape[-1], dtype=dtype, name=f"{name}_{number}")
        x = nn.relu(conv(x))
    return x


@register_model(kind="autoencoder")
def denoising_autoencoder(**kwargs: Any) -> DenoisingAutoencoder:
    """Two stages of one convolution each, 68,321 parameters and 6.00 MMACs at 28x28x1.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010,
        https://jmlr.org/papers/v11/vincent10a.html.
    """
    return DenoisingAutoencoder(**kwargs)


@register_model(kind="autoencoder")
def denoising_autoencoder_deep(
    *, convs_per_stage: int = 2, **kwargs: Any
) -> DenoisingAutoencoder:
    """Two stages of two convolutions each, or `convs_per_stage`.

    160,673 parameters and 13.23 MMACs at 28x28x1.

    References:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010,
        https://jmlr.org/papers/v11/vincent10a.html.
    """
    return DenoisingAutoencoder(convs_per_stage=convs_per_stage, **kwargs)
