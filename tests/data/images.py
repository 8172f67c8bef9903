"""Folders of small made-up images, for the tests of lazily decoded data."""

import numpy as np
from PIL import Image

from jaxcnn.data import load_source


def write_images(root, *, classes=("cat", "dog"), train=6, val=3, size=(30, 40)):
    """Writes `root/train/CLASS/0.jpg`, ...; each image is of one gray of its own."""
    for split, count in (("train", train), ("val", val)):
        for c, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                gray = 20 * i + 120 * c
                pixels = np.full((*size, 3), gray, np.uint8)
                pixels[: size[0] // 2] += 9  # so that no image is constant
                Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=95)
    return root


def read(root, split="train", **options):
    """Returns the images of a folder as a source that decodes them on demand."""
    options = {"decode": "lazy", "image_size": (16, 16), **options}
    return load_source(f"folder:{root}", split, **options)


def same(one, two):
    """Returns whether two batches are equal."""
    assert one.keys() == two.keys()
    return all((one[name] == two[name]).all() for name in one)
