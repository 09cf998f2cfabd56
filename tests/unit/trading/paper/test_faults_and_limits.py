"""Which requests a fault meets, and when the venues say slow down."""

import pytest

from trading.paper.faults import Fault, Faults
from trading.paper.limits import BAN_AFTER, BAN_MS, Busy, WeightLimit, WindowLimit

NOW_MS = 1_735_689_600_000
ORDER = {"kind": "place", "symbol": "BTCUSDT", "side": "buy"}


@pytest.mark.parametrize(
    ("rule", "hits"),
    [
        ({}, 1),
        ({"kind": "place"}, 1),
        ({"kind": "cancel"}, 0),
        ({"symbol": "ETHUSDT"}, 0),
        ({"side": "sell"}, 0),
        ({"count": 2}, 2),
        ({"count": None}, 3),
        ({"count": 3, "probability": 0.0}, 0),
    ],
)
def test_what_a_rule_meets_out_of_three_orders(rule: dict[str, object], hits: int) -> None:
    faults = Faults()
    fault = faults.add_from({"effect": "reject", **rule})
    assert [len(faults.strike(**ORDER)) for _ in range(3)].count(1) == fault.hits == hits


def test_probability_follows_the_seed() -> None:
    def pattern(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(Fault("reject", count=None, probability=0.5))
        return [bool(faults.strike(**ORDER)) for _ in range(40)]

    assert pattern(1) == pattern(1) != pattern(2)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"effect": "explode"},
        {"effect": "reject", "kind": "x"},
        {"effect": "partial", "fraction": "2"},
        {"effect": "reject", "hits": 1},
    ],
)
def test_a_malformed_rule_is_named(row: dict[str, object]) -> None:
    faults = Faults()
    with pytest.raises(ValueError, match=r"accepted|required"):
        faults.add_from(row)
    assert list(faults) == []


def test_clearing_one_or_all() -> None:
    faults = Faults()
    first, _ = faults.add(Fault("venue_down")), faults.add(Fault("reject"))
    assert faults.down
    faults.clear(first.id)
    assert not faults.down
    assert len(list(faults)) == 1
    faults.clear()
    assert list(faults) == []


def test_weight_over_the_limit_is_busy_then_banned_then_forgiven() -> None:
    limit = WeightLimit(weight_1m=10)
    assert limit.charge(10, NOW_MS) is None
    assert limit.charge(1, NOW_MS + 1) == Busy(banned=False, retry_after=60)
    for _ in range(BAN_AFTER - 1):
        assert limit.charge(1, NOW_MS + 2) == Busy(banned=False, retry_after=60)
    assert limit.charge(1, NOW_MS + 3) == Busy(banned=True, retry_after=120)
    assert limit.charge(1, NOW_MS + 60_000) == Busy(banned=True, retry_after=61)
    assert limit.charge(1, NOW_MS + 3 + BAN_MS) is None


def test_who_waits_after_a_429_is_not_banned() -> None:
    limit = WeightLimit(weight_1m=10)
    assert limit.charge(11, NOW_MS)
    assert limit.charge(10, NOW_MS + 60_000) is None
    assert limit.used("weight", 60_000, NOW_MS + 60_000) == 10


def test_orders_are_counted_per_10_s_and_per_minute() -> None:
    limit = WeightLimit(orders_10s=2, orders_1m=3)
    assert [limit.order_fits(NOW_MS) for _ in range(3)] == [True, True, False]
    assert limit.order_fits(NOW_MS + 10_000) is False  # the fourth of the minute
    assert limit.order_fits(NOW_MS + 60_000) is True


def test_a_window_slides() -> None:
    limit = WindowLimit(2_000)
    assert [limit.fits("a", 2, NOW_MS + ms) for ms in (0, 1000, 1999, 2000)] == [True, True, False, True]
    assert limit.fits("b", 2, NOW_MS + 2000)


def test_a_status_that_http_does_not_have() -> None:
    with pytest.raises(ValueError, match="statuses of HTTP"):
        Fault("html", status=999)
