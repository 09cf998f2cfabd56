"""The gate on real rows: caps at their edge, what is reserved, and every reason to say no."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from ops.config import versions
from ops.models import ConfigVersion
from risk import exposure, reservations
from risk.domain.gate import LegIntent, OrderIntent
from risk.exposure import Holding
from risk.reservations import LegReservation
from risk.services import governor, risk_gate
from tests import factories
from trading import risk_inputs
from trading.models import Position

A, B, BTC, ETH = "binanceusdm", "okx", "BTC/USDT:USDT", "ETH/USDT:USDT"
MARKS = {(v, BTC): Decimal(50_000) for v in (A, B)} | {(v, ETH): Decimal(2_000) for v in (A, B)}


@pytest.fixture(autouse=True)
def house(db: None) -> Iterator[None]:
    """Caps of 100,000 USDT and 12 positions, as the paper configuration has them; no other in the way."""
    factories.make_desk()
    yaml = ConfigVersion.objects.get(active=True).yaml.replace("max_collar_bps: 100", "max_collar_bps: 10000")
    for cap in ("max_order_notional_usdt: 50000", "max_delta_usdt: 20000", "max_stress_loss_usdt: 10000"):
        yaml = yaml.replace(cap, f"{cap}000")
    factories.activate(yaml.replace("max_leverage: 5", "max_leverage: 100"))
    yield
    versions.forget()


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def change(**values: Any) -> None:
        monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update=values))

    change(risk_checks_enabled=True)
    return change


def pair(qty: str, symbol: str = BTC, price: str = "50000") -> OrderIntent:
    """Long on A, short on B: twice qty · price of notional, two positions."""
    long = LegIntent(A, symbol, Decimal(qty), Decimal(price))
    return OrderIntent((long, LegIntent(B, symbol, -Decimal(qty), Decimal(price))))


def reserve(qty: str, price: str = "50000") -> Any:
    key = uuid4()
    reservations.reserve(
        key,
        (
            LegReservation(i, venue, BTC, side, Decimal(qty), Decimal(price))
            for i, (venue, side) in enumerate(((A, "buy"), (B, "sell")))
        ),
    )
    return key


def says(intent: OrderIntent, marks: Any = MARKS) -> tuple[str, str | None]:
    decision = risk_gate(intent, marks=marks)
    assert decision.allowed is (decision.reason in {"ok", "disabled", "reducing"})
    return decision.reason, decision.cap


NOTIONAL = ("risk.max_notional", "max_total_notional_usdt")
POSITIONS = ("risk.max_open_positions", "max_open_positions")
OK = ("ok", None)


@pytest.mark.parametrize(("qty", "answer"), [("0.99999", OK), ("1", OK), ("1.00001", NOTIONAL)])
def test_notional_at_its_cap(qty: str, answer: tuple[str, str | None]) -> None:
    assert says(pair(qty)) == answer


@pytest.mark.parametrize(("held", "answer"), [(9, OK), (10, OK), (11, POSITIONS)])
def test_positions_at_their_cap(held: int, answer: tuple[str, str | None]) -> None:
    """A pair is two; a new pair beside 10 makes 12."""
    for number in range(held):
        Position.objects.create(venue=A, symbol=f"X{number}/USDT:USDT", net=Decimal("0.001"))
    marks = MARKS | {(A, f"X{n}/USDT:USDT"): Decimal(1) for n in range(held)}
    assert says(pair("0.01"), marks) == answer


@pytest.mark.parametrize(("reserved", "answer"), [("0.4", OK), ("0.5", OK), ("0.50001", NOTIONAL)])
def test_what_is_reserved_counts(reserved: str, answer: tuple[str, str | None]) -> None:
    reserve(reserved)
    assert says(pair("0.5")) == answer


def test_positions_and_reservations_count_together_and_once() -> None:
    """Half of a reservation filled: what was reserved is now held, and the sum is the same."""
    key = reserve("0.5")
    for leg, (venue, net) in enumerate(((A, "0.25"), (B, "-0.25"))):
        reservations.consume(key, leg, Decimal("0.25"))
        Position.objects.create(venue=venue, symbol=BTC, net=Decimal(net))
    assert says(pair("0.5")) == OK
    assert says(pair("0.50001")) == NOTIONAL


def test_what_is_released_is_free_again() -> None:
    key = reserve("1")
    assert says(pair("0.01")) == NOTIONAL
    reservations.release(key)
    assert says(pair("1")) == OK


def test_a_fill_beyond_the_reservation_leaves_nothing_not_less() -> None:
    key = reserve("0.5")
    for leg in (0, 1):
        reservations.consume(key, leg, Decimal("0.7"))
    assert says(pair("1")) == OK


def test_the_dearer_of_mark_and_limit_counts() -> None:
    assert says(pair("1", price="50001")) == NOTIONAL
    assert says(pair("1", price="49000")) == OK
    assert says(pair("1", price="49000"), MARKS | {(A, BTC): Decimal(50_001)}) == NOTIONAL


@pytest.mark.parametrize(("lowered", "answer"), [("50000", NOTIONAL), ("900000", OK)])
def test_the_environment_lowers_the_notional_and_never_raises_it(
    env: Callable[..., None], lowered: str, answer: tuple[str, str | None]
) -> None:
    env(max_total_notional_usdt=Decimal(lowered))
    assert says(pair("1")) == answer
    assert says(pair("1.00001")) == NOTIONAL


@pytest.mark.parametrize(("lowered", "answer"), [(1, POSITIONS), (0, POSITIONS), (99, OK)])
def test_the_environment_lowers_the_positions_and_never_raises_them(
    env: Callable[..., None], lowered: int, answer: tuple[str, str | None]
) -> None:
    env(max_open_positions=lowered)
    assert says(pair("0.01")) == answer
    caps = [limit.value for limit in governor().at("desk") if limit.cap.name == "max_open_positions"]
    assert min(value for value in caps if value is not None) == min(lowered, 12)


def test_disabled_says_so_and_asks_for_nothing(env: Callable[..., None]) -> None:
    env(risk_checks_enabled=False)
    assert says(pair("1000"), {}) == ("disabled", None)


def test_no_mark_no_opening() -> None:
    assert says(pair("0.01"), {(A, BTC): Decimal(50_000)}) == ("risk.no_price", None)


def test_a_held_instrument_without_a_mark_blocks_every_opening() -> None:
    Position.objects.create(venue=A, symbol=ETH, net=Decimal(1))
    unknown = {key: mark for key, mark in MARKS.items() if key != (A, ETH)}
    assert says(pair("0.01"), unknown) == ("risk.no_price", None)


def test_what_only_reduces_passes_over_every_cap(env: Callable[..., None]) -> None:
    env(max_total_notional_usdt=Decimal(0), max_open_positions=0)
    Position.objects.create(venue=A, symbol=BTC, net=Decimal(-1))
    Position.objects.create(venue=B, symbol=BTC, net=Decimal(1))
    assert says(pair("1"), {}) == ("reducing", None)
    assert says(pair("1.001"), {}) == ("risk.no_price", None)  # past zero is opening


# --- a gate that cannot decide ---


def _raises() -> list[Holding]:
    raise RuntimeError("no holdings to be had")


def _breaks_the_transaction() -> list[Holding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM risk_reservation")
    return []


@pytest.mark.parametrize("source", [_raises, _breaks_the_transaction])
def test_a_gate_that_fails_says_no_and_leaves_the_transaction_usable(
    monkeypatch: pytest.MonkeyPatch, source: exposure.Source
) -> None:
    monkeypatch.setattr(exposure, "_sources", [source])
    with transaction.atomic():
        assert says(pair("0.01")) == ("risk.error", None)
        reserve("0.01")  # the caller can go on writing: its refusal, its audit entry


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_there_is_no_gate() -> None:
    """Its headroom would be gone before anybody could reserve it."""
    with pytest.raises(TransactionManagementError):
        risk_gate(pair("0.01"), marks=MARKS)


def test_a_fill_while_the_gate_sums_is_never_in_neither_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill takes no gate lock: it may move from reservation to position between two reads."""
    key = reserve("0.6")

    def read_then_filled() -> list[Holding]:
        before = list(risk_inputs.holdings())
        for leg, (venue, net) in enumerate(((A, "0.6"), (B, "-0.6"))):
            reservations.consume(key, leg, Decimal("0.6"))
            Position.objects.create(venue=venue, symbol=BTC, net=Decimal(net))
        return before

    monkeypatch.setattr(exposure, "_sources", [read_then_filled])
    assert says(pair("0.5")) == NOTIONAL
    monkeypatch.setattr(exposure, "_sources", [risk_inputs.holdings])
    assert says(pair("0.4")) == OK
