"""The default estimator of the exit spread: the rolling median of a pair's exit basis, one per direction."""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class ExitSource(StrEnum):
    ROLLING_MEDIAN = "rolling_median"
    CONFIGURED = "configured"


@dataclass(frozen=True, slots=True)
class ExitEstimate:
    """Expected cost of leaving at the touch, bps of the long leg's entry notional, and its source."""

    bps: Decimal
    source: ExitSource
    samples: int


class RollingMedian:
    """Median of the samples of the last `window`, at most `max_samples` of them; None below `min_samples`.

    Adding costs O(log n) comparisons (and one memmove of pointers); reading the median is O(1).
    """

    def __init__(self, *, window: timedelta, max_samples: int, min_samples: int) -> None:
        if not 1 <= min_samples <= max_samples:
            raise ValueError(f"min_samples must be within 1..max_samples={max_samples}, not {min_samples}")
        self._window, self._max, self._min = window, max_samples, min_samples
        self._by_time: deque[tuple[datetime, Decimal]] = deque()
        self._sorted: list[Decimal] = []

    def add(self, bps: Decimal, *, at: datetime) -> None:
        """A clock that was set back reorders nothing: a sample is never older than the one before it."""
        if self._by_time:
            at = max(at, self._by_time[-1][0])
        if len(self._by_time) == self._max:
            self._drop_oldest()
        self._by_time.append((at, bps))
        insort(self._sorted, bps)
        self._expire(at)

    def samples(self, *, now: datetime) -> int:
        self._expire(now)
        return len(self._sorted)

    def median(self, *, now: datetime) -> Decimal | None:
        count = self.samples(now=now)
        if count < self._min:
            return None
        middle = count // 2
        if count % 2:
            return self._sorted[middle]
        return (self._sorted[middle - 1] + self._sorted[middle]) / 2

    def estimate(self, *, now: datetime, fallback_bps: Decimal) -> ExitEstimate:
        """The median, or the configured fallback, said so: an unknown exit is never taken for 0."""
        median = self.median(now=now)
        samples = len(self._sorted)
        if median is None:
            return ExitEstimate(bps=fallback_bps, source=ExitSource.CONFIGURED, samples=samples)
        return ExitEstimate(bps=median, source=ExitSource.ROLLING_MEDIAN, samples=samples)

    def _expire(self, now: datetime) -> None:
        while self._by_time and self._by_time[0][0] <= now - self._window:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, bps = self._by_time.popleft()
        del self._sorted[bisect_left(self._sorted, bps)]
