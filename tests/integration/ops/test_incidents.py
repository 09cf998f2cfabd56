"""Incidents: raised by the machine, opened by hand, dealt with by people, and what they stand before."""

import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from ops import audit, checklist, desk, metrics, overview, selectors, status
from ops.actions import runner
from ops.actions.base import Refusal, Source, Status
from ops.api.incidents import VERBS
from ops.incidents import catalogue, export, service
from ops.incidents import timeline as timelines
from ops.incidents.service import raise_incident
from ops.incidents.timeline import timeline
from ops.models import AuditEntry, Incident, IncidentEvent, Mode
from tests import factories
from tests.database import as_superuser
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
    assert [line.kind for line in again.events.all()] == ["raised"], "nothing new was said"
    assert [line["kind"] for line in timeline(again)] == ["raised"]
    raise_incident("flatten.unverified", "flatten.unverified:1", "binance: cannot be read")
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
def test_opened_by_hand_with_nothing_to_say(wrong: dict[str, Any]) -> None:
    good = {"severity": "P2", "component": "desk", "summary": "odd"}
    with pytest.raises(Refusal) as caught:
        submit("alice", "ops.open_incident", **{**good, **wrong})
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


@pytest.mark.parametrize(
    ("steps", "change", "says"),
    [
        (WAY[:3], {"state": "closed"}, "a P0 is closed with an acknowledged root cause"),
        (WAY, {"resolution": "another"}, "a closed incident is kept as it is"),
    ],
)
def test_what_the_database_holds(steps: Any, change: dict[str, str], says: str) -> None:
    row = walk(p0(), *steps)
    with pytest.raises(IntegrityError, match=says), factories.arranged():
        service.change(row, **change)


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


# --- faces ---------------------------------------------------------------------------


def client(name: str = "alice") -> Client:
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # or whitenoise warns of it
    found = Client()
    found.force_login(factories.person(name), backend="django.contrib.auth.backends.ModelBackend")
    return found


def test_the_list_is_filtered_and_leafed_through() -> None:
    for n in range(3):
        raise_incident("order.unknown", f"order.unknown:{n}", "x")
    p0()
    body = client("victor").get("/api/ui/incidents?severity=P1&state=open&limit=2").json()
    assert [row["source"] for row in body["results"]] == ["order.unknown:2", "order.unknown:1"]
    rest = client("victor").get(body["next"]).json()
    assert [row["source"] for row in rest["results"]] == ["order.unknown:0"]
    assert rest["next"] is None


@pytest.mark.parametrize("query", ["severity=P9", "state=odd", "limit=0"])
def test_a_filter_that_there_is_not(query: str) -> None:
    assert client().get(f"/api/ui/incidents?{query}").status_code == 422


