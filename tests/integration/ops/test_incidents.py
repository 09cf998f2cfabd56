"""Incidents: raised by the machine, opened by hand, dealt with by people, and what they stand before."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from ops import audit, checklist, desk
from ops.actions.base import Refusal, Status
from ops.incidents import service
from ops.incidents.service import raise_incident
from ops.models import AuditEntry, Incident, IncidentEvent, Mode
from tests import factories
from tests.factories import ask, submit

pytestmark = pytest.mark.usefixtures("house", "journal_checklist")


@pytest.fixture
def journal_checklist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame's own lines; trading's look at venues."""
    own = {"hold_causes", "audit_chain", "root_causes"}
    monkeypatch.setattr(checklist, "_items", {n: i for n, i in checklist._items.items() if n in own})


def refused(code: str, action: str, row: Incident, *, who: str = "alice", **data: Any) -> Refusal:
    """Refused, on record, and nothing changed."""
    before = Incident.objects.filter(pk=row.pk).values().first()
    lines = IncidentEvent.objects.count()
    with pytest.raises(Refusal) as caught:
        do(action, row, who=who, **data)
    assert caught.value.code == code, caught.value.detail
    entry = AuditEntry.objects.latest("seq")
    assert (entry.verdict, entry.code, entry.action) == ("refused", code, action)
    assert Incident.objects.filter(pk=row.pk).values().first() == before
    assert IncidentEvent.objects.count() == lines
    return caught.value


def do(action: str, row: Incident, *, who: str = "alice", reason: str = "", **data: Any) -> Any:
    return submit(who, action, incident_id=str(row.pk), reason=reason, **data)


def p0() -> Incident:
    return raise_incident("flatten.unverified", "flatten.unverified:1", "okx: cannot be read")


ACKNOWLEDGE = ("ops.acknowledge_incident", {"comment": "looking"})
MITIGATE = ("ops.mitigate_incident", {"comment": "closed by hand"})
RESOLVE = ("ops.resolve_incident", {"resolution": "the venue is back"})
ROOT_CAUSE = ("ops.acknowledge_root_cause", {"text": "a cable"})
CLOSE: tuple[str, dict[str, Any]] = ("ops.close_incident", {})
WAY = (ACKNOWLEDGE, MITIGATE, RESOLVE, ROOT_CAUSE, CLOSE)


def walk(row: Incident, *steps: tuple[str, dict[str, Any]]) -> Incident:
    for action, data in steps:
        do(action, row, **data)
    row.refresh_from_db()
    return row


def newest(row: Incident) -> IncidentEvent:
    line = row.events.last()
    assert line is not None
    return line


# --- raised by the machine -----------------------------------------------------------


def test_a_raised_incident_is_the_catalogue_s_and_on_record() -> None:
    row = raise_incident("execution.rescued", "execution.rescued:7", "leg 2 timed out", {"leg": 2})
    assert (row.state, row.severity, row.component) == ("open", "P1", "execution")
    line, entry = newest(row), AuditEntry.objects.latest("seq")
    assert (line.kind, line.text, line.data, line.actor_name) == (
        "raised",
        "leg 2 timed out",
        {"leg": 2},
        "system",
    )
    assert line.audit_seq == entry.seq
    assert (entry.action, entry.target) == ("ops.raise_incident", f"incident:{row.pk}")
    assert f"ops_incident:{row.pk}" in entry.touches
    assert audit.verify().ok


def test_the_same_source_joins_its_unclosed_incident() -> None:
    first, again = p0(), p0()
    assert first.pk == again.pk
    assert (again.occurrences, Incident.objects.count()) == (2, 1)
    assert again.last_seen_at > first.last_seen_at
    assert [line.kind for line in again.events.all()] == ["raised", "raised again"]
    walk(again, *WAY)
    assert p0().pk != first.pk, "closed is the end"
    assert raise_incident("flatten.unverified", "flatten.unverified:2", "x").occurrences == 1


def test_an_incident_goes_with_the_transaction_that_raised_it() -> None:
    with transaction.atomic():
        p0()
        transaction.set_rollback(True)
    assert not Incident.objects.exists()
    assert not AuditEntry.objects.filter(action="ops.raise_incident").exists()


def test_only_codes_of_the_catalogue() -> None:
    with pytest.raises(LookupError, match=r"accepted: hold\.raised"):
        raise_incident("nonsense", "x", "y")


# --- people --------------------------------------------------------------------------


def test_opened_by_hand() -> None:
    outcome = submit("rita", "ops.open_incident", severity="P0", component="okx", summary="odd fills")
    row = Incident.objects.get(pk=outcome.body["result"]["incident_id"])
    assert (row.code, row.severity, row.component, row.summary) == ("manual", "P0", "okx", "odd fills")
    assert row.opened_by == factories.person("rita")
    assert (newest(row).kind, newest(row).audit_seq) == ("opened", outcome.audit_seq)


@pytest.mark.parametrize("wrong", [{"severity": "P9"}, {"summary": " "}, {"component": "x" * 65}])
def test_opened_by_hand_with_nothing_to_say(wrong: dict[str, str]) -> None:
    good = {"severity": "P2", "component": "desk", "summary": "odd"}
    with pytest.raises(Refusal) as caught:
        submit("alice", "ops.open_incident", **(good | wrong))
    assert caught.value.code == "input.invalid"
    assert not Incident.objects.exists()


