"""The pictures and tables of docs/attribution.md.

`python docs/make_attribution.py DATA` draws the pictures of CIFAR-10 and prints both
tables, of the published ResNet-20 (DATA/weights/resnet20-12fca82f.th) on test images of
DATA/tfds.
"""

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import jaxcnn
from jaxcnn import cli, interpret
from jaxcnn.data import load_source
from jaxcnn.plotting import attribution_sheet, comparison_grid, map_over_image

OUT = Path(__file__).parent / "images"
#: Names in the pictures, the method and its options.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "saliency": ("saliency", {}),
    "gradient x input": ("gradient_times_input", {}),
    "SmoothGrad": ("smooth_grad", {"samples": 16}),
    "guided backprop.": ("guided_backpropagation", {}),
    "integrated grad.": ("integrated_gradients", {"steps": 16}),
    "occlusion": ("occlusion", {"window": 8, "stride": 4}),
    "Grad-CAM": ("grad_cam", {}),
    "Grad-CAM++": ("grad_cam_plus_plus", {}),
    "LayerCAM": ("layer_cam", {}),
    "LayerCAM, 3 layers": (
        "layer_cam",
        {"layers": [f"stage{stage}_block3" for stage in (1, 2, 3)]},
    ),
    "HiResCAM": ("hires_cam", {}),
    "EigenCAM": ("eigen_cam", {}),
}
#: Those of the picture; the other maps of the last layer look much like Grad-CAM's.
DRAWN = ("saliency", "SmoothGrad", "guided backprop.", "integrated grad.", "occlusion")
DRAWN += ("Grad-CAM", "LayerCAM, 3 layers")
#: Maps that know nothing of the model: noise, noise as coarse as the last layer, and a
#: bell in the middle, where photographers put what they mean.
BLIND = ("random", "random, 8x8", "centre")
PARTS = ("pictures", "lost", "deletion", "randomised", "xrays", "photos")
AT_A_TIME = 25
#: Of a picture, pixels at most.
WIDTH = 1200
#: Of deletion and insertion.
STEPS = 16
#: Methods that go through the model many times: last, and all at once.
REPEATED = ("SmoothGrad", "integrated grad.", "occlusion")
IN_ORDER = sorted(METHODS, key=lambda name: name in REPEATED)


@functools.cache
def explain(model: Any, name: str) -> Any:
    """Returns the method of a name in `METHODS`, compiled once for `AT_A_TIME`."""
    method, options = METHODS[name]
    if name in REPEATED:
        options = {**options, "batch_size": 10_000}
    return jax.jit(
        functools.partial(interpret.attribution_map, method, model, **options)
    )


def blind_map(name: str, shape: tuple[int, ...], seed: int) -> jax.Array:
    """Returns maps that know nothing of the model."""
    if name == "centre":
        place = jnp.square(jnp.linspace(-1, 1, shape[1]))
        return jnp.broadcast_to(-(place[:, None] + place[None, :]), shape)
    cells = 8 if "8x8" in name else None
    return interpret.random_maps(jax.random.key(seed), shape, cells)


def in_batches(function: Any, *arrays: Any) -> np.ndarray:
    """Returns a function of all images, computed a batch at a time."""
    parts = range(0, len(arrays[0]), AT_A_TIME)
    found = [function(*(a[k : k + AT_A_TIME] for a in arrays)) for k in parts]
    return np.concatenate([np.asarray(part) for part in found])


def top_classes(model: Any, variables: Any, images: Any) -> jax.Array:
    """Returns the class that each image is given, `[n]`."""
    predict = jax.jit(lambda x: jnp.argmax(model.apply(variables, x), axis=-1))
    return jnp.asarray(in_batches(predict, images))


def faithfulness(model: Any, variables: Any, images: Any) -> None:
    """Prints deletion and insertion of every method and of the blind maps."""

    def area(score: Any) -> Any:
        return jax.jit(
            lambda x, maps: (
                score(model, variables, x, maps, steps=STEPS, batch_size=450).area
            )
        )

    scores = (area(interpret.deletion_score), area(interpret.insertion_score))
    print(f"\n| map | deletion | insertion | n = {len(images)} |\n|---|---|---|---|")
    classes, shape = top_classes(model, variables, images), images.shape[:-1]
    for name in [*BLIND, *IN_ORDER]:
        start = time.perf_counter()
        if name in METHODS:
            method = explain(model, name)
            found = in_batches(lambda *x, m=method: m(variables, *x), images, classes)
            maps = [found]
        else:
            seeds = range(3 if "random" in name else 1)
            maps = [np.asarray(blind_map(name, shape, seed)) for seed in seeds]
        spent = time.perf_counter() - start
        cells = []
        for score in scores:
            values = np.stack([in_batches(score, images, each) for each in maps])
            each = values.mean(axis=0)
            error = each.std(ddof=1) / np.sqrt(len(each))
            cells.append(f"{each.mean():.3f} ± {error:.3f}")
        print(f"| {name} | {cells[0]} | {cells[1]} | {spent:.1f} s |", flush=True)


