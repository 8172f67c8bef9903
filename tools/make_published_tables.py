"""Writes the tables of published weights beside the models.

Everything comes from the installed torchvision, timm and Keras; nothing is downloaded
and nothing is typed in, but for the two files of `BY_HAND`. Run it with the extra
`parity`, after an update of one of these libraries or of the names below:

    python tools/make_published_tables.py [--data FOLDER]

FOLDER holds the files of `BY_HAND`, whose hashes are computed; without it the rows that
are there stay.
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import os
import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "jaxcnn" / "models" / "published"

FAMILIES = {
    "alexnet": ["alexnet"],
    "vgg": [f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")],
    "googlenet": ["googlenet"],
    "inception": ["inception_v3", "inception_v4", "inception_resnet_v2"],
    "xception": ["xception"],
    "resnet": [f"resnet{n}" for n in (18, 34, 50, 101, 152)],
    "resnet_v2": [f"resnet{n}v2" for n in (18, 34, 50, 101, 152)],
    "resnet_cifar": ["resnet20_cifar"],
    "resnext": ["resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2"],
    "densenet": [f"densenet{n}" for n in (121, 161, 169, 201)],
    "mobilenet": [
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
    ],
    "shufflenet": [f"shufflenet_v2_x{n}" for n in ("0_5", "1_0", "1_5", "2_0")],
    "squeezenet": ["squeezenet1_0", "squeezenet1_1"],
    "efficientnet": [f"efficientnet_b{n}" for n in range(8)],
}
NAMES = [name for names in FAMILIES.values() for name in names]

# Where timm calls a model otherwise than we do; torchvision's names are ours.
TIMM = {
    "xception": "legacy_xception",
    **{f"resnet{n}v2": f"resnetv2_{n}" for n in (18, 34, 50, 101, 152)},
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
}

# What networks that were trained in TensorFlow need.
TENSORFLOW = {"padding": "tensorflow", "epsilon": 1e-3}

# timm's ports of TensorFlow's networks, which go by the whole name of timm.
TIMM_PORTS = {f"efficientnet_b{n}": f"tf_efficientnet_b{n}" for n in range(8)}

# Where timm's own weights need an option.
TIMM_ARGS = {
    name: {"epsilon": 1e-5}
    for name in (
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        *(f"efficientnet_b{n}" for n in range(8)),
    )
}

# Keras's networks that compute what ours do: its ResNets have biases, its Inceptions no
# scales; its EfficientNets keep a part of the preprocessing in their files.
KERAS = {
    "vgg16": ("vgg16", "VGG16", {}),
    "vgg19": ("vgg19", "VGG19", {}),
    "xception": ("xception", "Xception", TENSORFLOW),
    "mobilenet_v1": ("mobilenet", "MobileNet", TENSORFLOW),
    "mobilenet_v2": ("mobilenet_v2", "MobileNetV2", TENSORFLOW),
}

# Files that are published without a library; the hash is that of the file at hand.
BY_HAND = {
    ("resnet20_cifar", "akamaster:cifar10"): {
        "address": "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/"
        "pretrained_models/resnet20-12fca82f.th",
        "file": "resnet20-12fca82f.th",
        "image_shape": [32, 32, 3],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_classes": 10,
        "classes": "cifar10",
        "licence": "BSD-2-Clause",
        "top1": 91.73,
        "status": "loaded",
    },
    ("squeezenet1_0", "caffe:imagenet"): {
        "file": "squeezenet1_0-imagenet.npz",
        "image_shape": [227, 227, 3],
        "size": [227, 227],
        # Blue, green, red, of 255, with nothing divided.
        "mean": [104 / 255, 117 / 255, 123 / 255],
        "std": [1 / 255, 1 / 255, 1 / 255],
        "channel_order": "BGR",
        "num_classes": 1000,
        "classes": "imagenet",
        "licence": "BSD",
        "params": 1248424,
        "status": "loaded",
    },
}


def import_references():
    """Returns torchvision and timm; operators declared where they lack."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(signature)
    import timm
    import torchvision

    return torchvision, timm, library