def test_one_with_its_timeline() -> None:
    row = walk(p0(), ACKNOWLEDGE)
    body = client().get(f"/api/ui/incidents/{row.pk}").json()
    assert (body["id"], body["state"], body["owner"]) == (str(row.pk), "acknowledged", "alice")
    assert [line["kind"] for line in body["timeline"]] == ["raised", "acknowledged"]
    missing = client().get(f"/api/ui/incidents/{uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "incident.unknown")
    assert Client().get("/api/ui/incidents").status_code == 401


def test_the_whole_way_by_its_own_paths() -> None:
    row, browser = p0(), client()
    bodies = {
        "assign": {"username": "alice"},
        "comment": {"comment": "hm"},
        "acknowledge": {"comment": "looking"},
        "mitigate": {"comment": "closed by hand"},
        "shelve": {"minutes": 5, "reason": "noise"},
        "unshelve": {},
        "resolve": {"resolution": "the venue is back"},
        "root_cause": {"text": "a cable"},
        "close": {},
    }
    assert set(bodies) == set(VERBS)
    for verb, body in bodies.items():
        answer = browser.post(
            f"/api/ui/incidents/{row.pk}/{verb}", json.dumps(body), content_type="application/json"
        )
        assert (answer.status_code, answer.json()["status"]) == (200, "executed"), (verb, answer.json())
    row.refresh_from_db()
    assert row.state == "closed"


def test_the_path_says_which_incident_and_the_body_may_not() -> None:
    row = p0()
    body = json.dumps({"comment": "x", "incident_id": str(uuid4())})
    answer = client().post(f"/api/ui/incidents/{row.pk}/comment", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (422, "input.invalid")
    assert row.events.count() == 1


def test_the_overview_counts_them_and_a_flood_stands_first() -> None:
    p0()
    for n in range(9):
        raise_incident("order.unknown", f"order.unknown:{n}", "x")
    ten = overview.overview()
    assert ten["incidents_open"] == {"P0": 1, "P1": 9, "P2": 0}
    assert "incident_flood" not in [alert["id"] for alert in ten["alerts"]]
    p0()
    assert service.raised_lately() == 10, "the same again is no further alarm"
    raise_incident("flatten.unverified", "flatten.unverified:1", "binance: cannot be read")
    eleven = overview.overview()
    assert eleven["alerts"][0]["id"] == "incident_flood"
    assert "11 alarms" in eleven["alerts"][0]["summary"]
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert not service.raised_lately()


def test_metrics() -> None:
    row = p0()
    raise_incident("order.unknown", "order.unknown:1", "x")
    text = metrics.exposition().decode()
    assert 'cryptobot_incidents_open{severity="P0"} 1.0' in text
    assert 'cryptobot_incidents_open{severity="P2"} 0.0' in text
    assert "cryptobot_incident_alarms_10m 2.0" in text
    do("ops.shelve_incident", row, minutes=5, reason="noise")
    assert 'cryptobot_incidents_open{severity="P0"} 0.0' in metrics.exposition().decode()


def test_the_journal_is_a_component() -> None:
    def look() -> status.Row:
        return status.evaluate(status._components["incidents"])

    assert (look().status, look().summary) == (status.Status.OK, "open: 0 P0, 0 P1, 0 P2")
    row = p0()
    assert look().status is status.Status.WARN
    assert look().metrics["p0_without_root_cause"] == 1
    assert "flatten.unverified:1" in look().metrics["newest"][0]
    walk(row, ROOT_CAUSE)
    assert look().status is status.Status.OK


# --- export --------------------------------------------------------------------------


def test_exported_as_json() -> None:
    row = walk(p0(), *WAY)
    answer = client().get(f"/api/ui/incidents/{row.pk}/export?format=json")
    assert answer["Content-Type"].startswith("application/json")
    body = json.loads(answer.content)
    assert (body["incident"]["id"], body["incident"]["root_cause"]) == (str(row.pk), "a cable")
    assert body["catalogue"]["title"]["ru"] == "Flatten не подтверждён"
    assert (body["audit"]["ok"], body["audit"]["head"]) == (True, audit.last_seq())
    seqs = [line["audit_seq"] for line in body["timeline"]]
    assert seqs == sorted(seqs)
    assert set(seqs) <= set(AuditEntry.objects.values_list("seq", flat=True))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["# Incident P0", "## Root cause", "the chain holds"]),
        ("ru", ["# Инцидент P0", "## Первопричина"]),
    ],
)
def test_exported_as_markdown(language: str, words: list[str]) -> None:
    row = walk(p0(), ACKNOWLEDGE, ROOT_CAUSE)
    answer = client().get(f"/api/ui/incidents/{row.pk}/export?format=md&lang={language}")
    assert answer["Content-Type"].startswith("text/markdown")
    text = answer.content.decode()
    for said in [*words, "a cable", "looking", "alice"]:
        assert said in text
    facts = text.split("##")[1]
    assert bool(re.search("[а-яё]", facts)) is (language == "ru")


def test_the_timeline_takes_in_what_the_log_says_of_the_source() -> None:
    job = str(uuid4())
    audit.append_system(action="trading.flatten", target=job, verdict="unverified", reason="okx")
    audit.append_system(action="trading.flatten", target=str(uuid4()), verdict="done")
    row = raise_incident("flatten.unverified", f"flatten.unverified:{job}", "x")
    kinds = [line["kind"] for line in timeline(row)]
    assert kinds == ["trading.flatten unverified", "raised"]


def test_the_timeline_takes_in_what_was_done_with_the_desk_meanwhile() -> None:
    before = ask("alice", "ops.safe_mode", enabled=False)
    factories.vote("bob", before, "reject", comment="not today")
    desk.raise_hold(source="guard.x", reason="tripped", scope=("venue", "okx"))
    row = Incident.objects.get()
    another = raise_incident("order.unknown", "order.unknown:1", "x")
    submit("alice", "ops.hold")
    desk.resolve_cause("guard.x", why="it sleeps")
    request = ask("alice", "ops.resume")
    factories.vote("bob", request)
    submit("alice", "ops.comment_incident", incident_id=str(another.pk), comment="elsewhere")
    walk(row, ACKNOWLEDGE, RESOLVE, CLOSE)
    submit("alice", "ops.hold")
    assert [line["kind"] for line in timeline(row)] == [
        "raised",
        "ops.hold executed",
        "ops.hold executed",
        "ops.resolve_cause executed",
        "ops.resume pending_approval",
        "approval.approve executed",
        "ops.resume executed",
        "acknowledged",
        "resolved",
        "closed",
    ]