def randomisation(model: Any, variables: Any, images: Any, seeds: int) -> None:
    """Prints how like the maps stay while the weights are drawn anew."""
    shown, started = [0, 1, 4, 7, 10], False
    for name in IN_ORDER:
        method = explain(model, name)
        rows = []
        for seed in range(seeds):
            found = interpret.randomised_weights_check(
                method, model, variables, images, jax.random.key(seed)
            )
            rows.append(found.correlation.mean(axis=1))
        if not started:
            heads = " | ".join(f"to {found.parts[k]}" for k in shown)
            print(f"\n| map (n = {len(images)}, {seeds} seeds) | {heads} |")
            print("|---" * (1 + len(shown)) + "|")
            started = True
        values = np.stack(rows)
        cells = [
            f"{values[:, k].mean():.2f} ± {values[:, k].std(ddof=1):.2f}" for k in shown
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def cascade(model: Any, variables: Any, images: Any, stored: Any, which: int) -> None:
    """Draws the maps of one image while the weights are drawn anew."""
    names = ("guided backprop.", "saliency", "Grad-CAM", "LayerCAM, 3 layers")
    stages: list[str] = []
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for name in names:
        method = explain(model, name)

        def keep(
            variables: Any, images: Any, target: Any, name: str = name, f: Any = method
        ) -> Any:
            found = f(variables, images, target)
            drawn[name].append(map_over_image(stored, found)[which])
            return found

        found = interpret.randomised_weights_check(
            keep, model, variables, images, jax.random.key(0)
        )
        stages = ["trained", *found.parts]
    comparison_grid(
        OUT / "attribution_randomised.png",
        {name: np.stack(each) for name, each in drawn.items()},
        notes={names[0]: stages},
        title="Weights drawn anew, from the head down",
    )


def pictures(model: Any, variables: Any, images: Any, test: Any) -> None:
    """Draws maps of four images."""
    stored, names = test.images[:AT_A_TIME], test.class_names
    images, chosen = images[:AT_A_TIME], np.array([0, 3, 4, 12])
    probabilities = np.asarray(
        jax.nn.softmax(jax.jit(model.apply)(variables, images[chosen]))
    )
    classes = top_classes(model, variables, images)
    maps = {
        name: np.asarray(explain(model, name)(variables, images, classes))[chosen]
        for name in DRAWN
    }
    order = np.argsort(-probabilities, axis=1)[:, :3]
    attribution_sheet(
        OUT / "attribution_cifar10.png",
        stored[chosen],
        maps,
        titles=[names[test.labels[k]] for k in chosen],
        top=[
            [(names[k], float(row[k])) for k in best]
            for row, best in zip(probabilities, order, strict=True)
        ],
        explained=[names[best[0]] for best in order],
    )


def xrays(data: Path, run: str) -> None:
    """Draws three test images of each class with `jaxcnn explain`."""
    with (
        np.load(data / "pneumoniamnist.npz") as file,
        tempfile.TemporaryDirectory() as d,
    ):
        images, labels = file["test_images"], file["test_labels"].ravel()
        for label, name in enumerate(("normal", "pneumonia")):
            for number in np.flatnonzero(labels == label)[:3]:
                Image.fromarray(images[number]).save(Path(d, f"{name}_{number}.png"))
        methods = ("grad_cam", "layer_cam", "occlusion", "integrated_gradients")
        words = ["explain", run, d, "-o", str(OUT / "attribution_xrays.png")]
        cli.dispatch([*words, "--check", "--method", *methods])


def photos(data: Path) -> None:
    """Draws three photographs with `jaxcnn explain`."""
    files = [
        str(data / "photos" / f"{n}.png") for n in ("chelsea", "coffee", "astronaut")
    ]
    weights = str(data / "weights" / "squeezenet1_0-imagenet.npz")
    of = ["--weights", weights, "--like", "caffe:imagenet"]
    methods = ("grad_cam", "layer_cam", "guided_backpropagation")
    out = ["-o", str(OUT / "attribution_photos.png")]
    cli.dispatch(["explain", "squeezenet1_0", *files, *of, *out, "--method", *methods])


def shrink() -> None:
    """Makes the files of all pictures small."""
    for path in OUT.glob("attribution_*.png"):
        with Image.open(path) as file:
            image = file.convert("RGB")
        if image.width > WIDTH:
            height = round(image.height * WIDTH / image.width)
            image = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
        image.quantize(128).save(path, optimize=True)


def main() -> None:
    """Draws the pictures and prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--run", help="of experiments/pneumonia.py, for xrays")
    flags = parser.parse_args()
    if flags.only in ("xrays", "photos"):
        xrays(flags.data, flags.run) if flags.only == "xrays" else photos(flags.data)
        return shrink()
    os.environ.setdefault("TFDS_DATA_DIR", str(flags.data / "tfds"))
    weights = flags.data / "weights" / "resnet20-12fca82f.th"
    model, variables = jaxcnn.load_model("resnet20_cifar", weights)
    config = jaxcnn.pretrained_config("resnet20_cifar", "akamaster:cifar10")
    test = load_source("cifar10", "test[:1000]", data_dir=flags.data / "tfds")
    stored = test.images[: flags.images]
    images = jaxcnn.make_preprocess(config)(stored)
    if flags.only in (None, "pictures"):
        pictures(model, variables, images, test)
        shrink()
    if flags.only in (None, "lost"):
        cascade(model, variables, images[:AT_A_TIME], stored[:AT_A_TIME], which=4)
        shrink()
    if flags.only in (None, "deletion"):
        faithfulness(model, variables, images)
    if flags.only in (None, "randomised"):
        randomisation(model, variables, images[:AT_A_TIME], flags.seeds)


if __name__ == "__main__":
    main()
