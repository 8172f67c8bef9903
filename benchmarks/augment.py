"""Images/s of augmentation: this library's compiled batches and torchvision v2.

    python -m benchmarks augment
    python -m benchmarks augment --rounds 9 --cases crop_flip trivial

Both start from a batch of uint8 images in memory and end with floats in [0, 1], the
same operations with the same ranges, bilinear. Here every image of a batch has its own
draws. torchvision's transforms draw once for a whole batch; for draws of its own each
image goes through alone, as in a DataLoader. Both of its ways are timed ("a batch",
"an image"); only the second does the same work. Compilation is not timed. All take
turns in every round; the table gives medians and the middle half. A JSON file with
hardware, versions and commit goes to benchmarks/results/.
"""

import argparse
import importlib.metadata
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import environment, write_results
from benchmarks.rounds import quartiles
from benchmarks.torch_models import import_torchvision
from jaxcnn.augment import make_augment
from jaxcnn.data.preprocess import to_float

#: Size of the images, of the batch, and the augmentation here.
CASES = {
    "crop_flip": (32, 128, ["pad_crop(padding=4)", "random_flip"]),
    "affine": (32, 128, ["random_affine(degrees=10, translate=0.1)"]),
    "resized_crop_flip": (224, 16, ["random_resized_crop", "random_flip"]),
    "color_jitter": (224, 16, ["color_jitter(hue=0.1)"]),
    "rand_augment": (32, 128, ["rand_augment"]),
    "trivial": (32, 128, ["trivial_augment"]),
    "trivial_224": (224, 16, ["trivial_augment"]),
}


def our_step(specs):
    """Returns `step(number, images)`, compiled; waits for the result."""
    augment = make_augment(specs)

    @jax.jit
    def step(number, images):
        key = jax.random.fold_in(jax.random.key(0), number)
        return augment(key, {"image": to_float(images)})["image"]

    return lambda number, images: step(number, images).block_until_ready()


def import_transforms():
    """Returns torch, torchvision's transforms.v2, and what must outlive them."""
    torch, _, library = import_torchvision()
    from torchvision.transforms import v2

    return torch, v2, library


def their_transform(torch, v2, case, size):
    """Returns torchvision's transform of uint8 images, floats at the end."""
    bilinear = v2.InterpolationMode.BILINEAR
    steps = {
        "crop_flip": [v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip()],
        "affine": [v2.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), interpolation=bilinear)],
        "resized_crop_flip": [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()],
        "color_jitter": [v2.ColorJitter(0.4, 0.4, 0.4, 0.1)],
        "rand_augment": [v2.RandAugment(interpolation=bilinear)],
        "trivial": [v2.TrivialAugmentWide(interpolation=bilinear)],
    }[case.removesuffix("_224")]
    return v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True)])


def their_steps(case, size):
    """Returns `step(number, images)` by the way of drawing."""
    torch, v2, _library = import_transforms()
    transform = their_transform(torch, v2, case, size)

    def batched(_, images):
        return transform(images)

    def each(_, images):
        return torch.stack([transform(image) for image in images])

    return {"torchvision, an image": each, "torchvision, a batch": batched}


def speed(step, images, seconds, first):
    """Returns images/s of as many batches as fit into some seconds."""
    start, number = time.perf_counter(), first
    while time.perf_counter() - start < seconds:
        step(number, images)
        number += 1
    return (number - first) * len(images) / (time.perf_counter() - start)


def measure(case, rounds, seconds):
    """Returns a row of figures for each way to do a case."""
    size, batch, specs = CASES[case]
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    torch, _, _library = import_transforms()
    turned = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    steps = {"jaxcnn": our_step(specs), **their_steps(case, size)}
    inputs = {name: turned for name in steps} | {"jaxcnn": jnp.asarray(pixels)}
    found = {name: [] for name in steps}
    for name, step in steps.items():
        step(0, inputs[name])
    for turn in range(rounds):
        for name, step in steps.items():
            found[name].append(speed(step, inputs[name], seconds, 1000 * turn))
    rows = []
    for name, values in found.items():
        low, middle, high = quartiles(values)
        rows.append(
            {
                "case": case,
                "way": name,
                "pixels": size,
                "batch": batch,
                "images_per_second": round(middle, 1),
                "middle_half": [round(low, 1), round(high, 1)],
            }
        )
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks augment", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="2 or more")
    parser.add_argument("--seconds", type=float, default=0.5, help="a way and round")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    chosen = parser.parse_args(arguments)
    about = environment()
    for name in ("torch", "torchvision"):
        about["versions"][name] = importlib.metadata.version(name)
    about |= {"rounds": max(chosen.rounds, 2), "seconds": chosen.seconds}
    about["specs"] = {case: CASES[case][2] for case in chosen.cases}
    rows = []
    for case in chosen.cases:
        rows += measure(case, about["rounds"], chosen.seconds)
        for row in rows[-3:]:
            low, high = row["middle_half"]
            print(
                f"{row['case']:<18} {row['way']:<22} "
                f"{row['images_per_second']:>10,.0f}  {low:,.0f} to {high:,.0f}",
                flush=True,
            )
    write_results("augment", about, rows)


if __name__ == "__main__":
    main()
