"""Draws the pictures of docs/seeing_features.md and docs/latents.md.

`python docs/make_features.py WEIGHTS PHOTO RUN32 RUN2` with ResNet-20's weights for
CIFAR-10 (`akamaster:cifar10`), a photo, and two autoencoders:

    python experiments/mnist_autoencoder.py mlp --run RUN32
    python experiments/mnist_autoencoder.py mlp --run RUN2 --model.args '{"latent": 2}'

CIFAR-10 and MNIST come from where TFDS keeps them. Words behind these choose some of
the parts, such as `classes dream`.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from jaxcnn import interpret, load_run, plotting, pretrained_config
from jaxcnn.commands.opened import read_picture
from jaxcnn.data import load_source
from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.interpret import Prior, Target
from jaxcnn.transfer import extract_features, load_model

IMAGES = Path(__file__).parent / "images"
LAYERS = ("stage1_block3", "stage2_block3", "stage3_block3")
PRIORS = {
    "nothing": Prior(),
    "jitter 4": Prior(jitter=4),
    "frequencies": Prior(jitter=4, frequency=1.0),
    "variation too": Prior(jitter=4, frequency=1.0, total_variation=0.05),
}


class Cifar:
    """ResNet-20 with published weights, and test images."""

    def __init__(self, weights: str) -> None:
        self.model, self.variables = load_model("resnet20_cifar", weights)
        known = pretrained_config("resnet20_cifar", "akamaster:cifar10")
        self.preprocess = make_preprocess(known)
        self.names = known.class_names
        self.test = load_source("cifar10", "test")

    def __call__(self, function, *values, **options):
        """Returns a function of the network."""
        return function(
            self.model, self.variables, *values, preprocess=self.preprocess, **options
        )


def filters(net: Cifar) -> None:
    """The first layer."""
    found = interpret.filter_images(net.variables, "stem/conv")
    plotting.image_grid(
        IMAGES / "features_filters.png",
        found,
        [str(k) for k in range(len(found))],
        columns=8,
        title="The 16 filters of stem/conv",
        subtitle="Grey is 0; each over its own range",
    )


def maps(net: Cifar) -> None:
    """What three layers make of one image."""
    image = net.test.images[:1]
    rows, notes = {}, {}
    for path in LAYERS:
        found = np.asarray(net(interpret.feature_maps, image, path)[0])
        strongest = np.asarray(interpret.strongest_channels(found, 9))
        drawn = np.moveaxis(found[..., strongest], -1, 0)
        drawn = drawn / drawn.max(axis=(1, 2), keepdims=True)
        drawn = drawn.repeat(32 // found.shape[0], 1).repeat(32 // found.shape[1], 2)
        gray = np.repeat(drawn[..., None], 3, axis=-1)
        rows[path] = np.concatenate([image / 255.0, gray])
        notes[path] = ["image", *map(str, strongest)]
    plotting.comparison_grid(
        IMAGES / "features_maps.png",
        rows,
        notes=notes,
        title="The nine most active channels of three layers",
    )


def classes(net: Cifar) -> None:
    """What each class wants to see, held by more and more."""
    start = interpret.noise_images(jax.random.key(1), (10, 32, 32, 3))
    target = Target("", tuple(range(10)))
    rows, notes = {}, {}
    for name, prior in PRIORS.items():
        made = net(interpret.maximize_activation, start, target, prior=prior)
        rows[name] = made.images
        print(f"{name}: mean logit {float(made.scores[-1].mean()):.0f}", flush=True)
    notes["nothing"] = list(net.names)
    plotting.comparison_grid(
        IMAGES / "features_classes.png",
        rows,
        notes=notes,
        title="What each class wants to see, held by more and more",
    )


def channels(net: Cifar) -> None:
    """What channels of three layers want to see."""
    start = interpret.noise_images(jax.random.key(1), (8, 48, 48, 3))
    rows = {}
    for path in LAYERS:
        target = Target(path, tuple(range(8)), "centre")
        rows[path] = net(interpret.maximize_activation, start, target, steps=96).images
    plotting.comparison_grid(
        IMAGES / "features_channels.png",
        rows,
        title="What the middle unit of channels 0 to 7 wants to see",
    )


def dream(net: Cifar, photo: str) -> None:
    """A photo into which three layers have dreamt."""
    image = read_picture(photo, 3, 160)[None]
    rows = [image[0] / 255.0]
    for path in LAYERS:
        options = {"octaves": 3, "prior": Prior(4, 0.25, 0.02)}
        rows.append(np.asarray(net(interpret.deepdream, image, path, **options)[0]))
    plotting.image_grid(
        IMAGES / "features_dream.png",
        np.stack(rows),
        ["photo", *LAYERS],
        columns=4,
        title="A photo, and what three layers dream into it",
    )


def fields(net: Cifar) -> None:
    """What units can see, and what they do see, before and after training."""
    images = net.preprocess(net.test.images[:64])
    fresh = net.model.init(jax.random.key(0), images)
    boxes, drawn, notes = {}, {}, {}
    for path in LAYERS:
        field = interpret.receptive_field(net.model, (32, 32, 3), path)
        for state, variables in {"untrained": fresh, "trained": net.variables}.items():
            seen = interpret.effective_receptive_field(
                net.model, variables, images, path
            )
            measure = interpret.measure_field(seen)
            print(
                f"| `{path}` | {state} | {field.size[0]} | {measure.size:.1f} | "
                f"{measure.deviation:.1f} |",
                flush=True,
            )
        boxes[path], drawn[path] = field.box(), seen
        notes[path] = f"can see {field.size[0]}, 95 % in {measure.size:.1f}"
    plotting.receptive_field_picture(
        IMAGES / "features_fields.png",
        net.test.images[0],
        boxes,
        drawn,
        notes=notes,
        title="What the middle unit can see, and does see (pixels)",
    )


def neighbours(net: Cifar) -> None:
    """Test images and those that the network takes for most alike; their map."""
    source = net.test.subset(np.arange(2000))
    found = extract_features(
        net.model, net.variables, source, preprocess=net.preprocess
    )
    queries = np.array([int(np.argmax(found.labels == k)) for k in (3, 0, 8, 4)])
    near = interpret.nearest_neighbours(
        found.outputs[queries], found.outputs, 9, leave_out=queries
    )
    rows, notes = {}, {}
    for query, indices, far in zip(queries, *map(np.asarray, near), strict=True):
        name = net.names[found.labels[query]]
        rows[name] = source.images[[query, *indices]]
        notes[name] = ["query"] + [
            f"{net.names[found.labels[k]]}, {d:.2f}"
            for k, d in zip(indices, far, strict=True)
        ]
    plotting.comparison_grid(
        IMAGES / "latents_neighbours.png",
        rows,
        notes=notes,
        title="Nearest of 2,000 test images, by the cosine of their features",
    )
    several = interpret.nearest_neighbours(
        found.outputs, found.outputs, 1, leave_out=np.arange(2000)
    ).indices[:, 0]
    same = np.mean(found.labels == found.labels[np.asarray(several)])
    print(f"the nearest one is of the same class: {same:.1%}", flush=True)
    points = interpret.tsne(found.outputs)
    plotting.scatter_map(
        IMAGES / "latents_tsne.png",
        points,
        found.labels,
        class_names=net.names,
        title="Features of 2,000 test images, t-SNE",
    )


def latents(large: str, small: str) -> None:
    """What two autoencoders make of digits."""
    source = load_source("mnist", "test")
    first = np.array([int(np.argmax(source.labels == k)) for k in range(10)])
    digits = source.images[first]
    big, little = load_run(large), load_run(small)
    given = interpret.reconstruct(big.model, big.variables, digits)
    few = interpret.reconstruct(little.model, little.variables, digits)
    plotting.comparison_grid(
        IMAGES / "latents_reconstructions.png",
        {"image": digits, "32 latents": given.images, "2 latents": few.images},
        notes={
            "32 latents": [f"error {e:.3f}" for e in given.errors],
            "2 latents": [f"error {e:.3f}" for e in few.errors],
        },
    )
    pairs = {"3 to 8": (3, 8), "1 to 7": (1, 7)}
    rows = {}
    for name, ends in pairs.items():
        a, b = (digits[[end]] / 255.0 for end in ends)
        codes = [interpret.encode(big.model, big.variables, x) for x in (a, b)]
        way = interpret.interpolate(*codes, 10)[0]
        rows[f"{name}, latents"] = interpret.decode(big.model, big.variables, way)
        rows[f"{name}, pixels"] = interpret.interpolate(a, b, 10)[0]
    plotting.comparison_grid(IMAGES / "latents_interpolation.png", rows)
    count = 2000
    codes = interpret.encode(little.model, little.variables, source.images[:count])
    grid = interpret.latent_grid(little.model, little.variables, codes, size=16)
    plotting.mosaic(
        IMAGES / "latents_grid.png",
        grid.images,
        across=(grid.across[0], grid.across[-1]),
        up=(grid.down[-1], grid.down[0]),
        labels=("first latent", "second latent"),
        title="What 2 latents decode to",
    )
    plotting.scatter_map(
        IMAGES / "latents_map.png",
        codes,
        source.labels[:count],
        axes_labels=("first latent", "second latent"),
        title="Where 2,000 test digits lie",
    )


def main(weights: str, photo: str, large: str, small: str, *only: str) -> None:
    """Writes the pictures."""
    net = Cifar(weights)
    parts = {
        part.__name__: part
        for part in (filters, maps, classes, channels, fields, neighbours)
    }
    parts["dream"] = lambda net: dream(net, photo)
    parts["latents"] = lambda net: latents(large, small)
    for name in only or parts:
        parts[name](net)


if __name__ == "__main__":
    main(*sys.argv[1:])
