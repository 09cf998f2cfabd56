"""`ops.launch` (runbook §3): HOLD and SAFE_MODE left under one digest, by the last vote or the next start."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from ops import audit, desk, hooks
from ops.actions import approvals
from ops.actions.base import Refusal, Source
from ops.actions.inputs import InvalidInput
from ops.config import versions
from ops.management.commands import launch_at_start
from ops.models import ApprovalRequest, AuditEntry, ConfigVersion, Envelope, HoldCause, Mode
from tests import factories
from tests.factories import actor, ask, submit, vote
from tests.integration.ops.test_approvals import let_time_pass
from tests.integration.trading.execution.bench import Bench, configure
from tests.integration.trading.execution.conftest import venues

__all__ = ["venues"]  # a fixture
ENVELOPE = {
    "pair": "BTCUSDT",
    "max_notional": "2000",
    "min_edge_bps": "-25",
    "max_slippage_bps": "5",
    "count": 2,
    "minutes": 30,
}
STOPPED, LAUNCHED = (Mode.HOLD, True), (Mode.RUN, False)


@pytest.fixture(autouse=True)
def stopped(db: None, venues: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A desk with venues that answer, in HOLD and SAFE_MODE; a start does not wait for what is red."""
    monkeypatch.setattr(launch_at_start, "WAIT_SEC", -1)
    factories.make_desk()
    configure()
    yield
    versions.forget()
    assert audit.verify().ok


def state() -> tuple[str, bool]:
    now = desk.get_state()
    return now.mode, now.safe_mode


def approved(**data: Any) -> ApprovalRequest:
    """For the next start, by alice and bob."""
    request = ask("alice", "ops.launch", at="start", **data)
    vote("bob", request)
    request.refresh_from_db()
    return request


def start(monkeypatch: pytest.MonkeyPatch, *, safe_mode: bool = False) -> str:
    """As the supervisor starts a desk; what the command said."""
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"safe_mode": safe_mode}))
    desk.desk_started()
    return take_up()


def take_up() -> str:
    out = io.StringIO()
    call_command("launch_at_start", stdout=out)
    return out.getvalue()


# --- now -------------------------------------------------------------------------------


def test_one_vote_leaves_hold_and_safe_mode_together() -> None:
    submit("carol", "ops.hold", reason="lunch")
    request = ask("alice", "ops.launch")
    assert state() == STOPPED
    shown = {row["field"]: (row["before"], row["after"]) for row in request.diff}
    assert shown["mode"] == ("HOLD", "RUN")
    assert shown["SAFE_MODE"] == (True, False)
    assert shown["cause operator"] == ("open: lunch", "closed")
    outcome = vote("bob", request)
    assert outcome.status.value == "executed"
    assert state() == LAUNCHED
    assert desk.get_state().approval == request
    assert not list(desk.causes())
    assert not Envelope.objects.exists()
    request.refresh_from_db()
    assert request.execution_state == "executed"


def test_with_an_envelope_in_the_same_digest() -> None:
    request = ask("alice", "ops.launch", **ENVELOPE)
    assert {"field": "envelope max_notional", "before": None, "after": "2000"} in request.diff
    vote("rita", request)
    row = Envelope.objects.get()
    assert (row.request, row.count, row.ended_at) == (request, 2, None)
    assert state() == LAUNCHED


def test_an_envelope_by_half_is_refused_field_by_field() -> None:
    with pytest.raises(InvalidInput) as no:
        ask("alice", "ops.launch", pair="BTCUSDT", count=2)
    assert {e["field"] for e in no.value.errors} == {
        "max_notional",
        "min_edge_bps",
        "max_slippage_bps",
        "minutes",
    }


def test_a_desk_that_runs_is_not_launched() -> None:
    vote("bob", ask("alice", "ops.launch"))
    with pytest.raises(Refusal) as no:
        ask("alice", "ops.launch")
    assert no.value.code == "launch.running"


def test_not_ready_says_what_is_missing() -> None:
    desk.raise_hold(source="guard.x", reason="tripped")
    with pytest.raises(Refusal) as no:
        ask("alice", "ops.launch")
    assert no.value.code == "resume.not_ready"
    assert [line["name"] for line in no.value.errors] == ["hold_causes"]
    assert "guard.x: tripped" in no.value.errors[0]["detail"]


def test_one_person_launches_nothing() -> None:
    request = ask("alice", "ops.launch")
    with pytest.raises(Refusal) as no:
        vote("alice", request)
    assert no.value.code == "vote.self"
    assert state() == STOPPED


# --- at the next start -------------------------------------------------------------------


