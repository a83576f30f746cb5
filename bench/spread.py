"""
How far a figure is to be trusted: what it came to in each turn of a run, and in which interval its median lies.

The interval is that of order statistics: with ten turns, the second lowest to the second highest hold the median in 98
of 100 runs, whatever the turns are distributed like. One turn that the machine spoilt changes nothing.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, comb

SURE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several turns, and between which two turns the true one lies."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, turns: Sequence[float]) -> "Spread":
        """Return the spread of `turns`; of fewer than six no two are sure, and it is all of them."""
        ordered = sorted(turns)
        cut = _cut(len(ordered))
        return cls(ordered[cut], statistics.median(ordered), ordered[len(ordered) - 1 - cut])

    def apart(self, other: "Spread") -> bool:
        """Return whether the two have nothing in common: what lies between them is more than noise."""
        return self.high < other.low or other.high < self.low


def _cut(count: int) -> int:
    """Return how many of so many turns can be left out at each end."""
    cut = 0
    while cut + 1 < (count + 1) // 2 and _surely(count, cut + 1) >= SURE:
        cut += 1
    return cut


def _surely(count: int, cut: int) -> float:
    """Return how surely the median lies within, where `cut` turns at each end are left out."""
    return 1 - 2 * sum(comb(count, each) for each in range(cut + 1)) / 2.0**count


Histogram = Sequence[tuple[float, int]]


def percentile(histograms: Iterable[Histogram], percent: float) -> float:
    """Return a percentile of all that the histograms have counted: the upper end of its bucket."""
    counts = Counter[float]()
    for histogram in histograms:
        counts.update(dict(histogram))
    # 99.9 % of 1,000 are 999, whatever floats make of it.
    left = ceil(round(percent * counts.total() / 100, 6))
    for upper, count in sorted(counts.items()):
        left -= count
        if left <= 0:
            return upper
    raise ValueError("nothing was counted")
