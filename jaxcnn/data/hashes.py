"""Hashes of pictures: one for equal pixels, one for pictures that look alike."""

import functools
import hashlib
from typing import NamedTuple

import numpy as np

from jaxcnn.data.resample import resize_weights

#: Bits of a perceptual hash.
BITS = 255
#: Two pictures with hashes at most so many bits apart look alike, see docs.
NEAR_BITS = 16
_THUMBNAIL = 32
_WAVES = 16
#: Waves weaker than this, in grey levels of 255, drown in the rounding of pixels.
_FAINT = 0.5
#: A picture with fewer waves than these is too plain to be told from others.
_FEWEST = 96
_MAX_PAIRS = 1_000_000


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Returns 16 bytes that are equal for equal pictures, whatever file held them.

    A gray picture equals the same one stored as RGB, and alpha that is opaque
    everywhere does not count.

    Args:
        pixels: One picture, `[height, width, channels]`, or any other array.

    Example:
        >>> gray = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
        >>> pixel_digest(gray) == pixel_digest(np.repeat(gray, 3, axis=2))
        True
    """
    pixels = _simplest(pixels)
    digest = hashlib.blake2b(f"{pixels.dtype.str}{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()[:16]


def _simplest(pixels: np.ndarray) -> np.ndarray:
    """Returns the picture without opaque alpha, and gray if it is."""
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        return pixels
    if pixels.shape[2] in (2, 4) and (pixels[..., -1] == 255).all():
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 3 and _is_gray(pixels):
        pixels = pixels[..., :1]
    return pixels


def _is_gray(pixels: np.ndarray) -> bool:
    first = pixels[..., 0]
    # Most photographs show in their first row that they are not.
    return all(
        np.array_equal(first[:1], pixels[:1, :, c])
        and np.array_equal(first, pixels[..., c])
        for c in (1, 2)
    )


def perceptual_hash(pixels: np.ndarray) -> np.ndarray | None:
    """Returns which of 255 waves a picture holds with a positive sign, uint8 `[32]`.

    The mean of its colours, brought to 32x32, is taken apart by a cosine transform; the
    16x16 longest waves but the constant one give a bit each. Brightness, contrast, size
    and the losses of JPEG change few of them; a shift, a crop or a mirror changes many.

    Args:
        pixels: `[height, width, channels]`, uint8, uint16, or floats in 0..1. The
            fourth channel of bytes, and the second of two, is alpha and left out.

    Returns:
        The bits, packed; None for a picture that is too small (under 16 pixels a side)
        or too plain (fewer than 96 waves stronger than half a grey level).

    References:
        Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
        2010, section 3.2.1, https://www.phash.org/docs/pubs/thesis_zauner.pdf, has the
        hash by a cosine transform, with 64 bits.
    """
    height, width, channels = pixels.shape
    if min(height, width) < _WAVES:
        return None
    if pixels.dtype == np.uint8 and channels in (2, 4):
        pixels = pixels[..., :-1]
    # Channel by channel: NumPy takes ten times as long for the mean of a short axis.
    gray = pixels[..., 0].astype(np.float32)
    for channel in range(1, pixels.shape[2]):
        gray += pixels[..., channel]
    gray /= pixels.shape[2]
    waves = _waves(height) @ gray @ _waves(width).T * _to_bytes(pixels.dtype)
    waves = waves.ravel()[1:]
    if (np.abs(waves) > _FAINT).sum() < _FEWEST:
        return None
    return np.packbits(waves > 0)


def _to_bytes(dtype: np.dtype) -> float:
    """Returns the factor that brings pixels of a type to 0..255."""
    if np.issubdtype(dtype, np.floating):
        return 255.0
    return 255.0 / np.iinfo(dtype).max


@functools.lru_cache(maxsize=128)
def _waves(size: int) -> np.ndarray:
    """Returns the matrix `[16, size]` from pixels of an axis to its longest waves."""
    places = (np.arange(_THUMBNAIL) + 0.5) / _THUMBNAIL
    waves = np.cos(np.pi * np.arange(_WAVES)[:, None] * places)
    waves *= np.sqrt(2 / _THUMBNAIL)
    waves[0] /= np.sqrt(2)
    weights = resize_weights(size, _THUMBNAIL, "bilinear")
    return (waves @ weights).astype(np.float32)


class NearPairs(NamedTuple):
    """Pairs of hashes that are close, in the order of their numbers.

    Attributes:
        pairs: Numbers of the two, the smaller first, int64 `[P, 2]`.
        distances: Bits that differ, int64 `[P]`.
        complete: False if there were more than a million, of which these are some.
    """

    pairs: np.ndarray
    distances: np.ndarray
    complete: bool


def near_pairs(hashes: np.ndarray, bits: int = NEAR_BITS) -> NearPairs:
    """Returns all pairs of hashes that differ in at most so many bits.

    The hashes are cut into `bits + 1` pieces, of which two hashes that close must share
    one: only those that do are compared.

    Args:
        hashes: From `perceptual_hash`, uint8 `[N, 32]`.
        bits: The largest distance, 0 to 64.

    Raises:
        ValueError: if `bits` is not one of these.

    References:
        Norouzi et al., "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
        2012, section 3, https://arxiv.org/abs/1307.2982.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 0 <= bits <= 64:
        raise ValueError(f"bits is {bits!r}, expected a whole number from 0 to 64")
    words, ones = np.ascontiguousarray(hashes).reshape(-1, 32).view(np.uint16), _ones()
    found = {}
    for keys in _pieces(hashes, bits + 1):
        for first, second in _with_equal_keys(keys):
            distance = ones[words[first] ^ words[second]].sum(1, np.int64)
            close = distance <= bits
            ends = np.sort(np.stack([first[close], second[close]], axis=1), axis=1)
            found.update(zip(map(tuple, ends.tolist()), distance[close], strict=True))
            if len(found) > _MAX_PAIRS:
                return _sorted(found, complete=False)
    return _sorted(found, complete=True)


@functools.cache
def _ones() -> np.ndarray:
    """Returns how many bits of every 16-bit number are set."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return np.unpackbits(numbers, axis=1).sum(axis=1, dtype=np.uint8)


def _sorted(found: dict[tuple[int, int], int], *, complete: bool) -> NearPairs:
    pairs = sorted(found)
    return NearPairs(
        np.array(pairs, np.int64).reshape(-1, 2),
        np.array([found[pair] for pair in pairs], np.int64),
        complete,
    )


def _pieces(hashes: np.ndarray, count: int):
    """Yields a key a hash, uint64 `[N]`, for every piece.

    Neighbours among the bits say much the same, so a piece has bits from all over.
    """
    bits = np.unpackbits(hashes.reshape(-1, 32), axis=1)
    order = np.random.default_rng(0).permutation(8 * 32)
    for piece in range(count):
        chosen = bits[:, order[piece::count][:64]]
        packed = np.zeros((len(bits), 8), np.uint8)
        bytes_ = np.packbits(chosen, axis=1)
        packed[:, : bytes_.shape[1]] = bytes_
        yield packed.view(np.uint64)[:, 0]


def _with_equal_keys(keys: np.ndarray):
    """Yields numbers of all pairs with equal keys, as two arrays, some at a time."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    places, step = np.arange(len(keys)), 0
    while len(places):
        step += 1
        places = places[places + step < len(keys)]
        places = places[ranked[places] == ranked[places + step]]
        if len(places):
            yield order[places], order[places + step]
