"""The 3 a.m. verbs: a person directs a rescue, states what became of an order, looks after a residual."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from ops.actions.base import Refusal, Status
from ops.models import AuditEntry, Incident
from tests import factories
from tests.integration.trading.execution.bench import A, B, Bench, configure
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged, path
from trading.domain.execution_state import ExecutionState
from trading.execution import machine, residuals
from trading.models import Execution, Fill, OrderIntent
from trading.venues import get_hub

QTY = Decimal("0.033")
Later = Callable[[float], None]


@pytest.fixture
def quarantined(bench: Bench) -> Execution:
    """A is filled; B refused, and then A refused every reversal."""
    configure(max_rounds=2)
    row = bench.open()
    bench.reject(B)
    bench.fault(A, "reject", side="sell", code="-2019", count=None)
    bench.drive(row)
    assert (row.state, bench.net(A)) == ("QUARANTINED", QTY)
    bench.heal()
    return row


@pytest.fixture
def in_doubt(bench: Bench, later: Later) -> OrderIntent:
    """A is filled; B's order left, and the venue answers no question about it."""
    row = bench.open()
    bench.fault(B, "reject", "place", status=503, message="busy", count=1)
    for kind in ("query", "cancel", "account"):
        bench.fault(B, "reject", kind, status=502, count=None)
    machine.drive(row.pk)
    return OrderIntent.objects.get(leg__execution=row, venue=B)


def test_reversing_takes_one_person_and_begins_anew(bench: Bench, quarantined: Execution) -> None:
    assert machine.drive(quarantined.pk) is None  # it rests until somebody says something
    outcome = factories.submit("alice", "trading.rescue", execution_id=str(quarantined.pk), way="reverse")
    assert outcome.status is Status.ACCEPTED
    assert bench.drive(quarantined).state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert_books_agree(bench)


def test_completing_takes_two_and_stays_within_their_loss(bench: Bench, quarantined: Execution) -> None:
    fields = {"execution_id": str(quarantined.pk), "way": "proceed", "max_loss": "5"}
    request = factories.ask("alice", "trading.rescue", **fields)
    assert machine.drive(quarantined.pk) is None
    factories.vote("bob", request)
    assert bench.drive(quarantined).state == "BALANCED"
    assert path(quarantined)[-3:] == ["IMBALANCED", "RESCUE_PROCEED", "BALANCED"]
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


def test_completing_beyond_the_loss_reverses(bench: Bench, quarantined: Execution) -> None:
    bench.price(B, "BTC", Decimal(59_500))
    request = factories.ask(
        "alice", "trading.rescue", execution_id=str(quarantined.pk), way="proceed", max_loss="5"
    )
    factories.vote("bob", request)
    assert bench.drive(quarantined).state == "FLAT_AFTER_RESCUE"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"way": "proceed"}, "max_loss"),
        ({"way": "reverse", "max_loss": "1"}, "max_loss"),
        ({"way": "up"}, "way"),
    ],
)
def test_an_order_that_makes_no_sense(quarantined: Execution, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.rescue", execution_id=str(quarantined.pk), **fields)
    assert [error["field"] for error in refused.value.errors] == [says]


def test_nothing_to_rescue(bench: Bench) -> None:
    row = bench.drive(bench.open())
    with pytest.raises(Refusal, match="is BALANCED"):
        factories.submit("alice", "trading.rescue", execution_id=str(row.pk), way="reverse")


def test_absent_by_evidence(bench: Bench, in_doubt: OrderIntent, later: Later) -> None:
    row = in_doubt.leg.execution
    fields: dict[str, Any] = {
        "client_order_id": in_doubt.client_order_id,
        "verdict": "absent",
        "evidence": "ticket 17",
    }
    configure(acceptance_window_ms=60_000)
    with pytest.raises(Refusal, match="may take it for"):
        factories.submit("alice", "trading.resolve_unknown", **fields)
    later(61)
    factories.vote("bob", factories.ask("alice", "trading.resolve_unknown", **fields))
    in_doubt.refresh_from_db()
    assert in_doubt.state == "RESOLVED_ABSENT"
    bench.heal()
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    entry = AuditEntry.objects.filter(action="trading.resolve_unknown", verdict="executed").latest("seq")
    assert (entry.after or {})["evidence"] == "ticket 17"
    assert_flat(bench)


def test_filled_by_evidence_and_heard_of_again(bench: Bench, in_doubt: OrderIntent, later: Later) -> None:
    """The venue's own word comes later, with the same trade id: it counts once."""
    row = in_doubt.leg.execution
    later(5)
    filled: dict[str, Any] = {"qty": str(QTY), "price": "60240", "fee": "0.99", "trade_id": "77"}
    fields: dict[str, Any] = {
        "client_order_id": in_doubt.client_order_id,
        "verdict": "filled",
        "evidence": "web page",
    }
    factories.vote("bob", factories.ask("alice", "trading.resolve_unknown", **fields, **filled))
    assert bench.drive(row).state == "BALANCED"
    assert Fill.objects.filter(order=in_doubt).count() == 1
    with pytest.raises(Refusal, match="is FILLED"):
        factories.submit("alice", "trading.resolve_unknown", **fields, **filled)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"verdict": "absent", "qty": "1"}, ["qty"]),
        ({"verdict": "filled"}, ["qty", "price", "fee", "trade_id"]),
        ({"verdict": "absent", "evidence": " "}, ["evidence"]),
    ],
)
def test_a_statement_that_says_too_little_or_too_much(
    in_doubt: OrderIntent, fields: dict[str, Any], names: list[str]
) -> None:
    given = {"client_order_id": in_doubt.client_order_id, "evidence": "ticket 17"} | fields
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.resolve_unknown", **given)
    assert [error["field"] for error in refused.value.errors] == names