def hash_in(address):
    """Returns the beginning of the SHA-256 that PyTorch's file names carry."""
    match = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", address)
    return f"sha256:{match[1]}" if match else None


def torchvision_rows(torchvision, name):
    """Yields `(set, row)` of a model of torchvision."""
    if name not in torchvision.models.list_models(module=torchvision.models):
        return
    licence = importlib.metadata.metadata("torchvision")["License"]
    for weights in torchvision.models.get_model_weights(name):
        transforms, meta = weights.transforms(), weights.meta
        if meta["categories"] is None:  # a body without a classifier
            continue
        (metrics,) = meta["_metrics"].values()
        (crop,), (resize,) = transforms.crop_size, transforms.resize_size
        mean, std = input_statistics(torchvision, name, transforms)
        yield (
            f"torchvision:{weights.name}",
            {
                "address": weights.url,
                "file": weights.url.rsplit("/", 1)[-1],
                "hash": hash_in(weights.url),
                "image_shape": [crop, crop, 3],
                "resize": resize,
                "crop": [crop, crop],
                "interpolation": transforms.interpolation.value,
                "mean": mean,
                "std": std,
                "num_classes": len(meta["categories"]),
                "classes": "imagenet",
                "licence": f"{licence} (library)",
                "top1": metrics["acc@1"],
                "top5": metrics["acc@5"],
                "params": meta["num_params"],
                "status": "mapped only",
            },
        )


def input_statistics(torchvision, name, transforms):
    """Returns mean and std of what the network itself gets.

    GoogLeNet and Inception-v3 with published weights standardise a second time, inside.
    """
    import torch

    mean, std = torch.tensor(transforms.mean), torch.tensor(transforms.std)
    builder = getattr(torchvision.models, name)
    if "transform_input" in inspect.getsource(builder):
        model = builder(weights=None, transform_input=True, init_weights=False)
        black, white = (
            model._transform_input(((x - mean) / std).reshape(1, 3, 1, 1)).ravel()
            for x in (torch.zeros(3), torch.ones(3))
        )
        std = 1 / (white - black)
        mean = -black * std
    return rounded(mean.tolist()), rounded(std.tolist())


def rounded(values):
    """Returns numbers without the noise of float32."""
    return [round(value, 6) for value in values]


def timm_rows(timm, name):
    """Yields `(set, row)` of a model of timm, and of its ports from TensorFlow."""
    yield from architecture_rows(timm, TIMM.get(name, name), TIMM_ARGS.get(name))
    if name in TIMM_PORTS:
        yield from architecture_rows(timm, TIMM_PORTS[name], TENSORFLOW, whole=True)


def architecture_rows(timm, architecture, model_args, *, whole=False):
    """Yields `(set, row)` of one architecture of timm, named by its tag or in full."""
    from huggingface_hub import hf_hub_url

    from jaxcnn.transfer.hub import timm_preprocess

    if not timm.is_model(architecture):
        return
    for full, config in timm.models.get_arch_pretrained_cfgs(architecture).items():
        url = config.url if config.url and hash_in(config.url) else None
        if not url and not config.hf_hub_id:
            continue
        file = url.rsplit("/", 1)[-1] if url else f"{full}.safetensors"
        cfg = config.to_dict()
        channels, *size = cfg["input_size"]
        yield (
            f"timm:{full if whole else full.partition('.')[2]}",
            {
                "address": url or hf_hub_url(config.hf_hub_id, "model.safetensors"),
                "file": file,
                "hash": hash_in(url) if url else None,
                "image_shape": [*size, channels],
                **timm_preprocess(cfg),
                "num_classes": config.num_classes,
                "classes": "imagenet" if config.num_classes == 1000 else None,
                "licence": config.license,
                "model_args": model_args,
                "status": "mapped only",
            },
        )


class Stop(Exception):
    """Ends a constructor of Keras where it would download."""


