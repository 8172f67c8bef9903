"""Files of every kind become uint8 channels: windows, arrays, stacks, edges."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from jaxcnn.data import FileOptions, RandomResizedCrop, ResizeCrop, Stretch
from jaxcnn.data.decoding import Decoder, FilePart, apply_window, edge_strength
from jaxcnn.ops import filter_image

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)
WHOLE = Stretch((12, 16))


def encoded(pixels, format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def decode(data, *parts, crop=WHOLE, rng=None, edges=False):
    return Decoder(tuple(parts) or (FilePart(),), edges)(data, crop, rng)[0]


@pytest.mark.parametrize(
    ("value", "found"),
    # By hand: 255 * (v + 160) / 400.
    [(-161, 0), (-160, 0), (-159, 1), (40, 128), (239, 254), (240, 255), (9999, 255)],
)
def test_a_window_is_worked_out_by_hand(value, found):
    assert apply_window(np.array([value]), (40, 400)).tolist() == [found]


def test_what_is_not_a_number_is_dark_and_infinity_bright():
    values = np.array([np.nan, -np.inf, np.inf], np.float32)
    assert apply_window(values, (0, 2)).tolist() == [0, 0, 255]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_come_through_their_window(format):
    deep = np.array([[0, 1000, 1200], [1400, 1800, 65535]], np.uint16)
    part = FilePart("L", (1400, 800))
    found = decode(encoded(deep, format), part, crop=Stretch((2, 3)))
    # (v - 1000) / 800 * 255
    assert found[..., 0].tolist() == [[0, 0, 64], [128, 255, 255]]


def test_signed_values_of_ct_come_through_their_window():
    hounsfield = np.array([[-1000, -160], [40, 3000]], np.int32)
    part = FilePart("L", (40, 400))
    found = decode(encoded(hounsfield, "TIFF"), part, crop=Stretch((2, 2)))
    assert found[..., 0].tolist() == [[0, 0], [128, 255]]


def test_files_of_eight_bits_have_no_window():
    assert (decode(encoded(PICTURE), FilePart("RGB", (40, 400))) == PICTURE).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP"])
def test_formats_without_loss_give_their_pixels(format):
    options = {"lossless": True} if format == "WEBP" else {}
    assert (decode(encoded(PICTURE, format, **options)) == PICTURE).all()


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (PICTURE, FilePart("RGB")),
        (PICTURE[..., :1], FilePart("L")),
        (PICTURE[..., 0], FilePart("1")),
        (np.tile(PICTURE, 2)[..., :5], FilePart("5")),
    ],
)
def test_arrays_give_their_channels(array, part):
    found = decode(saved(array), part)
    assert (found == array.reshape(12, 16, -1)).all()


def test_arrays_of_floats_come_through_their_window():
    values = np.array([[0.0, 0.5, 1.0]])
    found = decode(saved(values), FilePart("L", (0.5, 1)), crop=Stretch((1, 3)))
    assert found[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("crop", [ResizeCrop((8, 8), 10), RandomResizedCrop((8, 8))])
def test_files_of_an_example_are_cropped_alike(crop):
    data = encoded(PICTURE)
    rngs = [np.random.default_rng(4) for _ in range(2)]
    alone = decode(data, crop=crop, rng=rngs[0])
    parts = [FilePart("RGB"), FilePart("L"), FilePart("3")]
    red = encoded(np.ascontiguousarray(PICTURE[..., 0]))
    found = decode([data, red, saved(PICTURE)], *parts, crop=crop, rng=rngs[1])
    assert found.shape == (8, 8, 7)
    assert (found[..., :3] == alone).all()
    assert (found[..., 3] == alone[..., 0]).all()
    assert (found[..., 4:] == alone).all()


def test_a_file_of_lower_resolution_is_brought_to_the_first():
    parts = [FilePart("RGB"), FilePart("L")]
    small = encoded(np.full((6, 8), 70, np.uint8))
    found = decode([encoded(PICTURE), small], *parts)
    assert (found[..., 3] == 70).all()


def test_exif_turns_every_file_of_an_example():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(np.rot90(PICTURE), exif=exif)
    found = decode([encoded(PICTURE), turned], FilePart(), FilePart())
    assert (found[..., 3:] == PICTURE).all()


def test_edges_are_those_of_the_sobel_filters():
    gray = PICTURE[..., 0]
    options = {"padding": "same", "padding_mode": "replicate"}
    x, y = (
        np.asarray(filter_image(gray, f"sobel_{direction}", **options))
        for direction in ("vertical", "horizontal")
    )
    wanted = np.minimum(np.floor(np.hypot(x, y) / 4 + 0.5), 255)
    assert abs(edge_strength(gray) - wanted).max() <= 1
    assert (edge_strength(gray) == wanted).mean() > 0.99


def test_edges_are_one_more_channel():
    found = decode(encoded(PICTURE), edges=True)
    assert found.shape == (12, 16, 4)
    luma = np.asarray(Image.fromarray(PICTURE).convert("L"))
    assert (found[..., 3] == edge_strength(luma)).all()
    assert Decoder(edges=True).channels == 4


@pytest.mark.parametrize(
    ("data", "parts", "message"),
    [
        (encoded(PICTURE[..., 0].astype(np.uint16)), ["L"], "more than 8 bits"),
        (saved(np.zeros((2, 2))), ["L"], "it holds float64, expected uint8, or give"),
        (saved(np.zeros(4, np.uint8)), ["L"], "it has shape [4], expected [height"),
        (saved(np.zeros((2, 2, 5), np.uint8)), ["4"], "it has 5 channels, expected 4"),
        (saved(np.array([{}])), ["L"], "allow_pickle"),
        (encoded(PICTURE), ["5"], "it is a picture, of 1, 3 or 4 channels, not 5"),
        (
            [encoded(PICTURE), encoded(PICTURE[:, :8])],
            ["RGB", "L"],
            "file 2 of it: it is 8 x 12 pixels and the first file 16 x 12",
        ),
        ([encoded(PICTURE), b"?"], ["RGB", "L"], "file 2 of it: cannot identify"),
    ],
)
def test_files_that_do_not_fit_are_named(data, parts, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        decode(data, *map(FilePart, parts))


def test_sixteen_bits_of_several_channels_are_refused():
    # Written by hand, as Pillow cannot: 1 x 1 pixel, 16 bits, RGB.
    import struct
    import zlib

    def chunk(kind, content):
        head = struct.pack(">I", len(content)) + kind + content
        return head + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">3H", 1, 2, 3)))
    data = b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="16 bits in each of several channels"):
        decode(data, FilePart("RGB", (40, 400)), crop=Stretch((1, 1)))


def test_options_say_what_the_decoder_is():
    options = FileOptions(stack=("path:RGB", "ct:L"), window=(40, 400), edges=True)
    parts = (FilePart("RGB", (40, 400)), FilePart("L", (40, 400)))
    assert options.decoder() == Decoder(parts, True)
    assert options.names == ("path", "ct")
    options = FileOptions(stack=("{}_pet:L", "{}_ct:L"), window=(5, 10, 40, 400))
    windows = [part.window for part in options.decoder().parts]
    assert windows == [(5, 10), (40, 400)]
    assert FileOptions(mode="L").decoder() == Decoder((FilePart("L"),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "RBG"}, "mode is 'RBG'. Did you mean 'RGB'"),
        ({"stack": ("path",)}, "the mode of 'path' in stack is 'path'"),
        ({"window": (40,)}, "window is (40,), expected (centre, width)"),
        ({"window": (40, 0)}, "the width of window (40, 0) must be above 0"),
        ({"window": (1, 2, 3, 4)}, "expected (centre, width)"),
        ({"columns": {"lable": "x"}}, "columns has 'lable'. Did you mean 'label'"),
        ({"test": 1}, "test is 1, expected a share from 0 to 1"),
        ({"mask_values": (0, 0)}, "mask_values (0, 0) has a value twice"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FileOptions(**options)


def test_tfds_in_memory_turns_images_too():
    from jaxcnn.data.tfds import _decode

    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(np.rot90(PICTURE), exif=exif)
    assert (_decode(turned, "RGB", None) == PICTURE).all()
