"""Learning curves: what the records of a run hold, one panel a metric."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxcnn.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    PURPLE,
    write_figure,
)
from jaxcnn.tree import nearest

_SPLIT_COLOURS = MappingProxyType({"train": BLUE, "validation": ORANGE, "test": GREEN})
_MANY_POINTS = 50


def learning_curves(
    path: str | os.PathLike[str],
    records: Iterable[Mapping[str, Any]],
    *,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Writes one panel a metric, with a curve for every split and the best point.

    A split with a single value is a point. A long training curve is smoothed, over the
    values as they are.

    Args:
        path: The file.
        records: Such as `{"step": 100, "epoch": 0.5, "split": "train", "loss": 0.3}`,
            in any order, with any number of metrics. The axis is the epoch if every
            record has one, else the step.
        metrics: What to draw; by default every number that the validation or the test
            records hold, or without any, the training records.
        title: The heading of the whole.

    Raises:
        ValueError: if there are no records, one lacks its split or step, or a metric
            is in none of them.
    """
    from matplotlib.figure import Figure

    records = [dict(record) for record in records]
    _check_records(records)
    names = list(metrics) if metrics else _metric_names(records)
    axis = "epoch" if all("epoch" in record for record in records) else "step"
    columns = min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4.8 * columns, 3.6 * rows), layout="constrained")
    for panel, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, panel + 1)
        curves = _curves(records, name, axis)
        for split, (at, values) in curves.items():
            _draw_curve(axes, split, at, values)
        _style_panel(axes, name, axis, curves)
        _mark_best(axes, name, axis, curves)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    if title is not None:
        figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    write_figure(figure, path)


def _check_records(records: Sequence[Mapping[str, Any]]) -> None:
    if not records:
        raise ValueError("There are no records to draw learning curves of.")
    for record in records:
        missing = [field for field in ("split", "step") if field not in record]
        if missing:
            raise ValueError(f"The record {record} lacks {missing[0]!r}.")


def _metric_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what the evaluations measured, the loss first."""
    measured = [record for record in records if record["split"] != "train"] or records
    names = dict.fromkeys(
        name
        for record in measured
        for name, value in record.items()
        if name not in ("step", "epoch") and _is_number(value)
    )
    if not names:
        raise ValueError("The records hold no metric to draw, such as 'loss'.")
    return sorted(names, key=lambda name: name != "loss")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _curves(
    records: Sequence[Mapping[str, Any]], name: str, axis: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns where and what a metric was, by split, training first."""
    having = [record for record in records if _is_number(record.get(name))]
    if not having:
        known = sorted({key for record in records for key in record})
        raise ValueError(f"No record has the metric {name!r}.{nearest(name, known)}")
    curves = {}
    splits = list(_SPLIT_COLOURS) + sorted({record["split"] for record in having})
    for split in dict.fromkeys(splits):
        points = sorted((r[axis], r[name]) for r in having if r["split"] == split)
        if points:
            at, values = np.array(points, float).T
            curves[split] = at, values
    return curves


def _draw_curve(axes: Any, split: str, at: np.ndarray, values: np.ndarray) -> None:
    colour = _SPLIT_COLOURS.get(split, PURPLE)
    if len(at) == 1:
        axes.plot(at, values, "D", color=colour, label=split, markersize=6, zorder=4)
    elif len(at) > _MANY_POINTS:
        axes.plot(at, values, color=colour, linewidth=0.7, alpha=0.3)
        smooth = _smooth(values, len(at) // 25)
        axes.plot(at, smooth, color=colour, linewidth=1.8, label=f"{split} (smoothed)")
    else:
        marker = "o" if len(at) <= 25 else None
        axes.plot(
            at, values, color=colour, label=split, linewidth=1.8, marker=marker, ms=3.5
        )


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """Returns the mean of the finite values up to `reach` places to either side."""
    windows = [values[max(0, i - reach) : i + reach + 1] for i in range(len(values))]
    finite = [window[np.isfinite(window)] for window in windows]
    return np.array([window.mean() if window.size else np.nan for window in finite])


def _lower_is_better(name: str) -> bool:
    return any(part in name.lower() for part in ("loss", "error", "mse", "mae"))


def _style_panel(axes: Any, name: str, axis: str, curves: Mapping[str, Any]) -> None:
    from matplotlib.ticker import (
        LogLocator,
        MaxNLocator,
        NullLocator,
        PercentFormatter,
        StrMethodFormatter,
    )

    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", colors=GREY, labelsize=8)
    axes.grid(axis="y", color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.03, y=0.08)
    axes.set_xlabel(axis.capitalize(), color=INK, fontsize=9)
    axes.set_ylabel(_label(name), color=INK, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    at, values = np.concatenate([np.stack(curve) for curve in curves.values()], axis=1)
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    if "accuracy" in name:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _skip_start(axes, at, values)
    elif values.size and 0 < 30 * values.min() < values.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())


def _skip_start(axes: Any, at: np.ndarray, values: np.ndarray) -> None:
    """Lets the axis begin below all but the first tenth of the run.

    An accuracy climbs steeply from chance, and what matters happens at its end.
    """
    later = values[at >= at.max(initial=0) / 10]
    if later.size and later.min() < later.max():
        margin = 0.05 * (later.max() - later.min())
        axes.set_ylim(later.min() - margin, later.max() + margin)


def _label(name: str) -> str:
    """Returns what stands at the axis of a metric."""
    if name == "psnr":
        return "PSNR (dB)"
    return name.replace("_", " ").capitalize()


def _mark_best(axes: Any, name: str, axis: str, curves: Mapping[str, Any]) -> None:
    """Rings the best value of the validation (else of any) curve and says it."""
    split = "validation" if "validation" in curves else next(iter(curves))
    at, values = curves[split]
    if len(at) < 2 or not np.isfinite(values).any():
        return
    best = np.nanargmin(values) if _lower_is_better(name) else np.nanargmax(values)
    value = f"{values[best]:.2%}" if "accuracy" in name else f"{values[best]:.4g}"
    axes.plot(
        at[best],
        values[best],
        "o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=INK,
        markeredgewidth=1.2,
        label=f"best {split}: {value} at {axis} {at[best]:g}",
        zorder=5,
    )
