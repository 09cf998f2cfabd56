"""The latency of a paper venue: seeded, and with the percentiles that were asked for."""

import pytest

from trading.paper.latency import Latency


def test_percentiles() -> None:
    latency = Latency("x", p50_ms=20, p99_ms=200)
    draws = sorted(latency.round_trip_ms() for _ in range(20_000))
    assert draws[10_000] == pytest.approx(20, abs=1)
    assert draws[19_800] == pytest.approx(200, rel=0.1)


def test_the_same_seed_the_same_delays() -> None:
    one, two = (Latency("x", p50_ms=5, p99_ms=50) for _ in range(2))
    assert [one.round_trip_ms() for _ in range(50)] == [two.round_trip_ms() for _ in range(50)]


def test_off() -> None:
    assert Latency("x").round_trip_ms() == 0


@pytest.mark.parametrize(("p50", "p99"), [(-1, 5), (10, 5), (0, 5)])
def test_no_percentiles_of_one_distribution(p50: int, p99: int) -> None:
    with pytest.raises(ValueError, match="accepted"):
        Latency("x", p50_ms=p50, p99_ms=p99)