def keras_rows(name):
    """Yields `(set, row)` of a model of Keras: what it would download."""
    if name not in KERAS:
        return
    import numpy as np

    file, constructor, model_args = KERAS[name]
    module = importlib.import_module(f"keras.src.applications.{file}")
    seen = {}
    original = module.imagenet_utils.obtain_input_shape

    def input_shape(shape, default_size, **options):
        seen["size"] = default_size
        return original(shape, default_size=default_size, **options)

    def download(fname, origin, file_hash=None, md5_hash=None, **options):
        seen.update(file=fname, address=origin, hash=file_hash or md5_hash)
        raise Stop

    module.imagenet_utils.obtain_input_shape = input_shape
    get_file, module.file_utils.get_file = module.file_utils.get_file, download
    try:
        getattr(module, constructor)(weights="imagenet")
    except Stop:
        pass
    finally:
        module.imagenet_utils.obtain_input_shape = original
        module.file_utils.get_file = get_file

    black = module.preprocess_input(np.zeros((1, 1, 1, 3))).ravel()
    red = module.preprocess_input(np.array([[[[255.0, 0, 0]]]])).ravel()
    white = module.preprocess_input(np.full((1, 1, 1, 3), 255.0)).ravel()
    std = 1 / (white - black)
    known = {32: "md5", 64: "sha256"}.get(len(seen["hash"] or ""))
    licence = importlib.metadata.metadata("keras")["License"]
    yield (
        "keras:imagenet",
        {
            "address": seen["address"],
            "file": seen["file"],
            "hash": f"{known}:{seen['hash']}" if known else None,
            "image_shape": [seen["size"], seen["size"], 3],
            "size": [seen["size"], seen["size"]],
            "mean": rounded((-black * std).tolist()),
            "std": rounded(std.tolist()),
            "channel_order": "RGB" if red[0] != black[0] else "BGR",
            "num_classes": 1000,
            "classes": "imagenet",
            "licence": f"{licence or 'Apache-2.0'} (library)",
            "model_args": model_args or None,
            "status": "mapped only",
        },
    )


def by_hand_rows(name, data):
    """Yields `(set, row)` of files without a library, hashed if they are at hand."""
    for (model, weights), row in BY_HAND.items():
        if model != name:
            continue
        if data is None:
            yield weights, stored(model)[weights]
        else:
            digest = hashlib.sha256((data / row["file"]).read_bytes()).hexdigest()
            yield weights, {**row, "hash": f"sha256:{digest}"}


def stored(name):
    """Returns the rows of a model that are already written."""
    family = next(f for f, names in FAMILIES.items() if name in names)
    return json.loads((FOLDER / f"{family}.json").read_text())[name]


def write(family, table):
    """Writes a family's rows, one a line."""
    lines = []
    for name, rows in table.items():
        cells = [f"    {json.dumps(key)}: {json.dumps(row)}" for key, row in rows]
        lines.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(cells) + "\n  }")
    (FOLDER / f"{family}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write_classes(torchvision):
    """Writes the names of the classes, as torchvision and this library have them."""
    from jaxcnn.data.cifar import CIFAR10_CLASSES

    weights = torchvision.models.AlexNet_Weights.DEFAULT
    lists = {"imagenet": weights.meta["categories"], "cifar10": CIFAR10_CLASSES}
    for name, classes in lists.items():
        text = json.dumps(list(classes), indent=0, ensure_ascii=False)
        (FOLDER / f"classes_{name}.json").write_text(text + "\n", encoding="utf-8")


def main():
    """Writes all tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with the files of BY_HAND")
    data = parser.parse_args().data
    os.environ["KERAS_BACKEND"] = "jax"
    warnings.simplefilter("ignore")
    torchvision, timm, library = import_references()
    write_classes(torchvision)
    for family, names in FAMILIES.items():
        table = {}
        for name in names:
            rows = [
                *by_hand_rows(name, data),
                *torchvision_rows(torchvision, name),
                *timm_rows(timm, name),
                *keras_rows(name),
            ]
            clean = [(key, without_none(row)) for key, row in rows]
            if clean:
                table[name] = clean
        write(family, table)
        counts = ", ".join(f"{name} {len(rows)}" for name, rows in table.items())
        print(f"{family}: {counts}", file=sys.stderr)
    del library


def without_none(row):
    """Returns the row without empty cells."""
    return {key: value for key, value in row.items() if value is not None}


if __name__ == "__main__":
    main()
