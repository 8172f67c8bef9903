"""What a run takes over from trained weights, and what of it is trained again."""

import dataclasses
from typing import Literal

from jaxcnn.layers.checks import check_choice, check_number

#: What `transfer.strategy` may be; see `jaxcnn.transfer.propose_transfer`.
STRATEGIES = ("auto", "new_head", "cut_early", "fine_tune", "retrain")


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """Weights to start from, and what is frozen: see docs/finetuning.md."""

    weights: str | None = None
    """A file, a run folder, a published set such as torchvision:IMAGENET1K_V1, ..."""
    strategy: (
        Literal["auto", "new_head", "cut_early", "fine_tune", "retrain"] | None
    ) = None
    """What to train, where the options below do not say it; auto goes by the data."""
    similar: Literal["yes", "no"] | None = None
    """Strategy auto: whether the images are like those that the weights have seen."""
    small_below: int = 1000
    """Strategy auto: images a class, on average, below which data are small."""
    cut_at: str | None = None
    """Path of the submodule behind which a new head stands, such as stage2_block3; or
    before:PATH."""
    freeze: str | None = None
    """all (but the head), through:PATH, none, or a regex of parameters."""
    statistics: Literal["frozen", "adapt"] = "frozen"
    """What is frozen uses its running batch statistics, or adapts them."""
    unfreeze: tuple[str, ...] = ()
    """Less is frozen from a time on: "through:stage1_block3@2 epochs" "none@500"."""
    lr_decay: float | None = None
    """Factor of the learning rate from each stage to the one before it, in (0, 1]."""
    head: str | None = None
    """A registered model of features in place of dense layers."""
    hidden: tuple[int, ...] = ()
    """Units of the head's hidden layers."""
    dropout: float = 0.0
    """Share of the units in front of each dense layer of the head that are dropped."""
    keep_head: bool = False
    """Go on with the head of the weights; the classes must be the same."""
    preprocess: Literal["pretrained", "data"] = "pretrained"
    """Whose mean and deviation: those known of the weights, or of the data."""
    like: str | None = None
    """A published set whose preprocessing holds for the weights too."""

    @property
    def new_head(self) -> bool:
        """Whether the head is another module than the model's own."""
        return bool(self.head or self.hidden or self.dropout or self.cut_at)


def check_transfer(transfer: TransferConfig) -> None:
    """Raises ValueError for values that are out of range or exclude each other."""
    for name in ("strategy", "similar"):
        value = getattr(transfer, name)
        if value is not None:
            allowed = STRATEGIES if name == "strategy" else ("yes", "no")
            check_choice(f"transfer.{name}", value, allowed)
    check_choice("transfer.statistics", transfer.statistics, ("frozen", "adapt"))
    check_choice("transfer.preprocess", transfer.preprocess, ("pretrained", "data"))
    check_number("transfer.small_below", transfer.small_below, 1)
    check_number("transfer.dropout", transfer.dropout, 0, below=1, whole=False)
    for units in transfer.hidden:
        check_number("transfer.hidden", units, 1)
    decay = transfer.lr_decay
    if decay is not None and not 0 < decay <= 1:
        raise ValueError(f"transfer.lr_decay must be in (0, 1], got {decay}.")
    if transfer.strategy == "auto" and transfer.similar is None:
        raise ValueError(
            "transfer.strategy 'auto' needs transfer.similar, yes or no: whether the "
            "images are like those that the weights have seen."
        )
    if transfer.unfreeze and transfer.freeze in (None, "none"):
        if transfer.strategy not in ("auto", "new_head", "cut_early"):
            raise ValueError("transfer.unfreeze needs transfer.freeze, such as all.")
    if transfer.head and (transfer.hidden or transfer.dropout):
        raise ValueError(
            "transfer.head is a module of its own: not with transfer.hidden or "
            "transfer.dropout."
        )
    if transfer.keep_head and transfer.new_head:
        raise ValueError(
            "transfer.keep_head excludes another head: cut_at, head, hidden, dropout."
        )
    if transfer.weights is None:
        for name in ("keep_head", "like", "similar"):
            if getattr(transfer, name):
                raise ValueError(f"transfer.{name} needs transfer.weights.")
        if transfer.strategy is not None:
            raise ValueError("transfer.strategy needs transfer.weights.")
