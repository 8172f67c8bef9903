"""Images/s decoded by worker processes: this library and PyTorch's DataLoader.

    python -m benchmarks decode
    python -m benchmarks decode --rounds 5 --images 256

Both take random resized crops of 224 pixels, mirrored by half, of the same JPEGs of
400x300 in a folder, in batches of 32, and hand them over as uint8 arrays. The two take
turns in every round, so that a slow minute of the machine hits both; the table gives
medians and the middle half of the rounds. Starting the processes is not timed: the
clock starts after the batches that they make ahead. A JSON file with hardware, versions
and commit goes to benchmarks/results/.
"""

import argparse
import importlib.metadata
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import environment, write_results
from benchmarks.rounds import quartiles
from jaxcnn.data import TrainData, WorkerData, load_source

BATCH = 32
SIZE = 224


def write_images(folder, count):
    """Writes JPEGs of 400x300: coarse random colours and noise, about 50 kB each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        place = Path(folder) / "train" / f"class{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((400, 300))
        pixels = np.asarray(smooth) + rng.normal(0, 8, (300, 400, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(place / f"{number}.jpg", quality=90)


def our_batches(folder, workers):
    """Yields batches without end; closes its processes when it is closed."""
    source = load_source(f"folder:{folder}", decode="lazy", image_size=(SIZE, SIZE))
    data = TrainData(source, BATCH, seed=0)
    with WorkerData(data, workers) as batches:
        k = 0
        while True:
            yield batches[k]["image"]
            k += 1


def to_array(image):
    """Returns a Pillow image as uint8 `[height, width, channels]`."""
    return np.array(image)


def torch_batches(folder, workers):
    """Yields batches without end from `ImageFolder` and `DataLoader`."""
    import torch
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            to_array,
        ]
    )
    dataset = datasets.ImageFolder(Path(folder) / "train", transform)
    loader = torch.utils.data.DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
    while True:
        for images, _ in loader:
            yield images.numpy()


CALLS = {"jaxcnn": our_batches, "torch DataLoader": torch_batches}


def speed(batches, workers, count):
    """Returns images/s of `count` batches, once the processes are at work."""
    for _ in range(1 + 4 * workers):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        assert next(batches).shape == (BATCH, SIZE, SIZE, 3)
    return count * BATCH / (time.perf_counter() - start)


def measure(folder, loaders, workers, rounds, count):
    """Returns a row of figures for every loader and number of workers."""
    found = {(name, n): [] for n in workers for name in loaders}
    for _ in range(rounds):
        for name, n in found:
            batches = CALLS[name](folder, n)
            found[name, n].append(speed(batches, n, count))
            batches.close()
    rows = []
    for (name, n), values in found.items():
        low, middle, high = quartiles(values)
        rows.append(
            {
                "loader": name,
                "workers": n,
                "images_per_second": round(middle, 1),
                "middle_half": [round(low, 1), round(high, 1)],
            }
        )
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks decode", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="2 or more")
    parser.add_argument("--batches", type=int, default=30, help="timed in a round")
    parser.add_argument("--images", type=int, default=512, help="in the folder")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--loaders", nargs="+", choices=CALLS, default=list(CALLS))
    chosen = parser.parse_args(arguments)
    about = environment()
    for name in ("grain", "pillow", "torch", "torchvision"):
        about["versions"][name] = importlib.metadata.version(name)
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder, chosen.images)
        sizes = [path.stat().st_size for path in Path(folder).rglob("*.jpg")]
        about |= {
            "rounds": max(chosen.rounds, 2),
            "batches": chosen.batches,
            "batch": BATCH,
            "image": f"JPEG 400x300, {sum(sizes) // len(sizes):,} bytes on average",
        }
        rows = measure(
            folder, chosen.loaders, chosen.workers, about["rounds"], chosen.batches
        )
    print(f"{'loader':<18} {'workers':>7} {'images/s':>10}  middle half")
    for row in rows:
        low, high = row["middle_half"]
        print(
            f"{row['loader']:<18} {row['workers']:>7} "
            f"{row['images_per_second']:>10,.0f}  {low:,.0f} to {high:,.0f}"
        )
    write_results("decode", about, rows)


if __name__ == "__main__":
    main()
