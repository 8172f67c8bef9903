"""What the positions along an axis see of an image, and how reading widens it."""

import dataclasses
import math
from collections.abc import Iterable

#: First and last pixel, or `None` for none at all.
Span = tuple[int, int] | None


@dataclasses.dataclass(frozen=True)
class Intervals:
    """The pixels that the positions along one axis of a value depend on.

    Position `len(spans) * q + r` sees the pixels of `spans[r]` moved by `jump * q`.
    There is more than one span only where something was upsampled.
    """

    axis: int
    jump: int = 1
    spans: tuple[Span, ...] = ((0, 0),)

    @property
    def size(self) -> int:
        """The most pixels that one position sees."""
        return max((span[1] - span[0] + 1 for span in self.spans if span), default=0)

    def at(self, position: int) -> Span:
        """Returns what one position sees."""
        turns, phase = divmod(position, len(self.spans))
        span = self.spans[phase]
        return span and (span[0] + turns * self.jump, span[1] + turns * self.jump)

    def read(
        self, axis: int, taps: Iterable[int], step: int = 1, spread: int = 1
    ) -> "Intervals":
        """Returns what is seen by reading this value at several places.

        Output position `p` reads `(p * step + tap) / spread` for each tap for which
        that is an integer.
        """
        taps = tuple(taps)
        period = spread * len(self.spans)
        shared = math.gcd(step, period)
        spans = []
        for position in range(period // shared):
            places = [position * step + tap for tap in taps]
            read = [self.at(at // spread) for at in places if at % spread == 0]
            spans.append(_hull(read))
        return Intervals(axis, self.jump * (step // shared), tuple(spans))

    def union(self, other: "Intervals") -> "Intervals | None":
        """Returns what both see; `None` if they do not move at the same pace."""
        period = math.lcm(len(self.spans), len(other.spans))
        jump, same = (side.jump * (period // len(side.spans)) for side in (self, other))
        if self.axis != other.axis or jump != same:
            return None
        spans = tuple(_hull([self.at(p), other.at(p)]) for p in range(period))
        return Intervals(self.axis, jump, spans)


def _hull(spans: Iterable[Span]) -> Span:
    """Returns the shortest span that holds all."""
    some = [span for span in spans if span]
    if not some:
        return None
    return min(low for low, _ in some), max(high for _, high in some)
