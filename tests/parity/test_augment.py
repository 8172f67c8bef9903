"""Augmentations against torchvision's transforms.v2.functional and Pillow.

On the same bytes as floats in [0, 1]. Where torchvision computes in floats, the
numbers are equal to float32's precision; Pillow rounds to bytes: up to a level between.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.augment import color, filters, histogram
from jaxcnn.augment.erasing import erase
from jaxcnn.augment.matrices import (
    cropping,
    homography,
    product,
    rotation,
    scaling,
    shearing,
    translation,
)
from jaxcnn.augment.policies import (
    OPERATIONS,
    RAND_AUGMENT,
    TRIVIAL_AUGMENT_WIDE,
    colored,
    moving,
    strengths,
)
from jaxcnn.augment.spatial import smoothing
from jaxcnn.augment.warps import Warp, warped

pytestmark = pytest.mark.parity

# torchvision's gray is 0.2989 R + ..., ours and Pillow's 0.299 R + ...
GRAY = 1.2e-4


@pytest.fixture(scope="module")
def bytes_():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (4, 5, 3)), np.ones((6, 5, 1)))
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    images = np.clip(noisy, 10, 240).astype(np.uint8)
    images[:5, :5] = 128  # gray has no hue
    return images


@pytest.fixture(scope="module")
def functional(torchvision):
    from torchvision.transforms.v2 import functional

    return functional


def ours(bytes_):
    return jnp.asarray(bytes_, jnp.float32)[None] / 255


def theirs(torch, bytes_, function, *args, raw=False, **options):
    image = torch.from_numpy(bytes_.copy()).permute(2, 0, 1)
    image = image if raw else image.to(torch.float32) / 255
    result = function(image, *args, **options).permute(1, 2, 0).numpy()
    return result.astype(np.float32) / 255 if raw else result


def one(value):
    return jnp.array([value], jnp.float32)


@pytest.mark.parametrize(
    ("name", "torch_name", "values", "atol"),
    [
        ("brightness", "adjust_brightness", [0, 0.6, 1.7], 1e-6),
        ("contrast", "adjust_contrast", [0, 0.6, 1.7], GRAY),
        ("saturation", "adjust_saturation", [0, 0.6, 1.7], GRAY),
        ("hue", "adjust_hue", [-0.5, -0.2, 0.0, 0.13, 0.5], 2e-5),
        ("solarize", "solarize", [0.2, 0.5, 0.9], 1e-6),
    ],
)
def test_colors(torch, functional, bytes_, name, torch_name, values, atol):
    for value in values:
        found = getattr(color, name)(ours(bytes_), one(value))[0]
        reference = theirs(torch, bytes_, getattr(functional, torch_name), value)
        np.testing.assert_allclose(found, reference, atol=atol)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_bytes(torch, functional, bytes_, channels):
    # What Pillow defines on bytes is equal to the byte.
    image = bytes_[..., :channels]
    floats = ours(image)
    for bits in (1, 3, 4, 7, 8):
        found = color.posterize(floats, one(bits))[0]
        reference = theirs(torch, image, functional.posterize, bits, raw=True)
        np.testing.assert_allclose(found, reference, atol=1e-6)
    pairs = {
        "equalize": histogram.equalize,
        "invert": color.invert,
        "autocontrast": histogram.autocontrast,
    }
    for name, function in pairs.items():
        raw = name == "equalize"
        reference = theirs(torch, image, getattr(functional, name), raw=raw)
        np.testing.assert_allclose(function(floats)[0], reference, atol=1e-6)


def test_equalize_of_few_values(torch, functional):
    # Steps of 0, images of one value, and of two.
    for image in (
        np.full((6, 6, 1), 77, np.uint8),
        np.array([0, 255] * 150, np.uint8).reshape(20, 15, 1),
        np.arange(16, dtype=np.uint8).reshape(4, 4, 1),
    ):
        reference = theirs(torch, image, functional.equalize, raw=True)
        found = histogram.equalize(ours(image))[0]
        np.testing.assert_allclose(found, reference, atol=1e-6)


def test_gray(torch, functional, bytes_):
    reference = theirs(torch, bytes_, functional.rgb_to_grayscale, 3)
    np.testing.assert_allclose(color.gray(ours(bytes_))[0], reference, atol=GRAY)


@pytest.mark.parametrize("factor", [0.0, 0.4, 2.0])
def test_sharpness(torch, functional, bytes_, factor):
    found = filters.sharpness(ours(bytes_), one(factor))[0]
    reference = theirs(torch, bytes_, functional.adjust_sharpness, factor)
    np.testing.assert_allclose(found, reference, atol=1e-5)


@pytest.mark.parametrize(("sigma", "radius"), [(0.5, 2), (1.3, 4), (2.0, 6)])
def test_blur(torch, functional, bytes_, sigma, radius):
    found = filters.gaussian_blur(ours(bytes_), one(sigma), radius)[0]
    size = [2 * radius + 1] * 2
    reference = theirs(torch, bytes_, functional.gaussian_blur, size, [sigma, sigma])
    np.testing.assert_allclose(found, reference, atol=1e-5)


def test_erase(torch, functional, bytes_):
    found = erase(ours(bytes_), jnp.array([[3, 2, 9, 12]]), 0.25)[0]
    value = torch.tensor(0.25)
    reference = theirs(torch, bytes_, functional.erase, 2, 3, 10, 6, value)
    np.testing.assert_allclose(found, reference, atol=1e-6)


def test_pillow_to_a_level(bytes_):
    from PIL import Image, ImageEnhance, ImageOps

    picture, floats = Image.fromarray(bytes_), ours(bytes_)
    cases = {
        "brightness": (ImageEnhance.Brightness(picture).enhance(1.4), 1.4),
        "contrast": (ImageEnhance.Contrast(picture).enhance(0.5), 0.5),
        "saturation": (ImageEnhance.Color(picture).enhance(1.5), 1.5),
    }
    for name, (result, factor) in cases.items():
        found = 255 * getattr(color, name)(floats, one(factor))[0]
        assert np.abs(found - np.asarray(result)).max() <= 1.6, name
    sharp = 255 * filters.sharpness(floats, one(1.8))[0]
    reference = np.asarray(ImageEnhance.Sharpness(picture).enhance(1.8))
    assert np.abs(sharp - reference).max() <= 1.6
    exact = {
        "equalize": (histogram.equalize(floats), ImageOps.equalize(picture)),
        "invert": (color.invert(floats), ImageOps.invert(picture)),
        "solarize": (
            color.solarize(floats, one(128 / 255)),
            ImageOps.solarize(picture, 128),
        ),
        "posterize": (color.posterize(floats, one(3)), ImageOps.posterize(picture, 3)),
    }
    for name, (found, result) in exact.items():
        rounded = np.round(255 * np.asarray(found[0]))
        np.testing.assert_array_equal(rounded, np.asarray(result), err_msg=name)


def warp(bytes_, matrix, **more):
    return warped({"image": ours(bytes_)}, [Warp(matrix, **more)])["image"][0]


@pytest.mark.parametrize(
    ("angle", "shift", "scale", "shear"),
    [
        (30.0, (0, 0), 1.0, (0.0, 0.0)),
        (0.0, (3, -2), 1.0, (0.0, 0.0)),
        (0.0, (0, 0), 0.7, (0.0, 0.0)),
        (0.0, (0, 0), 1.0, (15.0, 0.0)),
        (0.0, (0, 0), 1.0, (0.0, 15.0)),
        (-40.0, (2, 5), 1.3, (12.0, -7.0)),
    ],
)
def test_affine(torch, functional, bytes_, angle, shift, scale, shear):
    reference = theirs(
        torch,
        bytes_,
        functional.affine,
        angle,
        list(shift),
        scale,
        list(shear),
        interpolation=functional_mode(),
    )
    # torchvision's angles turn clockwise, and its shears lean the other way.
    lean = jnp.tan(jnp.deg2rad(one(shear[0]))), jnp.tan(jnp.deg2rad(one(shear[1])))
    zero = jnp.zeros(1)
    matrix = product(shearing(zero, -lean[1]), shearing(-lean[0], zero))
    matrix = product(scaling(one(scale), one(scale)), matrix)
    matrix = product(rotation(one(-angle)), matrix)
    matrix = product(translation(*map(one, shift)), matrix)
    np.testing.assert_allclose(warp(bytes_, matrix), reference, atol=2e-5)


def functional_mode():
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.BILINEAR


def test_rotate_turns_as_torchvision_does(torch, functional, bytes_):
    reference = theirs(
        torch, bytes_, functional.rotate, 25.0, interpolation=functional_mode()
    )
    found = warp(bytes_, rotation(one(25.0)))
    np.testing.assert_allclose(found, reference, atol=2e-5)


def test_perspective(torch, functional, bytes_):
    height, width = bytes_.shape[:2]
    start = [[0, 0], [width, 0], [width, height], [0, height]]
    end = [[2, 3], [width - 4, 1], [width - 1, height - 5], [3, height - 2]]
    reference = theirs(
        torch,
        bytes_,
        functional.perspective,
        start,
        end,
        interpolation=functional_mode(),
    )
    middle = np.array([width / 2, height / 2])
    corners = [jnp.asarray([np.array(p) - middle], jnp.float32) for p in (start, end)]
    found = warp(bytes_, homography(*corners))
    np.testing.assert_allclose(found, reference, atol=2e-4)


def test_resized_crop(torch, functional, bytes_):
    height, width = bytes_.shape[:2]
    for left, top, wide, high in ((0, 0, 10, 8), (7, 5, 18, 19), (3, 2, 5, 22)):
        reference = theirs(
            torch,
            bytes_,
            functional.resized_crop,
            top,
            left,
            high,
            wide,
            [height, width],
            antialias=True,
        )
        box = jnp.array([[left, top, left + wide, top + high]])
        found = warp(bytes_, cropping(box, height, width), window=box)
        np.testing.assert_allclose(found, reference, atol=2e-5)


def test_elastic(torch, functional, bytes_):
    height, width = bytes_.shape[:2]
    noise = np.random.default_rng(1).uniform(-1, 1, (height, width, 2))
    down, across = smoothing(height, 1.2), smoothing(width, 1.2)
    smooth = np.einsum("ij,jkc,lk->ilc", down, noise, across)
    # torchvision's way to the same field: a blur of int(8 * sigma + 1) pixels, odd.
    blurred = functional.gaussian_blur(
        torch.from_numpy(noise.transpose(2, 0, 1)), [11, 11], [1.2, 1.2]
    )
    np.testing.assert_allclose(smooth, blurred.permute(1, 2, 0).numpy(), atol=1e-5)
    field = torch.from_numpy((40 * smooth / [width, height])[None]).float()
    reference = theirs(torch, bytes_, functional.elastic, field, functional_mode())
    shift = Warp(displacement=jnp.asarray(20 * smooth, jnp.float32)[None])
    found = warped({"image": ours(bytes_)}, [shift])["image"][0]
    np.testing.assert_allclose(found, reference, atol=1e-4)


def test_boxes(torch, torchvision, functional):
    from torchvision import tv_tensors

    boxes = np.array([[3, 4, 12, 9], [15, 1, 24, 20], [0, 0, 4, 3]], np.float32)
    theirs_ = tv_tensors.BoundingBoxes(
        torch.from_numpy(boxes), format="XYXY", canvas_size=(24, 25)
    )
    reference = functional.affine(theirs_, -20.0, [2, 1], 0.9, [0.0, 0.0])
    reference = functional.clamp_bounding_boxes(reference)
    matrix = product(rotation(one(20.0)), scaling(one(0.9), one(0.9)))
    matrix = product(translation(one(2.0), one(1.0)), matrix)
    batch = {"image": jnp.zeros((1, 24, 25, 1)), "boxes": jnp.asarray(boxes)[None]}
    found = warped(batch, [Warp(matrix)])["boxes"][0]
    np.testing.assert_allclose(found, reference.numpy(), atol=1e-4)


NAMES = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}


def policies(torchvision):
    from torchvision.transforms import v2

    mode = functional_mode()
    return (
        # With fill=0, and not its default None, the weight at a border counts twice.
        (v2.RandAugment(interpolation=mode), RAND_AUGMENT),
        (v2.TrivialAugmentWide(interpolation=mode), TRIVIAL_AUGMENT_WIDE),
    )


def test_policies_have_the_same_operations_and_strengths(torchvision):
    for policy, space in policies(torchvision):
        assert list(policy._AUGMENTATION_SPACE) == [NAMES[n] for n in OPERATIONS]
        for index, name in enumerate(OPERATIONS):
            magnitudes, _ = policy._AUGMENTATION_SPACE[NAMES[name]]
            reference = magnitudes(31, 24, 25)
            if reference is None:
                continue
            exact = reference = reference.numpy()
            if "Translate" in NAMES[name]:
                reference = exact.astype(int)
            levels = jnp.arange(31)
            found = strengths(space, jnp.full(31, index), levels, 24, 25)
            # Its 16 pixels are 15.999999, of which it takes 15.
            same = (exact == reference) | (np.abs(exact - np.round(exact)) > 1e-4)
            same |= "Translate" not in NAMES[name]
            assert same.sum() >= 29
            np.testing.assert_allclose(
                found[same], reference[same], atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_operation_of_a_policy(torch, torchvision, bytes_, name):
    height, width = bytes_.shape[:2]
    operation = jnp.array([OPERATIONS.index(name)])
    for policy, space in policies(torchvision):
        for level, sign in ((9, 1), (9, -1), (30, 1)):
            if sign < 0 and not policy._AUGMENTATION_SPACE[NAMES[name]][1]:
                continue
            strength = strengths(space, operation, jnp.array([level]), height, width)
            strength = sign * strength
            image = colored(ours(bytes_), operation, strength)
            matrix = moving(operation, strength, height, width)
            found = warped({"image": image}, [Warp(matrix)])["image"][0]
            raw = name in ("posterize", "equalize")
            reference = theirs(
                torch,
                bytes_,
                policy._apply_image_or_video_transform,
                NAMES[name],
                float(strength[0]),
                policy.interpolation,
                policy._fill,
                raw=raw,
            )
            # Right at a border, a rounding error decides what lies beyond.
            error = np.abs(np.asarray(found) - reference)
            assert (error > 2e-4).mean() < 2e-3, (name, level, sign, error.max())
