"""What `augment="default"` means for a data set: one table, and why.

An augmentation makes images that could have been taken, with the same label. So:

- Digits and letters are never mirrored: a mirrored 2 is no digit, and a 6 turned around
  is a 9. They shift, turn and grow a little.
- Photographs of things are mirrored left to right, not top to bottom.
- X-rays of the chest are not mirrored: the heart is on the left, and a mirrored picture
  shows a malformation (dextrocardia) that next to nobody has. Exposure varies between
  machines, patients lie a little askew: brightness, contrast, small angles and shifts.
- Tissue, cells and satellite pictures have neither left nor right nor up: both mirrors.
- Of data that nobody knows, nothing is assumed: small shifts and zooms, no mirror.

Data decoded when needed are cropped at random already while they are decoded, and
mirrored with `data.crop_flip`: nothing is added to that.
"""

from types import MappingProxyType

#: The word of a configuration that stands for a row of this table.
DEFAULT = "default"

_CHARACTERS = ("random_affine(degrees=10, translate=0.08, scale=(0.9, 1.1))",)
_SMALL_PHOTOGRAPHS = ("pad_crop(padding=4)", "random_flip")
_PHOTOGRAPHS = ("random_resized_crop(area=(0.25, 1.0))", "random_flip")
_CLOTHES = ("pad_crop(padding=2)", "random_flip")
_CHEST = (
    "random_affine(degrees=7, translate=0.05, scale=(0.9, 1.1))",
    "color_jitter(brightness=0.15, contrast=0.15, saturation=0)",
)
_NO_DIRECTION = (
    "random_flip",
    "random_vertical_flip",
    "random_affine(degrees=15, translate=0.05, scale=(0.9, 1.1))",
)
_UNKNOWN = ("random_affine(degrees=0, translate=0.06, scale=(0.95, 1.05))",)

#: Specs by the name of a data set, in lower case; None is for all others.
DEFAULTS = MappingProxyType(
    {
        "digits": ("random_shift(max_pixels=2)",),
        "mnist": _CHARACTERS,
        "emnist": _CHARACTERS,
        "kmnist": _CHARACTERS,
        "qmnist": _CHARACTERS,
        "omniglot": _CHARACTERS,
        "svhn_cropped": _CHARACTERS,
        "fashion_mnist": _CLOTHES,
        "cifar10": _SMALL_PHOTOGRAPHS,
        "cifar100": _SMALL_PHOTOGRAPHS,
        "cinic10": _SMALL_PHOTOGRAPHS,
        "imagenette": _PHOTOGRAPHS,
        "imagenet2012": _PHOTOGRAPHS,
        "imagenet_resized": _PHOTOGRAPHS,
        "stl10": _PHOTOGRAPHS,
        "caltech101": _PHOTOGRAPHS,
        "cats_vs_dogs": _PHOTOGRAPHS,
        "food101": _PHOTOGRAPHS,
        "oxford_flowers102": _PHOTOGRAPHS,
        "oxford_iiit_pet": _PHOTOGRAPHS,
        "tf_flowers": _PHOTOGRAPHS,
        "pneumoniamnist": _CHEST,
        "chestmnist": _CHEST,
        "chest_xray": _CHEST,
        "bloodmnist": _NO_DIRECTION,
        "dermamnist": _NO_DIRECTION,
        "pathmnist": _NO_DIRECTION,
        "tissuemnist": _NO_DIRECTION,
        "colorectal_histology": _NO_DIRECTION,
        "patch_camelyon": _NO_DIRECTION,
        "eurosat": _NO_DIRECTION,
        "uc_merced": _NO_DIRECTION,
        None: _UNKNOWN,
    }
)


def default_augment(name: str) -> tuple[str, ...]:
    """Returns the specs of a data set's default policy.

    Args:
        name: As a configuration names the data. A kind before a colon (`cifar10:PATH`)
            counts; of `npz:` and `folder:` the file's or folder's own name does, and of
            a TFDS name what stands before a slash or a colon.

    Example:
        >>> default_augment("cifar10:/data/cifar")
        ('pad_crop(padding=4)', 'random_flip')
        >>> default_augment("npz:/data/pneumoniamnist.npz") == DEFAULTS["chestmnist"]
        True
    """
    kind, _, place = name.lower().partition(":")
    last = place.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    for word in (kind.split("/")[0], last, last.split(".")[0]):
        if word in DEFAULTS:
            return DEFAULTS[word]
    return DEFAULTS[None]


def expanded(
    specs: tuple[str, ...], name: str, *, decoded_late: bool = False
) -> tuple[str, ...]:
    """Returns specs in which `"default"` is replaced by the data set's.

    Args:
        specs: As in a configuration.
        name: Of the data set.
        decoded_late: Whether the data are decoded when needed, and so cropped at random
            already.
    """
    own = () if decoded_late else default_augment(name)
    found: list[str] = []
    for spec in specs:
        found += own if spec.strip() == DEFAULT else (spec,)
    return tuple(found)