def test_approved_it_waits_and_survives_the_start_that_takes_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved(**ENVELOPE)
    assert (request.state, request.execution_state, state()) == ("approved", "not_run", STOPPED)
    other = ask("carol", "ops.safe_mode", enabled=False)
    said = start(monkeypatch)
    assert f"launched: RUN, SAFE_MODE off, approved as {request.pk}" in said
    assert state() == LAUNCHED
    assert Envelope.objects.get().request == request
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "executed")
    other.refresh_from_db()
    assert other.state == "voided"  # a start voids whatever else would increase risk
    entry = AuditEntry.objects.get(action="ops.launch", verdict="executed")
    assert (entry.source, entry.actor_name) == ("system", "alice")


def test_it_is_taken_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    approved()
    start(monkeypatch)
    submit("carol", "ops.hold")
    assert "no approved ops.launch waits" in start(monkeypatch)
    assert state() == STOPPED


def test_with_safe_mode_true_it_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    assert start(monkeypatch, safe_mode=True) == ""
    assert state() == STOPPED
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    assert "launched" in start(monkeypatch)


def test_safe_mode_false_alone_lowers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no approved ops.launch waits for this start; it stays on" in start(monkeypatch)
    assert state() == STOPPED


def test_asked_for_and_not_approved_it_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ask("alice", "ops.launch", at="start")
    assert "no approved ops.launch" in start(monkeypatch)
    assert state() == STOPPED


def test_approved_for_now_it_is_not_for_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Approved, refused at that moment, and still open: a start voids it."""
    request = ask("alice", "ops.launch")
    desk.raise_hold(source="x", reason="x", scope=("venue", "bybit"))
    vote("bob", request)
    assert "no approved ops.launch" in start(monkeypatch)
    assert state() == STOPPED


def test_it_may_be_applied_by_hand() -> None:
    request = approved()
    approvals.apply(request.pk, actor=actor("bob"), source=Source.CLI)
    assert state() == LAUNCHED


# --- what it does not survive ----------------------------------------------------------------


def refused_as_stale(said: str, request: ApprovalRequest, what: str) -> None:
    assert f"the launch is refused: approval.stale: changed since it was asked for: {what}" in said
    assert state() == STOPPED
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("voided", "not_run")
    assert not Envelope.objects.exists()
    assert "no approved ops.launch" in take_up()


def test_another_build(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved(**ENVELOPE)
    monkeypatch.setattr(hooks, "_build", lambda: "another")
    refused_as_stale(start(monkeypatch), request, "before")


def test_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    factories.activate(ConfigVersion.objects.get(active=True).yaml + "\n# another\n")
    refused_as_stale(start(monkeypatch), request, "config_version")


def test_a_cause_that_its_approvers_have_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    desk.raise_hold(source="maintenance", reason="planned", scope=("venue", "bybit"), resolved=True)
    refused_as_stale(start(monkeypatch), request, "before")


@pytest.mark.parametrize("source", ["operator", "guard.x"])
def test_a_hold_between_approval_and_start_voids_it(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    if source == "operator":
        submit("carol", "ops.hold", reason="no")
    else:
        desk.raise_hold(source=source, reason="no")
    request.refresh_from_db()
    assert (request.state, (request.refusal or {})["detail"]) == ("voided", f"HOLD: {source}")
    assert "no approved ops.launch" in start(monkeypatch)
    assert state() == STOPPED


def test_a_second_start_on_the_same_causes_is_no_new_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause of the start itself was not there when it was approved, and is closed with the others."""
    approved()
    start(monkeypatch, safe_mode=True)
    assert [c.source for c in desk.causes()] == [desk.STARTED]
    assert "launched" in start(monkeypatch)
    assert not HoldCause.objects.exclude(state="closed").exists()


def test_a_start_that_is_not_ready_says_what_is_missing_and_stays(
    monkeypatch: pytest.MonkeyPatch, venues: Bench
) -> None:
    request = approved()
    desk.raise_hold(source="late", reason="not yet", scope=("venue", "okx"))
    assert "SAFE_MODE=false: not ready to launch: hold_causes" in start(monkeypatch)
    assert state() == STOPPED
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")


def test_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    let_time_pass(request)
    assert "no approved ops.launch waits" in start(monkeypatch)
    assert state() == STOPPED


def test_whoever_approved_it_must_still_be_one_who_may(monkeypatch: pytest.MonkeyPatch) -> None:
    request = approved()
    with factories.arranged():
        bob = factories.person("bob")
        bob.groups.clear()
        audit.touch_keys("ops_user_groups", bob.pk)
    assert "the launch is refused: approval.quorum_lost" in start(monkeypatch)
    assert state() == STOPPED
    request.refresh_from_db()
    assert request.execution_state == "not_run"