def test_a_timeline_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    row = p0()
    for _ in range(3):
        submit("alice", "ops.hold")
    monkeypatch.setattr(timelines, "MOST_ENTRIES", 1)
    assert [(line["kind"], line["text"]) for line in timeline(row)] == [
        ("left out", "2 older entries of the audit log"),
        ("raised", "okx: cannot be read"),
        ("ops.hold executed", factories.REASON),
    ]


def test_an_alarm_that_cannot_be_written_leaves_its_caller_alone() -> None:
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON ops_incidentevent"
            " FOR EACH ROW EXECUTE FUNCTION ops_refuse()"
        )
    with transaction.atomic():
        service.alarm("order.unknown", "order.unknown:1", "x")
        assert desk.raise_hold(source="guard.x", reason="tripped")
    assert not Incident.objects.exists()
    assert desk.blocking_sources() == ["guard.x"]
    assert audit.verify().ok


def test_what_a_venue_sends_is_written_whatever_it_is() -> None:
    service.alarm("order.unknown", "s\x00", "no\x00 \ud800 answer", {"body": ["\x00", Decimal("1.50")]})
    line = newest(Incident.objects.get())
    assert line.text == "no\ufffd ? answer"
    assert line.data == {"body": ["\ufffd", "1.5"]}


def test_an_export_cannot_be_written_by_what_it_quotes() -> None:
    row = raise_incident("order.unknown", "s", "x")
    do("ops.comment_incident", row, comment="ok\n\n# Incident P2\n[click](http://x) <b>")
    text = export.as_markdown(row, "en")
    assert "\n# Incident P2" not in text
    assert "<b>" not in text
    assert "[click]" not in text


def test_an_export_says_that_the_chain_is_broken() -> None:
    row = p0()
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ops_auditentry SET reason = 'never said' WHERE seq = 1")
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert "THE CHAIN IS BROKEN: entry 1 was changed" in export.as_markdown(row, "en")


@pytest.mark.parametrize("query", ["format=pdf", "lang=de"])
def test_an_export_that_there_is_not(query: str) -> None:
    assert client().get(f"/api/ui/incidents/{p0().pk}/export?{query}").status_code == 422


# --- pages and commands --------------------------------------------------------------


def test_pages() -> None:
    row = walk(p0(), ACKNOWLEDGE)
    listed = client("victor").get("/admin/ops/incident/").content.decode()
    assert "flatten.unverified" in listed
    page = client().get(f"/admin/ops/incident/{row.pk}/change/")
    text = page.content.decode()
    assert {name for name, *_ in page.context["offers"]} == {
        "ops.acknowledge_root_cause",
        "ops.assign_incident",
        "ops.comment_incident",
        "ops.mitigate_incident",
        "ops.resolve_incident",
        "ops.shelve_incident",
    }
    for said in ("A flatten could not be verified", "looking", "does not resume before", "lang=ru"):
        assert said in text
    assert f"/admin/act/ops.mitigate_incident/?incident_id={row.pk}" in text
    walk(row, *WAY[1:])
    assert client().get(f"/admin/ops/incident/{row.pk}/change/").context["offers"] == []
    assert client().get("/admin/ops/incidentevent/").status_code == 200


def test_what_is_offered_is_not_refused_for_its_state() -> None:
    for steps in range(len(WAY) + 1):
        row = walk(raise_incident("flatten.unverified", f"s{steps}", "x"), *WAY[:steps])
        for action in selectors.fitting(row):
            runner.rehearse(
                action,
                actor=factories.actor("alice"),
                data={k: v for k, v in EVERY[action].items() if k != "reason"} | {"incident_id": str(row.pk)},
                reason="noise",
                source=Source.ADMIN,
            )


def command(*words: str) -> str:
    out = io.StringIO()
    call_command("incident", *words, stdout=out)
    return out.getvalue()


def test_commands() -> None:
    row, over = p0(), walk(raise_incident("order.unknown", "order.unknown:1", "x"), *WAY)
    assert str(row.pk) in command("list")
    assert str(over.pk) not in command("list")
    assert str(over.pk) in command("list", "--all")
    assert [found["id"] for found in json.loads(command("list", "--json"))] == [str(row.pk)]
    assert "raised system: okx: cannot be read" in command("show", str(row.pk))
    assert json.loads(command("show", str(row.pk), "--json"))["timeline"][0]["kind"] == "raised"
    assert command("export", str(row.pk), "--lang", "ru").startswith("# Инцидент P0")
    assert json.loads(command("export", str(row.pk), "--format", "json"))["audit"]["ok"]
    assert json.loads(command("export", str(row.pk), "--json"))["audit"]["ok"]
    assert command("catalogue") == catalogue.document()
    assert {found["code"] for found in json.loads(command("catalogue", "--json"))} == set(catalogue.ALARMS)
    for wrong in ("", "x", str(uuid4())):
        with pytest.raises(CommandError, match="the id of an incident"):
            command("show", wrong)
