"""`trading.execute`: the order of judgement, each refusal by its code, and that a no changes nothing."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.conf import settings

from ops import desk
from ops.actions import approvals
from ops.actions.base import Refusal, Source
from ops.actions.inputs import InvalidInput
from ops.models import ApprovalRequest, AuditEntry
from risk.models import Reservation
from tests import factories
from tests.desk import free_port
from tests.in_process import Caller
from tests.integration.trading.execution.bench import EDGE_BPS, MIDS, A, B, Bench, opened
from tests.integration.trading.execution.books import assert_books_agree
from tests.integration.trading.execution.test_side_by_side import side_by_side
from trading.execution import machine, nudge
from trading.models import Execution, Fill, OrderIntent, Position
from trading.services.answers import preview_json
from trading.services.preview import PreviewRequest, preview
from trading.venues import get_hub

Env = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    def change(**values: Any) -> None:
        monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update=values))

    return change


def plan_of(symbol: str = "BTCUSDT") -> dict[str, Any]:
    """As a preview hands it out."""
    get_hub()._facts.clear()
    plan: dict[str, Any] = preview_json(preview(PreviewRequest(symbol=symbol, long_venue=A)))["plan"]
    return {"plan_id": plan["id"], "digest": plan["digest"]}


def execute(name: str = "alice", *, reason: str = "a reason", **data: Any) -> Any:
    get_hub()._facts.clear()
    return factories.submit(name, "trading.execute", reason=reason, **data)


def refused(code: str, status: int, name: str = "alice", **data: Any) -> Refusal:
    """Refused by that code, audited, and nothing else changed."""
    before = _rows()
    with pytest.raises(Refusal) as no:
        execute(name, **data)
    assert (no.value.code, no.value.status) == (code, status), no.value
    entry = AuditEntry.objects.latest("seq")
    assert (entry.action, entry.verdict, entry.code) == ("trading.execute", "refused", code)
    assert _rows() == before
    return no.value


def _rows() -> list[int]:
    return [m.objects.count() for m in (Execution, OrderIntent, Reservation, ApprovalRequest)]


def no_market(bench: Bench) -> None:
    bench.price(A, "BTC", MIDS["BTC"], withdrawn=frozenset({"bids", "asks"}))


# --- POST_ONLY ---


def test_under_post_only_what_opens_rests_whatever_was_asked_for(bench: Bench) -> None:
    factories.submit("alice", "ops.post_only", enabled=True)
    request = factories.ask("alice", "trading.execute", **plan_of())
    assert request.payload["post_only"] is True
    outcome = factories.vote("bob", request)
    orders = OrderIntent.objects.filter(leg__execution=outcome.body["execution_id"])
    assert [order.post_only for order in orders] == [True, True]


def test_a_plan_that_takes_is_not_sent_once_post_only_is_on(bench: Bench) -> None:
    """Between the intents and the claim: nothing was sent, so it is aborted clean."""
    row = bench.open()
    factories.submit("alice", "ops.post_only", enabled=True)
    bench.drive(row)
    assert row.state == "ABORTED_CLEAN"
    assert not bench.orders(A) + bench.orders(B)


def test_post_only_does_not_touch_a_rescue(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    row, visit = bench.open(), machine._visit

    def switch_then_visit(*args: Any, **more: Any) -> None:
        if not desk.get_state().post_only:
            factories.submit("alice", "ops.post_only", enabled=True)
        visit(*args, **more)

    monkeypatch.setattr(machine, "_visit", switch_then_visit)
    bench.reject(B)
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"


# --- the order of judgement ---


def test_safe_mode_answers_with_the_whole_plan_and_sends_nothing(bench: Bench) -> None:
    factories.submit("alice", "ops.safe_mode", enabled=True)
    before = _rows()
    outcome = execute(**plan_of())
    assert (outcome.status.value, outcome.http_status) == ("dry_run", 200)
    plan = outcome.body["plan"]
    assert [step["state"] for step in plan["steps"]] == [
        *("PLANNED", "APPROVED", "ARMED", "WORKING", "BALANCED", "CLOSING", "SETTLED")
    ]
    ways = {(each["failure"], each["venue"]) for each in plan["rescue"]}
    assert ways == {(f, v) for v in (A, B) for f in ("rejected", "partial", "ambiguous")} | {
        ("both_failed", None)
    }
    assert {each["choice"] for each in plan["rescue"]} == {"reverse", "none"}
    assert _rows() == before
    assert AuditEntry.objects.latest("seq").verdict == "dry_run"


def test_safe_mode_comes_before_hold_reason_and_market(bench: Bench) -> None:
    factories.submit("alice", "ops.safe_mode", enabled=True)
    factories.submit("alice", "ops.hold")
    no_market(bench)
    outcome = execute(symbol="BTCUSDT", reason="")
    assert (outcome.status.value, outcome.body["viable"], outcome.body["plan"]) == ("dry_run", False, None)


def test_hold_comes_before_market_and_reason_and_names_its_causes(bench: Bench) -> None:
    factories.submit("alice", "ops.hold")
    no_market(bench)
    no = refused("desk.hold", 423, symbol="BTCUSDT", reason="")
    assert no.errors == [{"cause": "operator"}]
    assert "operator" in no.detail


def test_reduce_only_opens_nothing(bench: Bench) -> None:
    from ops.models import DeskState

    DeskState.objects.update(reduce_only=True)
    refused("desk.reduce_only", 423, symbol="BTCUSDT")


def test_a_real_order_needs_a_reason(bench: Bench) -> None:
    refused("reason.required", 422, reason="  ", **plan_of())


def test_without_a_market_it_is_not_viable(bench: Bench) -> None:
    no_market(bench)
    no = refused("plan.not_viable", 409, symbol="BTCUSDT")
    assert no.errors
    assert "size: " in no.detail


def test_a_plan_that_left_its_bounds_is_not_viable(bench: Bench) -> None:
    plan = plan_of()
    bench.price(B, "BTC", MIDS["BTC"], shift_bps=-EDGE_BPS)
    no = refused("plan.not_viable", 409, **plan)
    assert "edge: net edge" in no.detail
    assert "below the least" in no.detail


def test_too_good_to_be_true_is_not_viable(bench: Bench) -> None:
    plan = plan_of()
    bench.price(B, "BTC", MIDS["BTC"], shift_bps=Decimal(300))
    assert "above what is plausible" in refused("plan.not_viable", 409, **plan).detail


def test_a_venue_down_is_not_viable(bench: Bench) -> None:
    plan = plan_of()
    bench.fault(B, "venue_down", "any")
    assert B in refused("plan.not_viable", 409, **plan).detail


# --- the plan's identity ---


def test_a_tampered_plan_is_refused(bench: Bench) -> None:
    plan = plan_of()
    broken = {**plan, "plan_id": plan["plan_id"][:-2] + "xx"}
    refused("plan.invalid", 422, **broken)


def test_an_expired_plan_is_refused(bench: Bench, later: Callable[[float], None]) -> None:
    plan = plan_of()
    later(61)
    refused("plan.expired", 409, **plan)


@pytest.mark.parametrize("digest", ["0" * 64, None, ""])
def test_another_digest_is_refused(bench: Bench, digest: str | None) -> None:
    refused("plan.digest", 409, **plan_of() | {"digest": digest})


def test_nothing_goes_beside_a_plan_id(bench: Bench) -> None:
    with pytest.raises(InvalidInput):
        execute(**plan_of(), notional="5")
    with pytest.raises(InvalidInput):
        execute(**plan_of(), symbol="BTCUSDT")


BAD = [
    ({"symbol": "DOGEUSDT"}, "pair.unknown"),
    ({"symbol": "BTCUSDT", "notional": "0"}, "notional.invalid"),
    ({"symbol": "BTCUSDT", "notional": "-1"}, "notional.invalid"),
    ({"symbol": "BTCUSDT", "notional": "50000.01"}, "notional.invalid"),
    ({"symbol": "BTCUSDT", "max_slippage_bps": "5.1"}, "slippage.invalid"),
    ({"symbol": "BTCUSDT", "max_slippage_bps": "-1"}, "slippage.invalid"),
    ({"symbol": "BTCUSDT", "min_edge_bps": "-25.1"}, "edge.invalid"),
    ({"symbol": "BTCUSDT", "long_venue": "bybit"}, "venue.unknown"),
    ({"symbol": "BTCUSDT", "long_venue": A, "short_venue": A}, "venue.same"),
]


@pytest.mark.parametrize(("data", "code"), BAD)
def test_what_this_desk_does_not_have_or_allow(bench: Bench, data: dict[str, str], code: str) -> None:
    no = refused(code, 422, **data)
    assert any(word in no.detail for word in ("accepted", "a pair is two"))


def test_who_may_not_is_refused_before_anything_else(bench: Bench) -> None:
    refused("permission.denied", 403, name="victor", symbol="BTCUSDT")


# --- asking, approving, executing once ---


def test_asked_twice_is_one_request_and_one_execution(bench: Bench) -> None:
    plan = plan_of()
    first, again = execute(**plan), execute(**plan)
    assert (first.status.value, first.http_status) == ("pending_approval", 202)
    assert first.body["approval"]["id"] == again.body["approval"]["id"]
    row = opened(factories.vote("bob", ApprovalRequest.objects.get(pk=first.body["approval"]["id"])))
    once_more = execute(**plan)
    assert once_more.status.value == "accepted"
    assert once_more.body["execution_id"] == str(row.pk)
    assert once_more.body["location"] == f"/api/ui/executions/{row.pk}"
    assert Execution.objects.count() == 1
    bench.drive(row)
    assert_books_agree(bench)


def test_somebody_else_cannot_ask_for_the_same_beside_it(bench: Bench) -> None:
    plan = plan_of()
    execute(**plan)
    with pytest.raises(Refusal) as no:
        execute("carol", **plan)
    assert no.value.code == "approval.open_exists"


@pytest.mark.parametrize("move", ["away", "gone"])
def test_a_price_that_left_while_it_waited_is_judged_again(bench: Bench, move: str) -> None:
    request = bench.ask()
    if move == "gone":
        no_market(bench)
    else:
        bench.price(B, "BTC", MIDS["BTC"], shift_bps=-EDGE_BPS)
    get_hub()._facts.clear()
    outcome = factories.vote("bob", request)
    assert outcome.body["approval"]["execution"]["refusal"]["code"] == "plan.not_viable"
    assert not Execution.objects.exists()
    bench.pin()
    get_hub()._facts.clear()
    row = opened(approvals.apply(request.pk, actor=factories.actor("alice"), source=Source.REST))
    assert bench.drive(row).state == "BALANCED"
    assert_books_agree(bench)


def test_the_gate_says_no_and_nothing_is_used_up(bench: Bench, env: Env) -> None:
    env(risk_checks_enabled=True, max_total_notional_usdt=Decimal(3_000))
    request = bench.ask()
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # or whitenoise warns of it
    bob = Caller(factories.person("bob"))
    reply = bob.post(f"/api/ui/approvals/{request.pk}/approve", digest=request.digest)
    assert reply.status == 200
    assert (reply["status"], reply["reason"], reply["cap"]) == (
        *("skipped", "risk.max_notional", "max_total_notional_usdt"),
    )
    assert not Execution.objects.exists()
    assert not OrderIntent.objects.exists()
    assert not Reservation.objects.exists()
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    assert AuditEntry.objects.filter(action="trading.execute", verdict="skipped").count() == 1
    env(max_total_notional_usdt=None)
    row = opened(approvals.apply(request.pk, actor=factories.actor("alice"), source=Source.REST))
    assert bench.drive(row).state == "BALANCED"
    assert_books_agree(bench)


def test_a_gate_that_fails_skips(bench: Bench, env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    from risk import services

    env(risk_checks_enabled=True)
    monkeypatch.setattr(services, "snapshot", lambda marks: 1 / 0)
    outcome = factories.vote("bob", bench.ask())
    assert (outcome.status.value, outcome.body["reason"]) == ("skipped", "risk.error")
    assert not Execution.objects.exists()


def test_the_gate_is_not_asked_under_safe_mode_and_dry_run(bench: Bench, env: Env) -> None:
    env(risk_checks_enabled=True, max_total_notional_usdt=Decimal(0), dry_run=True)
    assert execute(symbol="BTCUSDT", long_venue=A).status.value == "accepted"
    factories.submit("alice", "ops.safe_mode", enabled=True)
    assert execute(symbol="BTCUSDT", long_venue=A).status.value == "dry_run"


# --- DRY_RUN ---


def test_dry_run_goes_the_whole_way_without_a_venue_and_in_hold(bench: Bench, env: Env) -> None:
    env(dry_run=True)
    factories.submit("alice", "ops.hold")
    row = opened(execute(symbol="BTCUSDT", long_venue=A))
    assert (row.dry_run, row.approval) == (True, None)
    assert bench.drive(row).state == "BALANCED"
    assert bench.close(row).state == "SETTLED"
    assert set(OrderIntent.objects.values_list("state", flat=True)) == {"FILLED"}
    assert not bench.orders(A) + bench.orders(B)
    assert not Fill.objects.exists()
    assert not Position.objects.exists()
    assert not Reservation.objects.exists()


def test_an_approval_from_before_a_restart_with_dry_run_sends_nothing(bench: Bench, env: Env) -> None:
    request = bench.ask()
    env(dry_run=True)
    row = opened(factories.vote("bob", request))
    assert row.dry_run
    bench.drive(row)
    assert row.state == "BALANCED"
    assert not bench.orders(A) + bench.orders(B)


# --- what stops an opening that is armed already ---


@pytest.mark.parametrize("stop", ["safe_mode", "reduce_only", "venue", "instrument"])
def test_armed_and_then_stopped_sends_nothing(bench: Bench, stop: str) -> None:
    from ops import desk
    from ops.models import DeskState

    row = bench.open()
    if stop == "safe_mode":
        factories.submit("alice", "ops.safe_mode", enabled=True)
    elif stop == "reduce_only":
        DeskState.objects.update(reduce_only=True)
    else:
        key = B if stop == "venue" else f"{B}:BTC/USDT:USDT"
        desk.raise_hold(source="test", reason="drill", scope=(stop, key))
    assert bench.drive(row).state == "ABORTED_CLEAN"
    assert not bench.orders(A) + bench.orders(B)


def test_an_endpoint_that_cannot_be_read_is_a_refusal_not_a_crash(bench: Bench) -> None:
    """No such venue configured any more: nothing left, so the other leg is reversed at once."""
    row = bench.open()
    hub, whole = get_hub(), get_hub()._endpoints
    hub._endpoints = lambda: {name: where for name, where in whole().items() if name != B}
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_books_agree(bench)


def test_a_double_click_is_one_request(busy_bench: Bench) -> None:
    plan = plan_of()
    answers: list[Any] = []
    side_by_side(*(lambda: answers.append(execute(**plan)) for _ in range(3)))
    assert len({answer.body["approval"]["id"] for answer in answers}) == 1
    assert ApprovalRequest.objects.filter(action="trading.execute").count() == 1


def test_a_broker_that_is_down_costs_nothing(
    busy_bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody hears the nudge; the approval is answered all the same, and the sweep finds the row."""
    dead = Celery("dead", set_as_current=False)
    dead.config_from_object("django.conf:settings", namespace="CELERY")
    dead.conf.update(
        broker_url=f"redis://127.0.0.1:{free_port()}/0",
        broker_transport_options={"max_retries": 0},
        task_queues=current_app.conf.task_queues,
    )
    monkeypatch.setattr(nudge, "current_app", dead)
    row = busy_bench.open()
    assert "nudge.lost" in caplog.text
    assert machine.wanted(row.pk)


def test_whatever_a_nudge_raises_the_answer_stands(
    busy_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs after the commit: an exception there would call an execution that exists a failure."""
    monkeypatch.setattr(nudge, "queue", lambda: 1 / 0)
    row = busy_bench.open()
    assert machine.wanted(row.pk)
