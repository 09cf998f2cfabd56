"""Limits and overrides as rows: one person lowers, two people raise or let past, and the database agrees."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from ops.actions.base import Refusal, Status
from ops.config import versions
from ops.models import ApprovalRequest
from risk.config import Caps
from risk.domain.gate import CAPS, LegIntent, OrderIntent
from risk.models import DeskFigures, GuardState, RiskLimit, RiskOverride
from risk.services import risk_gate
from tests import factories

BTC = "BTC/USDT:USDT"
MARKS = {(venue, BTC): Decimal(50_000) for venue in ("binanceusdm", "okx")}
CAP = "max_order_notional_usdt"


@pytest.fixture(autouse=True)
def desk(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    factories.make_desk()
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"risk_checks_enabled": True}))
    yield
    versions.forget()


def pair(qty: str = "0.1", operator: str = "alice") -> OrderIntent:
    long = LegIntent("binanceusdm", BTC, Decimal(qty), Decimal(50_000))
    short = LegIntent("okx", BTC, -Decimal(qty), Decimal(50_000))
    return OrderIntent((long, short), levels=(f"operator:{operator}",))


def says(intent: OrderIntent) -> str:
    with transaction.atomic():
        return risk_gate(intent, marks=MARKS).reason


def set_limit(value: str | None, *, level: str = "desk", cap: str = CAP) -> Any:
    return factories.submit("alice", "risk.set_limit", level=level, cap=cap, value=value)


@pytest.mark.parametrize("level", ["desk", "venue:okx", f"instrument:okx:{BTC}", "operator:alice"])
def test_one_person_lowers_at_any_level_and_it_counts_at_once(level: str) -> None:
    assert says(pair()) == "ok"
    assert set_limit("4999", level=level).status is Status.EXECUTED
    assert says(pair()) == "risk.max_order_notional"
    assert set_limit("4998.5", level=level).status is Status.EXECUTED
    assert says(pair(operator="carol")) == ("ok" if level == "operator:alice" else "risk.max_order_notional")


def test_raising_and_removing_take_two_people() -> None:
    set_limit("4999")
    for value in ("6000", None):
        outcome = set_limit(value)
        assert outcome.status is Status.PENDING
        assert says(pair()) == "risk.max_order_notional"
        request = ApprovalRequest.objects.get(pk=outcome.body["approval"]["id"])
        factories.vote("bob", request)
        assert says(pair()) == "ok"
        if value:
            set_limit("4999")
    assert not RiskLimit.objects.exists()


def test_a_limit_is_not_raised_past_the_configuration_s() -> None:
    """The lowest of environment, configuration and row counts."""
    assert set_limit("1000000").status is Status.EXECUTED, "it lowers nothing, and raises nothing"
    assert says(OrderIntent(pair("1.1").legs[:1])) == "risk.max_order_notional"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"level": "desk", "cap": "max_fun", "value": "1"}, "cap.unknown"),
        ({"level": "planet:mars", "cap": CAP, "value": "1"}, "level.unknown"),
        ({"level": "instrument:okx", "cap": CAP, "value": "1"}, "level.unknown"),
        ({"level": "desk", "cap": CAP, "value": "-1"}, "value.invalid"),
        ({"level": "desk", "cap": CAP}, "limit.none"),
    ],
)
def test_what_cannot_be_a_limit(data: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "risk.set_limit", **data)
    assert refused.value.code == code


@pytest.mark.parametrize("change", [{"value": Decimal(9_999)}, {"level": "venue:okx"}, None])
def test_the_database_refuses_what_two_people_did_not_approve(change: dict[str, Any] | None) -> None:
    set_limit("4999")
    with pytest.raises(DatabaseError, match="needs an approved"), transaction.atomic():
        _by_hand(change)


def _by_hand(change: dict[str, Any] | None) -> None:
    rows = RiskLimit.objects.all()
    rows.delete() if change is None else rows.update(**change)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


# --- overrides -------------------------------------------------------------------------


def override(value: str = "6000", **more: Any) -> RiskOverride:
    request = factories.ask("alice", "risk.grant_override", symbol=BTC, cap=CAP, value=value, **more)
    factories.vote("bob", request)
    return RiskOverride.objects.latest("created_at")


def test_an_override_lets_one_past_and_is_used_up() -> None:
    set_limit("4999")
    row = override()
    assert says(pair("0.13")) == "risk.max_order_notional", "6,500 is more than was allowed"
    assert says(pair()) == "override"
    row.refresh_from_db()
    assert row.used_at is not None
    assert says(pair()) == "risk.max_order_notional"


def test_an_override_is_for_its_cap_its_level_its_pair_and_its_time() -> None:
    set_limit("4999")
    override(level="venue:okx")
    assert says(pair()) == "risk.max_order_notional"
    override(minutes=1)
    with transaction.atomic():
        other = OrderIntent((LegIntent("okx", "ETH/USDT:USDT", Decimal(3), Decimal(2_000)),))
        marks = MARKS | {("okx", "ETH/USDT:USDT"): Decimal(2_000)}
        assert risk_gate(other, marks=marks).reason == "risk.max_order_notional"


@pytest.mark.parametrize("bad", [{"minutes": 0}, {"minutes": 61}, {"value": "0"}, {"cap": "max_fun"}])
def test_what_cannot_be_overridden(bad: dict[str, Any]) -> None:
    asked = {"symbol": BTC, "cap": CAP, "value": "6000"} | bad
    with pytest.raises(Refusal, match="accepted"):
        factories.submit("alice", "risk.grant_override", **asked)


def test_the_database_keeps_an_override_as_it_was_allowed() -> None:
    row = override()
    for change in ({"value": Decimal(10**6)}, {"expires_at": timezone.now()}, {"cap": "max_leverage"}):
        with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
            RiskOverride.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        row.delete()


def test_every_cap_of_the_configuration_is_a_cap_of_the_gate() -> None:
    assert Caps.model_fields.keys() < CAPS.keys()


@pytest.mark.parametrize(
    ("figures", "reason"),
    [({"at": None}, "risk.no_data"), ({"daily_loss": Decimal("2000.01")}, "risk.daily_loss")],
)
def test_what_the_desk_is_worth_must_be_known_and_its_loss_bearable(figures: Any, reason: str) -> None:
    DeskFigures.objects.update(**figures)
    assert says(pair()) == reason


def test_guards_that_nobody_evaluates_close_the_gate() -> None:
    GuardState.objects.update(evaluated_at=timezone.now() - timedelta(seconds=16))
    assert says(pair()) == "risk.guards_stale"
