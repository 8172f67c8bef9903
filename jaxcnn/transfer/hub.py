"""Weights of the Hugging Face hub: timm's, and those that `jaxcnn convert` wrote."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcnn.data.cache import home_folder
from jaxcnn.transfer.pretrained import PretrainedConfig

_FILES = ("model.safetensors", "pytorch_model.bin")


def hub_config(name: str, weights: str) -> PretrainedConfig:
    """Returns what a repository's `config.json` says of its weights.

    Args:
        name: The registered model that they are for.
        weights: `"hf-hub:owner/name"`, with `@revision` at the end for one of its
            revisions.

    Raises:
        ValueError: if huggingface_hub is not installed, the name is no repository's, or
            the configuration is damaged.
        OSError: if the repository cannot be reached.
    """
    path = _get(weights, ("config.json",))
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        cfg = {**values, **values.get("pretrained_cfg", {})}
        channels, *size = cfg["input_size"]
        return PretrainedConfig.from_json(
            {
                "model": name,
                "weights": weights,
                "preprocess": timm_preprocess(cfg),
                "image_shape": [*size, channels],
                "num_classes": cfg.get("num_classes"),
                "licence": cfg.get("license"),
            }
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"config.json of {weights} is not a configuration of timm ({error!r})."
        ) from error


def hub_file(name: str, weights: str) -> tuple[Path, PretrainedConfig | None]:
    """Returns the file of a repository's weights, and what is known of them.

    Raises:
        ValueError, OSError: as `hub_config`.
    """
    path = _get(weights, _FILES)
    try:
        return path, hub_config(name, weights)
    except (ValueError, OSError):
        return path, None  # the file may hold its own configuration, or needs none


def timm_preprocess(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a `PreprocessConfig` for a configuration of timm.

    As timm's evaluation: the shorter side becomes `floor(size / crop_pct)`, or in mode
    "squash" both sides do; then the centre is kept.

    Raises:
        ValueError: for a mode that is not known.
    """
    _, height, width = cfg["input_size"]
    percent = cfg.get("crop_pct") or 0.875
    size = [math.floor(height / percent), math.floor(width / percent)]
    mode = cfg.get("crop_mode") or "center"
    if mode not in ("center", "squash") or (mode == "center" and size[0] != size[1]):
        raise ValueError(f"crop mode {mode!r} of size {size} is not known")
    resize = {"resize": size[0]} if mode == "center" else {"size": size}
    return {
        **resize,
        "crop": [height, width],
        "interpolation": cfg.get("interpolation", "bicubic"),
        "mean": list(cfg["mean"]),
        "std": list(cfg["std"]),
    }


def _get(weights: str, names: tuple[str, ...]) -> Path:
    """Returns the first of these files that a repository has."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise ValueError(
            f"{weights!r} needs huggingface_hub: pip install 'jaxcnn[hub]'."
        ) from None
    repository, _, revision = weights.removeprefix("hf-hub:").partition("@")
    if repository.count("/") != 1:
        raise ValueError(f"weights must be 'hf-hub:owner/name', got {weights!r}.")
    for name in names:
        try:
            path = huggingface_hub.hf_hub_download(
                repository,
                name,
                revision=revision or None,
                cache_dir=home_folder() / "hub",
            )
            return Path(path)
        except LocalEntryNotFoundError as error:
            raise OSError(_advice(repository, name, error)) from error
        except EntryNotFoundError:
            continue
        # Its client raises its own classes, and those of whatever HTTP library it uses.
        except Exception as error:
            raise OSError(_advice(repository, name, error)) from error
    raise ValueError(f"{weights} has no {' and no '.join(names)}.")


def _advice(repository: str, name: str, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0]
    return (
        f"{name} of {repository} is not in the cache and cannot be downloaded "
        f"({reason}). Get it from https://huggingface.co/{repository}."
    )
