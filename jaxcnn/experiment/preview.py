"""A picture of what a model will see: originals, and draws of their augmentation."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.augment.defaults import expanded
from jaxcnn.data.preprocess import make_preprocess, to_float
from jaxcnn.experiment.build import Experiment, build
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.run import RunConfig
from jaxcnn.typing import PyTree


@dataclasses.dataclass(frozen=True)
class _Augment:
    """Draws originals and what a model will see of them in training."""

    preview: str
    """A run folder, or an experiment file FILE.py."""
    out: str = "preview.png"
    """The picture to write."""
    images: int = 8
    """How many images."""
    draws: int = 5
    """How many draws of each."""
    recipe: str | None = None
    """Of the experiment file, if it has several."""
    augment: tuple[str, ...] | None = None
    """Other augmentations than data.augment, such as default."""
    data_dir: str | None = None
    """Where the data are now, if not where they were."""


def command(args: list[str], config_of: Callable[..., ExperimentConfig]) -> str:
    """Draws what the flags ask for and returns a line that says so.

    Args:
        args: The flags.
        config_of: Reads an experiment file: `config_of(path)` or `(path, recipe)`.

    Raises:
        ValueError: if a flag is wrong, or there is no such run or file.
        OSError: if the data are missing or the picture cannot be written.
    """
    flags = parse_flags(_Augment, args, prog="jaxcnn augment")
    for name in ("images", "draws"):
        if getattr(flags, name) < 1:
            raise ValueError(f"--{name} must be 1 or more, got {getattr(flags, name)}.")
    config = _config(flags.preview, flags.recipe, config_of)
    changes: dict[str, Any] = {}
    if flags.augment is not None:
        changes["augment"] = flags.augment
    if flags.data_dir is not None:
        changes["data_dir"] = flags.data_dir
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, **changes)
    )
    specs = draw_preview(config, flags.out, images=flags.images, draws=flags.draws)
    return f"{flags.out}: {', '.join(specs) or 'no augmentation'}"


def draw_preview(
    config: ExperimentConfig, path: Any, *, images: int = 8, draws: int = 5
) -> tuple[str, ...]:
    """Writes a picture of a configuration's augmentation and returns its specs.

    The first row holds images of the first batch with their classes, each row below
    one draw: augmented, preprocessed as for the model, and the standardisation undone
    for display. Where classes are mixed, a draw says in which shares.

    Args:
        config: What is to be trained.
        path: The picture.
        images: How many images, at most a batch.
        draws: How many rows of them.

    Raises:
        ValueError: if the data are no images, or as `build` does.
        OSError: if the data are missing.
    """
    from jaxcnn.plotting import comparison_grid

    # One device, no devices' share of the batch: the picture is the same anywhere.
    experiment = build(dataclasses.replace(config, parallel="jit"))
    try:
        batch = dict(experiment.train[0])
    finally:
        experiment.close()
    if batch["image"].ndim != 4:
        raise ValueError(
            f"{config.data.name!r} has {experiment.train.source.kind}; a preview is of "
            "images."
        )
    batch["position"] = np.arange(len(batch["image"]))
    batch["mask"] = batch.get("mask", np.ones(len(batch["image"]), np.float32))
    seen = jax.jit(_seen(experiment))
    count = min(images, len(batch["image"]))
    rows = {"original": _drawable(to_float(batch["image"])[:count])}
    notes = {"original": _classes(experiment, batch, count)}
    for k in range(draws):
        drawn = jax.device_get(seen(jax.random.key(k), batch))
        label = f"draw {k + 1}"
        rows[label] = _drawable(drawn["image"][:count])
        if "label" in drawn and np.ndim(drawn["label"]) == 2:
            notes[label] = _classes(experiment, drawn, count)
    late = config.data.decode == "lazy" and config.data.random_crop
    specs = expanded(config.data.augment, config.data.name, decoded_late=late)
    comparison_grid(
        path,
        rows,
        notes={name: found for name, found in notes.items() if any(found)},
        title=f"{experiment.train.source.name}: what {config.model.name} will see",
        subtitle=", ".join(specs) or "no augmentation",
    )
    return specs


def _config(
    source: str, recipe: str | None, config_of: Callable[..., ExperimentConfig]
) -> ExperimentConfig:
    """Returns the configuration of a run folder or an experiment file."""
    if source.endswith(".py"):
        return config_of(Path(source), *([recipe] if recipe else []))
    if recipe:
        raise ValueError(f"--recipe is of an experiment file; {source!r} is none.")
    if not Path(source).is_dir():
        raise ValueError(
            f"--preview {source!r} is neither a run folder nor an experiment file "
            "FILE.py."
        )
    run = RunConfig.load(source)
    if not run.experiment:
        raise ValueError(f"{source} does not say on which data it was trained.")
    return ExperimentConfig.from_json(run.experiment)


def _seen(experiment: Experiment) -> Any:
    """Returns what makes of a key and a batch what the model sees, displayable."""
    config = experiment.run_config.preprocess
    preprocess = make_preprocess(config)

    def seen(key: jax.Array, batch: PyTree) -> PyTree:
        batch = {**batch, "image": to_float(batch["image"])}
        if experiment.augment is not None:
            batch = experiment.augment(key, batch)
        images = preprocess(batch["image"])
        if config is not None and config.mean:
            shape = (1, 1, 1, -1)
            images = images * np.float32(config.std).reshape(shape)
            images = images + np.float32(config.mean).reshape(shape)
        if config is not None and config.channel_order == "BGR":
            images = images[..., ::-1]
        return {**batch, "image": images}

    return seen


def _drawable(images: Any) -> np.ndarray:
    """Returns images of one channel or three; of others the first."""
    images = np.asarray(images, np.float32)
    return images if images.shape[-1] in (1, 3) else images[..., :1]


def _classes(experiment: Experiment, batch: PyTree, count: int) -> list[str]:
    """Returns the name of each example's class, or the shares of several."""
    names = experiment.run_config.class_names
    if "label" not in batch or not names:
        return [""] * count
    labels = np.asarray(batch["label"][:count])
    if labels.ndim == 1:
        return [names[k] for k in labels]
    found = []
    for row in labels:
        order = [k for k in np.argsort(-row, kind="stable")[:2] if row[k] >= 0.005]
        found.append(", ".join(f"{names[k]} {row[k]:.0%}" for k in order))
    return found
