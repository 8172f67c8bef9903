"""Draws the pictures of the guide on augmentation.

`python docs/make_augmentation.py` takes the flower and the digits that scikit-learn
brings along.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from jaxcnn.augment import default_augment, make_augment
from jaxcnn.plotting import comparison_grid, image_grid

FOLDER = Path(__file__).parent / "images"
# What shows each operation well; `probability=1` for those of a share of the images.
GALLERY = [
    "random_flip(probability=1)",
    "random_vertical_flip(probability=1)",
    "pad_crop(padding=20)",
    "random_resized_crop",
    "random_rotate(degrees=45)",
    "random_shear(x=25)",
    "random_translate(x=0.3, y=0.3)",
    "random_zoom(scale=(0.5, 2))",
    "random_perspective(probability=1)",
    "random_elastic(alpha=120)",
    "random_brightness(amount=0.6)",
    "random_contrast(amount=0.8)",
    "random_saturation(amount=1)",
    "random_hue(amount=0.4)",
    "color_jitter(hue=0.1)",
    "random_gray(probability=1)",
    "random_blur(sigma=(2, 3), probability=1)",
    "random_sharpness(amount=8)",
    "random_noise(std=0.4)",
    "random_posterize(bits=2, probability=1)",
    "random_solarize(probability=1)",
    "random_equalize(probability=1)",
    "random_autocontrast(probability=1)",
    "random_invert(probability=1)",
    "random_erasing(probability=1)",
    "rand_augment",
    "trivial_augment",
    "three_augment",
]


def flower():
    """Returns the photograph as floats, `[96, 144, 3]`."""
    picture = Image.fromarray(load_sample_image("flower.jpg"))
    picture = picture.resize((144, 96), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def draws(spec, image, count, seed=0):
    """Returns so many draws of one image."""
    batch = {"image": jnp.asarray(np.stack([image] * count))}
    return np.asarray(make_augment(spec)(jax.random.key(seed), batch)["image"])


def shrink(path):
    """Writes a picture with 256 colours, which takes a third of the space."""
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main():
    """Writes the pictures."""
    image = flower()
    images = [image] + [draws(spec, image, 1, seed=5)[0] for spec in GALLERY]
    titles = ["original"] + [spec.partition("(")[0] for spec in GALLERY]
    notes = [""] + [spec.partition("(")[2].removesuffix(")") for spec in GALLERY]
    image_grid(
        FOLDER / "augmentation.png", np.stack(images), titles, notes=notes, columns=6
    )
    policies = {"original": np.stack([image] * 8)}
    for spec in ("rand_augment", "trivial_augment", "three_augment"):
        policies[spec] = draws(spec, image, 8, seed=1)
    comparison_grid(FOLDER / "augmentation_policies.png", policies)
    digits = load_digits().images[:10, ..., None].astype(np.float32) / 16
    rows = {"original": digits}
    for k in range(3):
        batch = {"image": jnp.asarray(digits)}
        augment = make_augment(default_augment("digits"))
        rows[f"draw {k + 1}"] = augment(jax.random.key(k), batch)["image"]
    comparison_grid(FOLDER / "augmentation_digits.png", rows)
    for name in ("augmentation", "augmentation_policies"):
        shrink(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
