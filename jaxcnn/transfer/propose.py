"""The four cases of transfer learning: which parameters to train, and why."""

import dataclasses
from collections.abc import Sequence

from flax import linen as nn

from jaxcnn.layers.checks import check_number
from jaxcnn.models.cut import BEFORE
from jaxcnn.models.depth import Depth

#: Images a class, on average, below which data are called small.
SMALL_BELOW = 1000


@dataclasses.dataclass(frozen=True)
class TransferProposal:
    """What to train of a pretrained model, and why.

    Attributes:
        case: Such as `"small and similar"`.
        strategy: `"new_head"`, `"cut_early"`, `"fine_tune"` or `"retrain"`.
        reason: Why, in words, with the numbers.
        freeze: What `freeze_pattern` takes: `"all"` or `"none"`.
        cut_at: Where the new head is to stand, as `with_head` takes it, or None; None
            too where no model was given.
        lr_decay: Factor of the learning rate from each stage to the one before it.
    """

    case: str
    strategy: str
    reason: str
    freeze: str
    cut_at: str | None = None
    lr_decay: float | None = None


def propose_transfer(
    examples: int,
    similar: bool,
    num_classes: int,
    *,
    model: nn.Module | None = None,
    image_shape: Sequence[int] | None = None,
    small_below: int = SMALL_BELOW,
) -> TransferProposal:
    """Returns which of the four strategies suits the data.

    | data | similar images | different images |
    |---|---|---|
    | small | `new_head`: freeze all but a new head | `cut_early` |
    | large | `fine_tune`: train all from the weights | `retrain` |

    `cut_early` puts a new head behind an early stage, which is frozen; `retrain` trains
    all too, at one rate, and the weights may still help as a start.

    Data are *small* below `small_below` training images a class, on average. This is a
    convention, not a law: with CIFAR-10's 5,000 a class and ImageNet's 1,300 networks
    are trained from nothing, with a tenth of it they overfit. Whether the images are
    *similar* to those that the weights have seen is yours to say: photographs to
    photographs are, X-rays to photographs are not.

    Args:
        examples: Training images.
        similar: Whether they are like those that the weights were trained on.
        num_classes: Classes of the data.
        model: The pretrained model, in which the place of the cut is then chosen: the
            middle one of its stages (see `stages`) but for the head.
        image_shape: `(height, width, channels)` of the images; needed with `model`.
        small_below: Images a class below which data are small.

    Raises:
        ValueError: if a number is below 1, or there is a model without `image_shape`.

    References:
        Yosinski et al., "How transferable are features in deep neural networks?",
        NeurIPS 2014, https://arxiv.org/abs/1411.1792 (early layers are general, late
        ones specific); Stanford CS231n, "Transfer Learning",
        https://cs231n.github.io/transfer-learning/ (the four cases).

    Example:
        >>> proposal = propose_transfer(2500, similar=True, num_classes=5)
        >>> proposal.case, proposal.strategy, proposal.freeze
        ('small and similar', 'new_head', 'all')
    """
    check_number("examples", examples, 1)
    check_number("num_classes", num_classes, 1)
    check_number("small_below", small_below, 1)
    if model is not None and image_shape is None:
        raise ValueError("propose_transfer needs image_shape with a model.")
    each = examples / num_classes
    small = each < small_below
    strategy = {
        (True, True): "new_head",
        (True, False): "cut_early",
        (False, True): "fine_tune",
        (False, False): "retrain",
    }[small, similar]
    found = propose_strategy(strategy, model=model, image_shape=image_shape)
    count = (
        f"{examples:,} training images are {each:,.0f} a class, "
        f"{'fewer than' if small else 'at least'} {small_below:,}"
    )
    case = (
        f"{'small' if small else 'large'} and {'similar' if similar else 'different'}"
    )
    return dataclasses.replace(found, case=case, reason=f"{count}: {found.reason}")


def propose_strategy(
    strategy: str,
    *,
    model: nn.Module | None = None,
    image_shape: Sequence[int] | None = None,
) -> TransferProposal:
    """Returns the settings of a strategy that was chosen by hand.

    Args:
        strategy: As in `TransferProposal`.
        model: As for `propose_transfer`.
        image_shape: As for `propose_transfer`.

    Raises:
        ValueError: if there is no such strategy.
    """
    if strategy not in _STRATEGIES:
        names = ", ".join(map(repr, _STRATEGIES))
        raise ValueError(f"strategy={strategy!r} is unknown. Allowed: {names}.")
    case, reason, settings = _STRATEGIES[strategy]
    if strategy == "cut_early" and model is not None:
        settings = settings | {"cut_at": middle_stage(model, tuple(image_shape))}
    return TransferProposal(case, strategy, reason, **settings)


def middle_stage(model: nn.Module, image_shape: tuple[int, ...]) -> str:
    """Returns where to cut a model in the middle of its stages, for `with_head`.

    Behind a block that is a submodule; where a stage ends with a bare convolution or
    norm, before the next convolution, so that activation and pool are kept.
    """
    depth = Depth(model, image_shape)
    head = set(depth.head)
    paths = [path for path in depth.paths if not head & set(depth.through(path))]
    if not paths:
        raise ValueError(
            f"{type(model).__name__} has no submodule in front of its head to cut at."
        )
    path = paths[(len(paths) - 1) // 2]
    called, owners = depth.called, {name.rpartition("/")[0] for name in depth.names}
    if path not in owners:
        return path
    kernels = {name.removesuffix("/kernel") for name in set(depth.names) - head}
    behind = [later for later in called[called.index(path) + 1 :] if later in kernels]
    return BEFORE + behind[0] if behind else path


_STRATEGIES = {
    "new_head": (
        "small and similar",
        "too few to train a whole network without overfitting, and what the weights "
        "found in similar images holds for them too. All is frozen but a new head.",
        {"freeze": "all"},
    ),
    "cut_early": (
        "small and different",
        "too few to train a whole network without overfitting, and only the early "
        "layers, edges and textures, suit different images. The network is cut behind "
        "an early stage, which is frozen, and a new head is trained there.",
        {"freeze": "all"},
    ),
    "fine_tune": (
        "large and similar",
        "enough to adapt the whole network, and the weights are a good start. All is "
        "trained from them, early stages more slowly.",
        {"freeze": "none", "lr_decay": 0.7},
    ),
    "retrain": (
        "large and different",
        "enough to train the whole network, and the late layers suit other images. All "
        "is trained at one rate; the weights are no more than a start, which usually "
        "still helps.",
        {"freeze": "none"},
    ),
}
