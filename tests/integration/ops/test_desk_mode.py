"""HOLD, resume and SAFE_MODE through the runner, as every face calls it."""

from typing import Any

import pytest
from django.db.models import F

from ops import checklist, desk
from ops.actions.base import Refusal, Status
from ops.models import ApprovalRequest, AuditEntry, DeskState, HoldCause, Mode
from tests import factories
from tests.factories import ask, resume, safe_mode_off, submit, vote

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def refused(code: str, *args: Any, **kwargs: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        submit(*args, **kwargs)
    assert caught.value.code == code, caught.value.detail
    return caught.value


def state() -> DeskState:
    return desk.get_state()


# --- HOLD --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "rita", "root"])
def test_hold_is_one_person_one_step(name: str) -> None:
    resume()
    outcome = submit(name, "ops.hold", reason="")
    assert outcome.status is Status.EXECUTED
    assert outcome.body["result"]["mode"] == "HOLD"
    assert state().mode == Mode.HOLD


def test_hold_in_every_mode_adds_a_cause_and_overwrites_none() -> None:
    for n in range(3):  # the first two find the desk in HOLD already
        submit("alice", "ops.hold", reason=f"reason {n}")
    assert [c.reason for c in HoldCause.objects.order_by("opened_at")] == ["reason 0", "reason 1", "reason 2"]
    assert {c.raised_by.username for c in HoldCause.objects.all() if c.raised_by} == {"alice"}
    resume()
    safe_mode_off()
    submit("bob", "ops.hold")
    assert state().mode == Mode.HOLD
    assert not state().safe_mode  # it stops; it does not switch anything else


def test_hold_answers_open_requests_that_increase_risk() -> None:
    resume()
    request = ask("alice", "ops.safe_mode", enabled=False)
    submit("bob", "ops.hold")
    request.refresh_from_db()
    assert request.state == ApprovalRequest.State.VOIDED
    assert request.refusal == {"code": "voided", "detail": "HOLD: operator", "errors": []}
    with pytest.raises(Refusal, match="voided"):
        vote("bob", request)
    assert state().safe_mode


def test_a_machine_cause_is_raised_once_and_always_ends_in_hold() -> None:
    resume()
    assert desk.raise_hold(source="guard.x", reason="tripped")
    assert not desk.raise_hold(source="guard.x", reason="tripped again")
    assert HoldCause.objects.filter(source="guard.x").count() == 1
    assert state().mode == Mode.HOLD
    assert AuditEntry.objects.filter(action="ops.hold", source="system").count() == 1


def test_a_scoped_cause_leaves_the_mode_alone_and_blocks_its_scope() -> None:
    resume()
    desk.raise_hold(source="maintenance", reason="planned", scope=("venue", "okx"))
    assert state().mode == Mode.RUN
    assert desk.blocking_sources() == []
    assert desk.blocking_sources([("venue", "okx")]) == ["maintenance"]
    assert desk.blocking_sources([("venue", "binanceusdm")]) == []


# --- leaving HOLD --------------------------------------------------------------


def test_resume_needs_another_person() -> None:
    submit("alice", "ops.hold", reason="lunch")
    request = ask("alice", "ops.resume")
    assert state().mode == Mode.HOLD
    with pytest.raises(Refusal) as caught:
        vote("alice", request)
    assert caught.value.code == "vote.self"
    assert state().mode == Mode.HOLD
    outcome = vote("bob", request)
    assert outcome.status is Status.EXECUTED
    assert state().mode == Mode.RUN
    assert state().approval == request
    assert not HoldCause.objects.exclude(state="closed").exists()


def test_the_request_shows_which_causes_it_will_close() -> None:
    submit("alice", "ops.hold", reason="lunch")
    request = ask("alice", "ops.resume")
    assert request.diff == [
        {"field": "mode", "before": "HOLD", "after": "RUN"},
        {"field": "cause operator", "before": "open: lunch", "after": "closed"},
    ]


def test_resume_is_refused_naming_each_missing_item() -> None:
    desk.raise_hold(source="guard.x", reason="still tripped")
    checklist.register(checklist.Item("second", "Second", lambda _: (False, "also red")))
    refusal = refused("resume.not_ready", "alice", "ops.resume")
    assert "hold_causes" in refusal.detail
    assert "second" in refusal.detail
    assert [line["name"] for line in refusal.errors] == ["hold_causes", "second"]
    assert "guard.x: still tripped" in refusal.errors[0]["detail"]
    assert not ApprovalRequest.objects.exists()


def test_removing_a_cause_resolves_it_and_only_resume_closes_it() -> None:
    desk.raise_hold(source="guard.x", reason="tripped")
    assert desk.resolve_cause("guard.x", why="gone") == 1
    assert state().mode == Mode.HOLD
    assert HoldCause.objects.get().state == "resolved"
    resume()
    assert HoldCause.objects.get().state == "closed"
    assert HoldCause.objects.filter(resolved_at__lte=F("closed_at")).exists()


def test_a_line_that_could_not_look_is_red_and_says_why() -> None:
    def broken() -> None:
        raise OSError("no route")

    checklist.register(checklist.Item("outside", "Outside", lambda _: (True, "fine"), look=broken))
    refusal = refused("resume.not_ready", "alice", "ops.resume")
    assert refusal.errors == [
        {"name": "outside", "title": "Outside", "ok": False, "detail": "OSError: no route", "link": ""}
    ]
    assert not checklist.evaluate(None)[-1]["ok"]  # nobody looked at all


def test_resume_from_run_is_refused() -> None:
    resume()
    refused("resume.not_in_hold", "alice", "ops.resume")


def test_a_broken_audit_chain_blocks_resume() -> None:
    from tests.database import tamper

    submit("alice", "ops.hold")
    tamper("UPDATE ops_auditentry SET reason = 'another' WHERE seq = 1")
    refusal = refused("resume.not_ready", "alice", "ops.resume")
    assert [line["name"] for line in refusal.errors] == ["audit_chain"]


# --- SAFE_MODE -----------------------------------------------------------------


def test_safe_mode_off_needs_another_person_and_a_reason() -> None:
    refused("reason.required", "alice", "ops.safe_mode", reason=" ", enabled=False)
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert state().safe_mode
    vote("rita", request)
    assert not state().safe_mode


def test_safe_mode_on_is_one_person() -> None:
    safe_mode_off()
    outcome = submit("alice", "ops.safe_mode", reason="", enabled=True)
    assert outcome.status is Status.EXECUTED
    assert state().safe_mode


def test_safe_mode_that_is_so_already_is_said() -> None:
    refused("safe_mode.unchanged", "alice", "ops.safe_mode", enabled=True)


def test_each_change_is_a_new_version() -> None:
    first = state().version
    safe_mode_off()
    resume()
    assert state().version == first + 2


# --- start -----------------------------------------------------------------------


def test_a_start_lands_in_hold_and_safe_mode() -> None:
    safe_mode_off()
    resume()
    waiting = factories.ask("alice", "ops.safe_mode", enabled=False) if state().safe_mode else None
    assert waiting is None
    desk.desk_started()
    assert (state().mode, state().safe_mode) == (Mode.HOLD, True)
    assert [(c.source, c.state) for c in desk.causes()] == [("desk.start", "resolved")]
    desk.desk_started()
    assert len(list(desk.causes())) == 1