def test_more_than_was_asked_for(in_doubt: OrderIntent, later: Later) -> None:
    later(5)
    filled: dict[str, Any] = {"qty": "1", "price": "60240", "fee": "0.99", "trade_id": "77"}
    fields: dict[str, Any] = {
        "client_order_id": in_doubt.client_order_id,
        "verdict": "filled",
        "evidence": "web page",
    }
    with pytest.raises(Refusal, match=r"at most 0\.033"):
        factories.submit("alice", "trading.resolve_unknown", **fields, **filled)


def test_a_residual_gets_an_owner(bench: Bench) -> None:
    row = bench.drive(bench.open())
    with pytest.raises(Refusal, match="not RESIDUAL_HELD"):
        factories.submit("alice", "trading.assign_residual", execution_id=str(row.pk), owner="bob")
    Execution.objects.filter(pk=row.pk).update(state="RESIDUAL_HELD")
    with pytest.raises(Refusal, match="no active person"):
        factories.submit("alice", "trading.assign_residual", execution_id=str(row.pk), owner="nobody")
    factories.submit("alice", "trading.assign_residual", execution_id=str(row.pk), owner="bob")
    row.refresh_from_db()
    assert row.residual_owner is not None
    assert row.residual_owner.username == "bob"


def test_a_residual_that_nobody_trades_out_calls_people_once(bench: Bench, later: Later) -> None:
    row = bench.drive(bench.open())
    with transaction.atomic():
        machine.move(row, ExecutionState.CLOSING, "close asked for", now=timezone.now())
        machine.move(row, ExecutionState.RESIDUAL_HELD, "left over", now=timezone.now())
    assert residuals.tell_old() == 0, "it is young"
    configure(residual_max_sec=1)
    later(2)
    assert residuals.tell_old() == 1
    assert residuals.tell_old() == 0, "once"
    incident = Incident.objects.get(source=f"execution.residual:{row.pk}")
    assert "owner nobody" in incident.summary


def test_the_page_says_what_is_naked_and_what_each_venue_says(
    bench: Bench, quarantined: Execution, client: Client
) -> None:
    client.force_login(factories.person("alice"))
    path = f"/admin/trading/execution/{quarantined.pk}/change/"
    page = " ".join(client.get(path).content.decode().split())
    assert "<strong>0.033 BTC</strong>" in page
    assert "USDT lost per 1 % against it" in page
    assert "none: the machine rests" in page
    assert page.count("<td>0.033</td>") == 3, "open, ours, the venue's"
    get_hub()._facts.clear()
    bench.fault(A, "venue_down", "any")
    assert "<strong>no answer</strong>" in client.get(path).content.decode()
