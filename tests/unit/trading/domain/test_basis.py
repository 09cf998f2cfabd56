from datetime import timedelta
from decimal import Decimal
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import NOW, D, decimals
from trading.domain.basis import ExitSource, RollingMedian


def rolling(*, window_sec: int = 60, max_samples: int = 5, min_samples: int = 2) -> RollingMedian:
    return RollingMedian(
        window=timedelta(seconds=window_sec), max_samples=max_samples, min_samples=min_samples
    )


def test_too_few_samples_is_not_zero() -> None:
    estimator = rolling()
    estimator.add(D("7"), at=NOW)
    assert estimator.median(now=NOW) is None
    estimate = estimator.estimate(now=NOW, fallback_bps=D("12"))
    assert (estimate.bps, estimate.source, estimate.samples) == (D("12"), ExitSource.CONFIGURED, 1)


def test_a_quiet_estimator_forgets() -> None:
    estimator = rolling()
    for bps in ("1", "2", "3"):
        estimator.add(D(bps), at=NOW)
    assert estimator.estimate(now=NOW, fallback_bps=D("9")).source is ExitSource.ROLLING_MEDIAN
    assert estimator.median(now=NOW + timedelta(seconds=60)) is None


def test_a_clock_set_back_does_not_keep_samples_for_ever() -> None:
    estimator = rolling()
    estimator.add(D("1"), at=NOW)
    estimator.add(D("2"), at=NOW - timedelta(hours=1))
    assert estimator.samples(now=NOW) == 2
    assert estimator.samples(now=NOW + timedelta(seconds=60)) == 0


@pytest.mark.parametrize(("low", "high"), [(0, 5), (6, 5)])
def test_impossible_settings_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="min_samples"):
        rolling(min_samples=low, max_samples=high)


@given(st.lists(st.tuples(st.integers(0, 40), decimals("-50", "50", 2)), min_size=1, max_size=60))
def test_it_is_the_median_of_what_is_left_in_the_window(steps: list[tuple[int, Decimal]]) -> None:
    estimator, seen, now = rolling(max_samples=7, min_samples=1), [], NOW
    for seconds, bps in steps:
        now += timedelta(seconds=seconds)
        estimator.add(bps, at=now)
        seen.append((now, bps))
        left = [value for at, value in seen[-7:] if at > now - timedelta(seconds=60)]
        assert estimator.samples(now=now) == len(left)
        assert estimator.median(now=now) == median(left)
