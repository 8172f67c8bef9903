"""What is known of a set of weights: preprocessing, classes, origin, licence."""

import dataclasses
import functools
import hashlib
import importlib.resources
import json
from pathlib import Path
from typing import Any

from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.registry import list_models
from jaxcnn.tree import nearest

_PREPROCESS = tuple(field.name for field in dataclasses.fields(PreprocessConfig))


@dataclasses.dataclass(frozen=True)
class PretrainedConfig:
    """What is known of a set of weights; `make_preprocess` takes it.

    Attributes:
        model: The registered name.
        weights: The set, such as `"torchvision:IMAGENET1K_V1"`, or where the weights
            were read from.
        preprocess: From stored pixels to what the network gets.
        image_shape: `(height, width, channels)` of what the network gets.
        num_classes: Classes of its head.
        class_names: One name a class, or empty.
        model_args: Options that the model needs for these weights.
        address: Where the file is, or None.
        file: What it is called.
        hash: `"sha256:..."`, its beginning at least, or `"md5:..."`; None if its
            publisher gives none.
        licence: Of the weights where their publisher says so, otherwise of the library
            that publishes them (then `"... (library)"`).
        top1: Top-1 accuracy that the publisher states, in percent, or None.
        top5: Top-5 accuracy, likewise.
        params: Parameters that the publisher states, or None.
        status: `"loaded"` if this library's authors have loaded the file and measured
            it, `"mapped only"` if its names are mapped but no file was at hand.
    """

    model: str
    weights: str
    preprocess: PreprocessConfig | None = None
    image_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    model_args: dict[str, Any] = dataclasses.field(default_factory=dict)
    address: str | None = None
    file: str | None = None
    hash: str | None = None
    licence: str | None = None
    top1: float | None = None
    top5: float | None = None
    params: int | None = None
    status: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, from which `from_json` makes the same again."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PretrainedConfig":
        """Returns what `to_json` gave, after JSON has made lists of tuples.

        Raises:
            ValueError: if values are missing, unknown or of the wrong kind.
        """
        values = dict(values)
        try:
            for name in ("image_shape", "class_names"):
                if values.get(name) is not None:
                    values[name] = tuple(values[name])
            if values.get("preprocess") is not None:
                values["preprocess"] = PreprocessConfig.from_json(values["preprocess"])
            _check_kinds(values)
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the configuration is damaged ({error})") from error


def _check_kinds(values: dict[str, Any]) -> None:
    """Raises ValueError where a value of JSON is not of the kind that is meant."""
    sizes, classes = values.get("image_shape"), values.get("num_classes")
    arguments = values.get("model_args", {})
    if not all(type(size) is int and size > 0 for size in sizes or ()):
        raise ValueError(f"image_shape is {sizes!r}")
    if classes is not None and (type(classes) is not int or classes < 0):
        raise ValueError(f"num_classes is {classes!r}")
    if not isinstance(arguments, dict) or {"name", "num_classes"} & arguments.keys():
        raise ValueError(f"model_args is {arguments!r}")


def pretrained_config(name: str, weights: str) -> PretrainedConfig:
    """Returns what is known of a published set of weights.

    Args:
        name: A registered model.
        weights: One of `pretrained_sets(name)`, such as `"torchvision:IMAGENET1K_V1"`,
            or `"hf-hub:owner/name"`, which reads that repository's configuration.

    Raises:
        ValueError: if the model or the set is unknown; the known ones are listed.

    Example:
        >>> config = pretrained_config("resnet50", "torchvision:IMAGENET1K_V1")
        >>> config.preprocess.resize, config.preprocess.crop, config.top1
        (256, (224, 224), 76.13)
    """
    if weights.startswith("hf-hub:"):
        from jaxcnn.transfer.hub import hub_config

        return hub_config(name, weights)
    rows = _table().get(name, {})
    if weights not in rows:
        known = list(rows)
        if not known and name not in list_models():
            near = nearest(name, list_models())
            raise ValueError(f"Unknown model {name!r}.{near}")
        raise ValueError(
            f"No weights {weights!r} are published for {name}."
            f"{nearest(weights, known)} Known: {', '.join(known) or 'none'}."
        )
    return _config(name, weights, rows[weights])


def pretrained_sets(name: str) -> list[str]:
    """Returns the published sets of weights of a model; empty if there are none.

    Example:
        >>> pretrained_sets("resnet152")[:2]
        ['torchvision:IMAGENET1K_V1', 'torchvision:IMAGENET1K_V2']
    """
    return list(_table().get(name, {}))


def published_file(name: str | None, path: Path) -> PretrainedConfig | None:
    """Returns what is known of a file, if its hash is that of a published one.

    Args:
        name: The registered model that it is for, or None for any.
        path: The file, under any name.
    """
    hashes: dict[str, str] = {}
    for model in _table() if name is None else [name]:
        for weights, row in _table().get(model, {}).items():
            kind, _, expected = row.get("hash", "").partition(":")
            if not expected:
                continue
            if kind not in hashes:
                with path.open("rb") as file:
                    hashes[kind] = hashlib.file_digest(file, kind).hexdigest()
            if hashes[kind].startswith(expected):
                return _config(model, weights, row)
    return None


def _config(name: str, weights: str, row: dict[str, Any]) -> PretrainedConfig:
    row = dict(row)
    classes = row.pop("classes", None)
    preprocess = {key: row.pop(key) for key in _PREPROCESS if key in row}
    return PretrainedConfig.from_json(
        {
            **row,
            "model": name,
            "weights": weights,
            "preprocess": preprocess,
            "class_names": class_names(classes) if classes else (),
        }
    )


@functools.cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the rows by model and set, from the files beside the models."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted(_folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json") and not file.name.startswith("classes_"):
            table |= json.loads(file.read_text(encoding="utf-8"))
    return table


@functools.cache
def class_names(classes: str) -> tuple[str, ...]:
    """Returns the names of a list of classes, such as `"imagenet"`."""
    text = (_folder() / f"classes_{classes}.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def _folder() -> Any:
    return importlib.resources.files("jaxcnn.models") / "published"