def test_the_whole_way() -> None:
    row = p0()
    for (action, data), state in zip(
        WAY, ["acknowledged", "mitigated", "resolved", "resolved", "closed"], strict=True
    ):
        outcome = do(action, row, **data)
        row.refresh_from_db()
        assert (outcome.status, row.state) == (Status.EXECUTED, state)
        entry = AuditEntry.objects.latest("seq")
        assert (entry.action, entry.target, entry.actor_name) == (action, f"incident:{row.pk}", "alice")
        assert f"ops_incident:{row.pk}" in entry.touches
        assert newest(row).audit_seq == outcome.audit_seq == entry.seq
    assert (row.owner, row.root_cause_by) == (factories.person("alice"), factories.person("alice"))
    assert (row.resolution, row.root_cause) == ("the venue is back", "a cable")
    assert None not in (row.acknowledged_at, row.mitigated_at, row.resolved_at, row.closed_at)
    kinds = [line.kind for line in row.events.all()]
    assert kinds == ["raised", "acknowledged", "mitigated", "resolved", "root cause", "closed"]


def test_assigned_and_commented() -> None:
    row = p0()
    do("ops.assign_incident", row, username="bob")
    do("ops.comment_incident", row, comment="asked okx")
    row.refresh_from_db()
    assert (row.owner, row.state) == (factories.person("bob"), "open")
    assert newest(row).text == "asked okx"
    walk(row, ACKNOWLEDGE)
    assert row.owner == factories.person("bob"), "who acknowledges does not take it from its owner"
    refused("input.invalid", "ops.assign_incident", row, username="nobody")


def test_shelved_for_at_most_eight_hours_and_with_a_reason() -> None:
    row = p0()
    for minutes in (0, 481):
        refused("input.invalid", "ops.shelve_incident", row, minutes=minutes, reason="noise")
    refused("reason.required", "ops.shelve_incident", row, minutes=60)
    assert service.counts() == {"P0": 1, "P1": 0, "P2": 0}
    do("ops.shelve_incident", row, minutes=480, reason="noise")
    assert service.counts()["P0"] == 0
    assert (newest(row).kind, newest(row).text) == ("shelved", "noise")
    assert service.without_root_cause().exists(), "the resume gate sees it all the same"
    do("ops.unshelve_incident", row)
    assert service.counts()["P0"] == 1
    refused("incident.state", "ops.unshelve_incident", row)


EVERY: dict[str, dict[str, Any]] = {
    **dict(WAY),
    "ops.assign_incident": {"username": "bob"},
    "ops.comment_incident": {"comment": "hm"},
    "ops.shelve_incident": {"minutes": 5, "reason": "noise"},
    "ops.unshelve_incident": {},
}


@pytest.mark.parametrize("action", EVERY)
def test_closed_is_the_end(action: str) -> None:
    row = walk(p0(), *WAY)
    assert "closed" in refused("incident.state", action, row, **EVERY[action]).detail


@pytest.mark.parametrize("action", EVERY)
def test_an_incident_that_there_is_not(action: str) -> None:
    assert refused("incident.unknown", action, Incident(), **EVERY[action]).status == 404


@pytest.mark.parametrize("action", EVERY)
def test_a_viewer_only_looks(action: str) -> None:
    refused("permission.denied", action, p0(), who="victor", **EVERY[action])


OUT_OF_TURN: dict[str, Callable[[Incident], Any]] = {
    "ops.acknowledge_incident": lambda row: walk(row, ACKNOWLEDGE),
    "ops.mitigate_incident": lambda row: row,
    "ops.resolve_incident": lambda row: row,
    "ops.acknowledge_root_cause": lambda row: walk(row, ROOT_CAUSE),
    "ops.close_incident": lambda row: walk(row, ACKNOWLEDGE),
}


@pytest.mark.parametrize("action", OUT_OF_TURN)
def test_out_of_turn(action: str) -> None:
    row = p0()
    OUT_OF_TURN[action](row)
    refused("incident.state", action, row, **EVERY[action])


WORDS = {"comment", "resolution", "text", "username"}


@pytest.mark.parametrize(("action", "field"), [(a, f) for a, d in EVERY.items() for f in d if f in WORDS])
def test_words_that_say_nothing(action: str, field: str) -> None:
    ready = walk(p0(), ACKNOWLEDGE) if action in {MITIGATE[0], RESOLVE[0]} else p0()
    refused("input.invalid", action, ready, **{field: "  "})


def test_a_p0_is_not_closed_without_root_cause_and_a_p1_is() -> None:
    row = walk(p0(), ACKNOWLEDGE, RESOLVE)
    assert "root cause" in refused("incident.state", *(CLOSE[0], row)).detail
    lesser = raise_incident("order.unknown", "order.unknown:1", "x")
    assert walk(lesser, ACKNOWLEDGE, RESOLVE, CLOSE).state == "closed"


# --- what they stand before ----------------------------------------------------------


def test_the_desk_does_not_resume_before_the_root_cause_is_acknowledged() -> None:
    row = p0()
    with pytest.raises(Refusal) as caught:
        ask("alice", "ops.resume")
    (line,) = caught.value.errors
    assert (caught.value.code, line["name"]) == ("resume.not_ready", "root_causes")
    assert "flatten.unverified:1" in line["detail"]
    walk(row, ROOT_CAUSE)
    factories.resume()
    assert desk.get_state().mode == Mode.RUN
