"""Reorderings of channels and pixels, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.ops import channel_shuffle, pixel_shuffle, pixel_unshuffle


def test_channels_are_interleaved():
    x = jnp.arange(6).reshape(1, 1, 1, 6)
    assert channel_shuffle(x, 3)[0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]
    with pytest.raises(ValueError, match="groups=4 must divide the 6 channels"):
        channel_shuffle(x, 4)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pixel_shuffle_by_its_definition(rank):
    factor, channels = 2, 3
    shape = (2, *range(2, 2 + rank), channels * factor**rank)
    x = np.arange(np.prod(shape)).reshape(shape)
    y = pixel_shuffle(x, factor)
    assert y.shape == (2, *(factor * n for n in shape[1:-1]), channels)
    for position in np.ndindex(y.shape):
        batch, *place, channel = position
        inside = np.ravel_multi_index([p % factor for p in place], (factor,) * rank)
        source = (batch, *(p // factor for p in place))
        assert y[position] == x[source][channel * factor**rank + inside]
    np.testing.assert_array_equal(pixel_unshuffle(y, factor), x)


def test_wrong_factors_are_explained():
    x = jnp.zeros((1, 4, 6, 6))
    with pytest.raises(ValueError, match=r"factor=2 needs a multiple of factor\*\*2"):
        pixel_shuffle(x, 2)
    with pytest.raises(ValueError, match="factor=4 must divide every spatial axis"):
        pixel_unshuffle(x, 4)
    with pytest.raises(ValueError, match="factor=0"):
        pixel_unshuffle(x, 0)
