"""Learning curves as arrays: what a run recorded, each value where it belongs."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcnn.tree import nearest

#: The split of the records that tell of steps that were not finite.
_NONFINITE = "nonfinite"


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A measure of the model over the run, lower is better.

    Attributes:
        at: Where it was measured, growing: epochs, steps or seconds, `[n]`.
        values: What was measured, `[n]`; NaN and infinity are allowed.
    """

    at: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        at, values = (np.asarray(x, float) for x in (self.at, self.values))
        if at.ndim != 1 or at.shape != values.shape:
            raise ValueError(
                "A curve's at and values must be [n] and of one length, got "
                f"{list(at.shape)} and {list(values.shape)}."
            )
        if not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
            raise ValueError(
                "A curve's at must be finite and grow from point to point."
            )
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.at)


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """The learning curves of a run.

    Attributes:
        train: Of the training part.
        validation: Of the validation part; empty without one.
        axis: What `at` counts: `"epoch"` or `"step"`.
        stopped: Whether the run was ended by a loss or state that was not finite.
        left_out: Steps that were left out because theirs was not.
    """

    train: Curve
    validation: Curve
    axis: str = "epoch"
    stopped: bool = False
    left_out: int = 0


def curves_of(records: Iterable[Mapping[str, Any]], *, metric: str = "loss") -> Curves:
    """Returns the curves that the records of a run hold.

    A training record is the mean over the steps since the one before it, made by
    weights older than those that are validated at its end. It is placed in the middle
    of these steps; else the training loss of a net that learns fast would seem to be
    above its validation loss.

    Args:
        records: Such as `read_metrics` returns: `{"step": 100, "epoch": 0.5, "split":
            "train", "loss": 0.3}`. Other splits than `"train"`, `"validation"` and
            `"nonfinite"` are left out.
        metric: `"loss"`, or `"accuracy"`, which is turned into the share of errors.

    Raises:
        ValueError: if the metric is another, or no training or validation record has
            it.
    """
    if metric not in ("loss", "accuracy"):
        raise ValueError(
            f"metric must be 'loss' or 'accuracy', got {metric!r}."
            f"{nearest(metric, ('loss', 'accuracy'))}"
        )
    records = [r for r in records if "split" in r]
    having = [r for r in records if isinstance(r.get(metric), int | float)]
    having = [r for r in having if r["split"] in ("train", "validation")]
    if not having:
        raise ValueError(f"No training or validation record has the metric {metric!r}.")
    axis = "epoch" if all("epoch" in r for r in having) else "step"
    train = _curve([r for r in having if r["split"] == "train"], axis, metric)
    events = [r.get("action") for r in records if r["split"] == _NONFINITE]
    starts = np.concatenate([[0.0], train.at])[: len(train)]
    return Curves(
        train=Curve((starts + train.at) / 2, train.values),
        validation=_curve(
            [r for r in having if r["split"] == "validation"], axis, metric
        ),
        axis=axis,
        stopped="stop" in events,
        left_out=sum(event in ("skip", "left_out") for event in events),
    )


def _curve(records: Sequence[Mapping[str, Any]], axis: str, metric: str) -> Curve:
    """Returns the points in order; of several at one place the last."""
    points = {float(record[axis]): float(record[metric]) for record in records}
    at = np.array(sorted(points), float)
    values = np.array([points[x] for x in at], float)
    return Curve(at, 1 - values if metric == "accuracy" else values)
