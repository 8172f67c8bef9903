"""The models that are compared, at which size, and the bars that they have to reach."""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """One model of the suite.

    Attributes:
        batch: Examples in a batch.
        image: `(height, width, channels)`.
        classes: Logits; 0 for an autoencoder, which gives the image back.
        torch: Where PyTorch's twin is: `torchvision`, `timm:NAME` or `here`
            (`benchmarks.torch_models`).
        keras: `here` (`benchmarks.keras_models`), or the name in `keras.applications`.
        options: Given to `jaxcnn.create_model`.
    """

    batch: int
    image: tuple[int, int, int]
    classes: int
    torch: str
    keras: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012  (nothing changes it)


#: Batches are what courses use for small images, and for large ones what fits 23 GB
#: eight times over: every variant of every side is held at once.
ROWS = {
    "lenet": Row(64, (28, 28, 1), 10, "here", "here"),
    "inception_small": Row(64, (28, 28, 1), 10, "here", "here"),
    "resnet20_cifar": Row(128, (32, 32, 3), 10, "here", "here"),
    "conv_autoencoder": Row(
        128, (28, 28, 1), 0, "here", "here", {"output_activation": None}
    ),
    "resnet18": Row(16, (224, 224, 3), 1000, "torchvision", "here"),
    "resnet50": Row(8, (224, 224, 3), 1000, "torchvision", "here"),
    "vgg16": Row(4, (224, 224, 3), 1000, "torchvision", "VGG16"),
    "densenet121": Row(8, (224, 224, 3), 1000, "torchvision", "DenseNet121"),
    "inception_v3": Row(8, (299, 299, 3), 1000, "torchvision", "InceptionV3"),
    "mobilenet_v2": Row(16, (224, 224, 3), 1000, "torchvision", "MobileNetV2"),
    "shufflenet_v2_x1_0": Row(16, (224, 224, 3), 1000, "torchvision"),
    "xception": Row(4, (299, 299, 3), 1000, "timm:legacy_xception", "Xception"),
    "efficientnet_b0": Row(16, (224, 224, 3), 1000, "torchvision", "EfficientNetB0"),
    "resnext50_32x4d": Row(8, (224, 224, 3), 1000, "torchvision"),
}

#: Speed in shares of the best PyTorch's, on two CPU cores.
TORCH_BARS = {
    "lenet": {"train": 0.9, "inference": 1.0},
    "resnet20_cifar": {"train": 0.5, "inference": 0.7},
    "resnet50": {"train": 0.7, "inference": 0.8},
    "mobilenet_v2": {"train": 0.5, "inference": 0.7},
    "efficientnet_b0": {"train": 0.5, "inference": 0.7},
    "densenet121": {"train": 0.6, "inference": 0.7},
}

#: Speed in shares of plain Flax's and of Keras's on JAX: of every model.
OTHER_BARS = {"flax": 1.0, "keras": 1.0}

#: What each side can be run as. Of several the fastest counts; all are recorded.
VARIANTS = {
    "jaxcnn": {"train": ("jit",), "inference": ("jit",)},
    "flax": {"train": ("jit",), "inference": ("jit",)},
    "torch": {
        "train": ("eager", "eager_cl", "compile", "compile_cl"),
        "inference": ("eager", "eager_cl", "compile", "compile_cl", "traced_cl"),
    },
    "keras": {"train": ("fit", "stateless"), "inference": ("predict", "stateless")},
}


def bar(model: str, kind: str, side: str) -> float | None:
    """Returns the least share of a side's speed that is asked for; None if none is."""
    if side == "torch":
        return TORCH_BARS.get(model, {}).get(kind)
    return OTHER_BARS.get(side)
