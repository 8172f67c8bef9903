"""The command `jaxcnn features`: pictures of what a network has learned to see."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxcnn.commands.opened import OpenedModel, open_model
from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.layers.checks import check_choice, check_number

#: Layers that are drawn of a model without endpoints.
_LAYERS = 4
_MAPS = 32
_FILTERS = 64
_QUERIES = 6
_NEIGHBOURS = 8


@dataclasses.dataclass(frozen=True)
class _Features:
    """Draws filters, feature maps and receptive fields, and prints the pictures' names.

    With a run's data also nearest neighbours and a map of features; of an autoencoder
    its latents.
    """

    model: tyro.conf.Positional[str]
    """A run folder; or the registered name of a model, with --weights."""
    images: tyro.conf.Positional[tuple[str, ...]] = ()
    """Pictures to look at; by default the first examples of the run's data."""
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for the pictures; by default features in the run folder."""
    layer: tuple[str, ...] = ()
    """Paths of submodules to draw; by default the model's endpoints."""
    split: str = "test"
    """Part of the run's data among which neighbours are sought."""
    examples: int = 2000
    """How many of them; 0 for none, and no neighbours and map."""
    projection: str = "pca"
    """Of the map: pca or tsne."""
    data_dir: str | None = None
    """Where the run's data are now, if not where they were in training."""
    weights: str | None = None
    """With the name of a model: a file, a published set, or hf-hub:owner/name."""
    like: str | None = None
    """With --weights: a published set whose preprocessing and classes they share."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""


def command(args: list[str]) -> int:
    """Writes the pictures, prints their names and returns the exit code.

    Raises:
        ValueError: for a bad flag, or if there is no such submodule or split.
        OSError: if a file is missing, or the pictures cannot be written.
    """
    from jaxcnn.run import read_image

    flags = parse_flags(_Features, args, prog="jaxcnn features")
    check_choice("--projection", flags.projection, ("pca", "tsne"))
    check_number("--examples", flags.examples, 0)
    opened = open_model(
        flags.model,
        weights=flags.weights,
        like=flags.like,
        step=flags.step,
        raw=flags.raw,
    )
    out = _folder(flags, opened)
    source = _source(flags, opened)
    if flags.images:
        images = np.stack([read_image(p, opened.image_shape) for p in flags.images])
    elif source is not None:
        images = source.images[:_QUERIES]
    else:
        raise ValueError("features needs a picture, or a run folder with its data.")
    pictures = _Pictures(flags, opened, out, images, source)
    for name in pictures.drawn():
        print(out / name)
    return 0


def _folder(flags: _Features, opened: OpenedModel) -> Path:
    if flags.out is None and opened.run is None:
        raise ValueError("--weights needs --out, a folder for the pictures.")
    out = Path(flags.model, "features") if flags.out is None else Path(flags.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"--out {out} is a file; a folder is needed.") from None
    return out


def _source(flags: _Features, opened: OpenedModel) -> Any:
    """Returns the first examples of the run's data, all over a split, or None."""
    from jaxcnn.data import LazySource
    from jaxcnn.experiment.config import ExperimentConfig
    from jaxcnn.experiment.other_data import evaluation_of

    if opened.run is None or not opened.run.config.experiment or not flags.examples:
        return None
    config = ExperimentConfig.from_json(opened.run.config.experiment)
    if flags.data_dir is not None:
        data = dataclasses.replace(config.data, data_dir=flags.data_dir)
        config = dataclasses.replace(config, data=data)
    source = evaluation_of(opened.run.config, config, flags.split).source
    count = min(flags.examples, len(source))
    # From all over it: it may be sorted by class.
    source = source.subset(np.linspace(0, len(source) - 1, count).astype(int))
    return source.in_memory() if isinstance(source, LazySource) else source


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """What is drawn, and of what."""

    flags: _Features
    opened: OpenedModel
    out: Path
    images: np.ndarray
    source: Any

    def drawn(self) -> Iterator[str]:
        """Draws one picture after the other and yields its name."""
        layers = self.flags.layer or _layers(self.opened, self.input_shape)
        autoencoder = hasattr(self.opened.model, "decode")
        yield from self.filters()
        yield from self.maps(layers)
        if layers:
            yield from self.fields(layers)
        if autoencoder:
            yield from self.latents()
        if self.source is not None:
            yield from self.neighbours(autoencoder, layers[-1] if layers else None)

    @property
    def preprocess(self) -> Any:
        """From stored pixels to the model's input."""
        return make_preprocess(self.opened.preprocess)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the model gets of one image."""
        return self.preprocess(self.images[:1]).shape[1:]

    def filters(self) -> Iterator[str]:
        from jaxcnn import plotting
        from jaxcnn.interpret import filter_images, first_layer

        shape = self.input_shape
        path = first_layer(self.opened.model, shape)
        filters = np.asarray(
            filter_images(self.opened.variables, path, image_shape=shape)
        )
        if self.opened.channel_order == "BGR":
            filters = filters[..., ::-1]
        plotting.image_grid(
            self.out / "filters.png",
            filters[:_FILTERS],
            [str(k) for k in range(len(filters[:_FILTERS]))],
            title=f"Filters of {path}",
            subtitle="Grey is 0; each over its own range",
        )
        yield "filters.png"

    def maps(self, layers: tuple[str, ...]) -> Iterator[str]:
        from jaxcnn import plotting
        from jaxcnn.interpret import feature_maps, strongest_channels

        model, variables = self.opened.model, self.opened.variables
        preprocess = self.preprocess
        for path in layers:
            maps = feature_maps(
                model, variables, self.images[:1], path, preprocess=preprocess
            )[0]
            name = f"maps_{path.replace('/', '_')}.png"
            plotting.feature_map_grid(
                self.out / name,
                maps,
                channels=strongest_channels(maps, _MAPS).tolist(),
                title=f"{path}: {maps.shape[0]}x{maps.shape[1]}, the most active of "
                f"{maps.shape[-1]} channels",
            )
            yield name

    def fields(self, layers: tuple[str, ...]) -> Iterator[str]:
        from jaxcnn import plotting
        from jaxcnn.interpret import (
            effective_receptive_field,
            measure_field,
            receptive_field,
        )

        model, variables = self.opened.model, self.opened.variables
        inputs = self.preprocess(self.images)
        boxes, fields, notes = {}, {}, {}
        for path in layers:
            theory = receptive_field(model, self.input_shape, path)
            boxes[path] = theory.box()
            field = np.asarray(
                effective_receptive_field(model, variables, inputs, path)
            )
            seen = " x ".join("all" if n is None else str(n) for n in theory.size)
            notes[path] = f"can see {seen}"
            fields[path] = field
            if field.any():
                side = f"{measure_field(field).size:.0f}"
                notes[path] += f", 95 % in {side} x {side}"
        plotting.receptive_field_picture(
            self.out / "receptive_fields.png",
            self.seen[0],
            boxes,
            fields,
            notes=notes,
            title="What the middle unit of a layer can see, and does see",
        )
        yield "receptive_fields.png"

    @property
    def seen(self) -> np.ndarray:
        """The pictures as the model gets them, in the colours that a person knows."""
        plain = self.opened.preprocess and dataclasses.replace(
            self.opened.preprocess, mean=(), std=(), channel_order="RGB"
        )
        return np.asarray(make_preprocess(plain)(self.images))

    def latents(self) -> Iterator[str]:
        from jaxcnn import plotting
        from jaxcnn.interpret import (
            decode,
            encode,
            interpolate,
            latent_grid,
            reconstruct,
        )

        model, variables = self.opened.model, self.opened.variables
        found = reconstruct(model, variables, self.images, preprocess=self.preprocess)
        plotting.comparison_grid(
            self.out / "reconstructions.png",
            {"input": found.inputs, "output": found.images},
            notes={"output": [f"error {e:.4f}" for e in found.errors]},
        )
        yield "reconstructions.png"
        latents = encode(model, variables, self.images, preprocess=self.preprocess)
        if len(latents) > 1:
            way = interpolate(latents[:1], latents[1:2], 10)[0]
            plotting.image_grid(
                self.out / "interpolation.png",
                decode(model, variables, way),
                columns=10,
                title="From the first picture to the second",
            )
            yield "interpolation.png"
        if self.source is None:
            return
        many = self.features(None)
        grid = latent_grid(model, variables, many)
        plotting.mosaic(
            self.out / "latent_grid.png",
            grid.images,
            across=(grid.across[0], grid.across[-1]),
            up=(grid.down[-1], grid.down[0]),
            labels=("first principal component", "second principal component"),
            title="Images of a plane through the latents",
        )
        yield "latent_grid.png"

    def features(self, path: str | None) -> np.ndarray:
        """Returns features of the source; of an autoencoder its latents."""
        from jaxcnn.interpret import encode
        from jaxcnn.transfer import extract_features

        model, variables = self.opened.model, self.opened.variables
        options = {"preprocess": self.preprocess}
        if hasattr(model, "decode"):
            parts = np.array_split(self.source.images, -(-len(self.source) // 256))
            made = [encode(model, variables, part, **options) for part in parts]
            return np.concatenate([np.asarray(x) for x in made])
        endpoint = None if hasattr(model, "num_classes") else path
        found = extract_features(
            model, variables, self.source, endpoint=endpoint, **options
        )
        return found.outputs

    def neighbours(self, autoencoder: bool, last: str | None) -> Iterator[str]:
        from jaxcnn import plotting
        from jaxcnn.interpret import nearest_neighbours, pca, tsne

        features = self.features(last)
        names = self.opened.class_names or self.source.class_names
        labels = np.asarray(self.source.labels)
        rows, notes = {}, {}
        queries = np.linspace(0, len(features) - 1, _QUERIES).astype(int)
        count = min(_NEIGHBOURS, len(features) - 1)
        # Of latents the place counts, of features the direction.
        metric = "euclidean" if autoencoder else "cosine"
        found = nearest_neighbours(
            features[queries], features, count, metric=metric, leave_out=queries
        )
        for query, near, far in zip(
            queries, np.asarray(found.indices), np.asarray(found.distances), strict=True
        ):
            title = f"{len(rows) + 1}: {names[labels[query]]}"
            rows[title] = self.source.images[[query, *near]]
            notes[title] = ["query"] + [
                f"{names[labels[k]]}, {distance:.2f}"
                for k, distance in zip(near, far, strict=True)
            ]
        what = "latents" if autoencoder else "features"
        plotting.comparison_grid(
            self.out / "neighbours.png",
            rows,
            notes=notes,
            title=f"Nearest of {len(features):,}, by the {metric} distance of {what}",
        )
        yield "neighbours.png"
        labelled = dict(class_names=names, title=f"{len(features):,} examples")
        if self.flags.projection == "tsne":
            points = tsne(features, perplexity=min(30.0, len(features) / 4))
            plotting.scatter_map(self.out / "map.png", points, labels, **labelled)
        else:
            found = pca(features, 2)
            axes = [f"component {k + 1} ({s:.0%})" for k, s in enumerate(found.shares)]
            plotting.scatter_map(
                self.out / "map.png",
                found.project(features),
                labels,
                axes_labels=tuple(axes),
                **labelled,
            )
        yield "map.png"


def _layers(opened: OpenedModel, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Returns the endpoints of a model, or some of its convolutions, or nothing."""
    import jax.numpy as jnp

    from jaxcnn.models.calls import trace_calls
    from jaxcnn.models.features import endpoint_paths, has_endpoints

    if has_endpoints(opened.model):
        return tuple(endpoint_paths(opened.model))
    calls, _, _ = trace_calls(opened.model, (1, *shape), jnp.float32, {})
    paths = ["/".join(c.path) for c in calls if c.kind == "convolution"]
    paths = [path for path in dict.fromkeys(paths) if not path.startswith("decoder")]
    if not paths:  # of dense layers alone: they have no maps
        return ()
    chosen = np.linspace(0, len(paths) - 1, _LAYERS, dtype=int)
    return tuple(paths[k] for k in np.unique(chosen))
