"""Numbers that a pair of learning curves is judged by."""

import dataclasses

import numpy as np

from jaxcnn.diagnostics.curves import Curve

#: Share of the run that its end is, over which levels and slopes are taken.
_END = 1 / 3
#: Points that the end has at least, if there are twice as many.
_END_POINTS = 4
#: A fall below this share of chance is none.
_HARDLY = 0.01


@dataclasses.dataclass(frozen=True)
class Measures:
    """What the verdict is made of, free of the units of loss and of time.

    Losses are counted from `floor` in units of `scale`: 0 is the lowest there can be, 1
    what a model gets that knows nothing. Levels and falls are those of a straight line
    through the last third of the run, by the medians of Theil and Sen.

    Attributes:
        floor: Where the losses are counted from, in their own unit.
        scale: What they are counted in.
        points: Training and validation points, of which the fewer count.
        train: Level of the training loss at the end.
        validation: Level of the validation loss at the end.
        train_fall: Share of the training loss that went in the last third.
        validation_fall: The same of the validation loss; negative where it rises.
        train_gain: Share of all that the training loss fell by that came in the last
            third.
        validation_gain: The same of the validation loss.
        gap: `validation - train`.
        ratio: `validation / train`.
        best: Lowest level of the smoothed validation loss.
        best_at: Where it is, in the unit of the curves.
        rise: Share by which the validation loss rose from `best` to its end.
        rise_sigmas: The same in deviations of its noise.
        noise: Deviation of single validation points from their neighbours.
        train_noise: The same of the training points.
        below: Share of the validation points of the last half below the training loss.
        peak: Highest training or validation loss.
        train_rise: Rise of the training loss from its lowest level to its end.
    """

    floor: float
    scale: float
    points: tuple[int, int]
    train: float
    validation: float
    train_fall: float
    validation_fall: float
    train_gain: float
    validation_gain: float
    gap: float
    ratio: float
    best: float
    best_at: float
    rise: float
    rise_sigmas: float
    noise: float
    train_noise: float
    below: float
    peak: float
    train_rise: float

    def value(self, level: float) -> float:
        """Returns a level in the unit of the curves."""
        return self.floor + self.scale * level


def measure(
    train: Curve, validation: Curve, *, scale: float, floor: float = 0.0
) -> Measures:
    """Returns the numbers of two curves of two finite points or more each.

    Args:
        train: Of the training part.
        validation: Of the validation part.
        scale: What a model that knows nothing gets, less `floor`.
        floor: The lowest loss that there can be.
    """
    train = Curve(train.at, (train.values - floor) / scale)
    validation = Curve(validation.at, (validation.values - floor) / scale)
    train_start, train_end = _line(train)
    start, end = _line(validation)
    smooth = smoothed(validation.values)
    lowest = int(np.argmin(smooth))
    noise = _noise(validation)
    rise = end - float(smooth[lowest])
    train_smooth = smoothed(train.values)
    half = validation.at >= np.mean(validation.at[[0, -1]])
    beside = np.interp(validation.at, train.at, train.values)
    return Measures(
        floor=floor,
        scale=scale,
        points=(len(train), len(validation)),
        train=train_end,
        validation=end,
        train_fall=_share(train_start - train_end, train_start),
        validation_fall=_share(start - end, start),
        train_gain=_gain(train, train_start, train_end),
        validation_gain=_gain(validation, start, end),
        gap=end - train_end,
        ratio=_share(end, train_end),
        best=float(smooth[lowest]),
        best_at=float(validation.at[lowest]),
        rise=_share(rise, smooth[lowest]),
        rise_sigmas=_share(rise, noise),
        noise=noise,
        train_noise=_noise(train),
        below=float((validation.values < beside)[half].mean()),
        peak=float(max(train.values.max(), validation.values.max())),
        train_rise=float(train_end - train_smooth.min()),
    )


def smoothed(values: np.ndarray) -> np.ndarray:
    """Returns the means over a tenth of the points, of medians of three, `[n]`.

    The median takes out single jumps, the mean the noise that is left. Fewer than five
    points are returned as they are.
    """
    if len(values) < 5:
        return np.asarray(values, float)
    padded = np.pad(values, 1, mode="edge")
    windows = np.stack([padded[:-2], padded[1:-1], padded[2:]])
    medians = np.median(windows, axis=0)
    reach = max(len(values) // 20, 1)
    return np.array(
        [medians[max(k - reach, 0) : k + reach + 1].mean() for k in range(len(values))]
    )


def _line(curve: Curve) -> tuple[float, float]:
    """Returns the values of a line through the end of a curve, at both its ends.

    Theil, 1950; Sen, "Estimates of the regression coefficient based on Kendall's tau",
    Journal of the American Statistical Association 63, 1968: the median of the slopes
    of all pairs of points, which outliers do not move.
    """
    span = curve.at[-1] - curve.at[0]
    # A little more: a point at the edge must not be lost to rounding.
    count = int((curve.at >= curve.at[-1] - (_END + 1e-9) * span).sum())
    count = max(count, min(_END_POINTS, len(curve) // 2), 2)
    at, values = curve.at[-count:], curve.values[-count:]
    i, j = np.triu_indices(count, 1)
    slope = float(np.median((values[j] - values[i]) / (at[j] - at[i])))
    middle = float(np.median(values - slope * at))
    start, end = middle + slope * at[0], middle + slope * at[-1]
    # A steep fall that ends in the window would be drawn on below what was reached.
    return float(start), float(max(end, values.min()))


def _noise(curve: Curve) -> float:
    """Returns the deviation of points from the mean of their neighbours.

    Of noise of deviation s the differences have s * sqrt(3 / 2). A straight line has
    none. The first quarter of the run, which is steep, is left out.
    """
    values = curve.values[len(curve) // 4 :]
    if len(values) < 3:
        return 0.0
    off = values[1:-1] - (values[:-2] + values[2:]) / 2
    return float(np.sqrt(np.mean(off**2) * 2 / 3))


def _gain(curve: Curve, start: float, end: float) -> float:
    """Returns the fall at the end as a share of the whole; 0 if there is hardly any."""
    whole = float(curve.values[0]) - end
    return (start - end) / whole if whole > _HARDLY else 0.0


def _share(part: float, whole: float) -> float:
    return float(part / max(whole, 1e-6))
