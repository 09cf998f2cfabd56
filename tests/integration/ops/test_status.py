"""Each of the frame's components turned red by breaking what it looks at, and the shape of every answer."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from leadership import readiness
from leadership.models import Lease
from ops import audit, chain_watch, desk, heartbeat, hooks, overview, status
from ops.chain_watch import ChainWatch
from ops.models import AuditEntry, HoldCause, ProcessHeartbeat, User
from ops.status import Row, Status
from tests import factories
from tests.database import as_superuser

OWN = {
    "database",
    "redis",
    "execution_queue",
    "audit_chain",
    "config",
    "approvals",
    "hold",
    "incidents",
    "disk",
    "leader",
}
PROCESSES = {
    f"process.{role}"
    for role in ("leader-keeper", "web", "worker-execution", "worker-default", "sweeper", "breaker", "beat")
}


@pytest.fixture
def frame(house: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Iterator[None]:
    """The frame's own components on a desk whose processes have just beaten; trading's are tested with it."""
    settings.ENV = django_settings.ENV.model_copy(update={"data_dir": tmp_path})
    monkeypatch.setattr(
        status, "_components", {n: c for n, c in status._components.items() if n in OWN - {"audit_chain"}}
    )
    status.register(chain_watch.component())
    monkeypatch.setattr(status, "_providers", {"processes": status._providers["processes"]})
    monkeypatch.setattr(hooks, "_facts", {"lease": readiness.lease_facts})
    for role in heartbeat.expected():
        beat(role)
    status.forget()
    yield
    status.forget()


pytestmark = pytest.mark.usefixtures("frame")


def beat(role: str, **health: Any) -> None:
    started = timezone.now()
    heartbeat.beat(role, started_at=started, health={"loop_age_sec": 0.1, "busy_sec": None} | health)


def look(name: str) -> Row:
    status.forget()
    found = status.snapshot().find(name)
    assert found is not None, [row.id for row in status.snapshot().rows]
    return found


def verdict() -> Status:
    status.forget()
    return overview.overall(status.snapshot().rows, overview.thresholds())


# --- all is well -------------------------------------------------------------


def test_a_healthy_desk_is_ok_and_every_status_has_an_age() -> None:
    rows = {row.id: row for row in status.snapshot().rows}
    assert rows.keys() == OWN | PROCESSES
    assert {name: row.summary for name, row in rows.items() if row.status is not Status.OK} == {}
    assert all(row.source_age_sec is not None and row.source_age_sec < 10 for row in rows.values())
    assert verdict() is Status.OK


# --- what it stands on -------------------------------------------------------


def test_a_stopped_redis(settings: Settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path / 'nobody'}"
    assert look("redis").status is Status.UNKNOWN
    assert look("execution_queue").status is Status.UNKNOWN
    assert verdict() is Status.WARN


def test_a_long_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops import components

    client = components._client(django_settings.REDIS_URL)
    queue = f"execution.{django_settings.INSTANCE}"
    monkeypatch.setattr(components, "QUEUE_WARN", 1)
    client.lpush(queue, "nudge")
    try:
        found = look("execution_queue")
    finally:
        client.delete(queue)
    assert (found.status, found.metrics["depth"]) == (Status.WARN, 1)


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.components.DISK_ERROR_MB", 2**40)
    assert look("disk").status is Status.ERROR


# --- processes ---------------------------------------------------------------


def test_an_old_heartbeat_is_unknown_and_no_mean_hides_it() -> None:
    ProcessHeartbeat.objects.filter(role="worker-execution").update(at=timezone.now() - timedelta(seconds=30))
    found = look("process.worker-execution")
    assert found.status is Status.UNKNOWN
    assert found.source_age_sec is not None
    assert found.source_age_sec >= 30
    assert verdict() is Status.ERROR


def test_a_process_that_never_beat() -> None:
    ProcessHeartbeat.objects.filter(role="beat").delete()
    assert look("process.beat").status is Status.UNKNOWN


def test_a_thread_that_beats_for_a_hung_loop() -> None:
    beat("web", loop_age_sec=40)
    assert look("process.web").status is Status.ERROR


@pytest.mark.parametrize("pid", [None, 999_999])
def test_the_supervisor_knows_sooner(tmp_path: Path, pid: int | None) -> None:
    child = {"pid": pid, "state": "waiting", "restarts": 3, "last_exit": "killed by SIGKILL"}
    (tmp_path / "supervisor.json").write_text(json.dumps({"children": {"worker-default": child}}))
    found = look("process.worker-default")
    assert found.status is (Status.ERROR if pid is None else Status.WARN)
    assert found.metrics["restarts"] == 3


def test_a_heartbeat_is_one_row_per_role() -> None:
    before = ProcessHeartbeat.objects.get(role="web")
    beat("web")
    after = ProcessHeartbeat.objects.get(role="web")
    assert after.pk == before.pk
    assert after.at > before.at
    assert (after.build, after.config_version) == (hooks.build(), 1)


# --- controls ----------------------------------------------------------------


def test_a_tampered_audit_entry() -> None:
    for _ in range(3):
        audit.append_system(action="ops.test", verdict="executed", reason="as written")
    assert look("audit_chain").status is Status.OK
    victim = AuditEntry.objects.order_by("seq")[1].seq
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ops_auditentry SET reason = 'as wished' WHERE seq = %s", [victim])
    found = look("audit_chain")
    assert (found.status, found.metrics["bad_seq"]) == (Status.ERROR, victim)
    assert look("audit_chain").status is Status.ERROR, "and it stays red"
    assert verdict() is Status.ERROR


def test_a_truncated_audit_log() -> None:
    for _ in range(3):
        audit.append_system(action="ops.test", verdict="executed")
    assert look("audit_chain").status is Status.OK
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM ops_auditentry WHERE seq = (SELECT max(seq) FROM ops_auditentry)")
    assert look("audit_chain").status is Status.ERROR


def test_a_chain_longer_than_a_look_says_how_far_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.chain_watch.FIRST_WALK", 2)
    for _ in range(5):
        audit.append_system(action="ops.test", verdict="executed")
    head = audit.last_seq()
    seen = [look("audit_chain").status for _ in range((head + 1) // 2)]
    assert seen == [Status.WARN] * (len(seen) - 1) + [Status.OK]


def test_new_entries_are_verified_at_the_next_look() -> None:
    watch = ChainWatch()
    watch.probe()
    audit.append_system(action="ops.test", verdict="executed")
    assert watch.probe().metrics["verified"] == audit.last_seq()


def test_fewer_approvers_than_the_quorum() -> None:
    keep = User.objects.get(username="alice")
    User.objects.exclude(pk=keep.pk).update(is_active=False)
    found = look("approvals")
    assert found.status is Status.ERROR
    assert "ops.resume" in found.summary
    User.objects.filter(username="bob").update(is_active=True)
    assert look("approvals").status is Status.OK


def test_a_process_on_another_configuration() -> None:
    active = factories.activate(desk_config().replace("quorum: 1", "quorum: 2"))
    found = look("config")
    assert found.status is Status.WARN
    assert set(found.metrics["behind"]) == set(heartbeat.expected())
    assert found.metrics["version"] == active.version
    for role in heartbeat.expected():
        beat(role)
    found = look("config")
    assert (found.status, found.metrics["file_differs"]) == (Status.OK, True)


def desk_config() -> str:
    from ops.models import ConfigVersion

    return ConfigVersion.objects.get(active=True).yaml


def test_an_open_cause_is_hold_and_a_resolved_one_is_for_people() -> None:
    desk.raise_hold(source="guard.test", reason="it barked")
    assert look("hold").status is Status.HOLD
    assert verdict() is Status.HOLD
    desk.resolve_cause("guard.test", why="it sleeps")
    assert look("hold").status is Status.OK
    assert verdict() is Status.OK
    body = Client().get("/api/ui/status/overview").json()
    assert (body["overall"], body["mode"]) == ("OK", "HOLD")
    assert [cause["state"] for cause in body["hold"]] == ["resolved"]


def test_a_cause_on_a_venue_warns() -> None:
    desk.raise_hold(source="venue.down", reason="", scope=(HoldCause.Scope.VENUE.value, "okx"))
    assert look("hold").status is Status.WARN
    assert verdict() is Status.WARN


def test_a_standby() -> None:
    Lease.objects.update(owner="another", renewed_at=timezone.now(), hb_seq=1)
    assert look("leader").status is Status.WARN
    ready = Client().get("/live-readiness")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["not the leader"]
    assert Client().get("/api/ui/state").json()["effective_mode"] == "HOLD"


# --- answers -----------------------------------------------------------------

OVERVIEW = {
    "ts",
    "snapshot_age_sec",
    "overall",
    "scores",
    "mode",
    "hold",
    "incidents_open",
    "flags",
    "leader",
    "risk_snapshot",
    "runaway_guard",
    "alerts",
    "approvals_pending",
    "build",
}
FLAGS = {
    "MODE": "HOLD",
    "SAFE_MODE": True,
    "POST_ONLY": False,
    "REDUCE_ONLY": False,
    "ENV": "paper",
    "DRY_RUN": False,
    "TWO_MAN_RULE": True,
    "RISK_CHECKS_ENABLED": False,
    "FEATURE_LEADER_LOCK": False,
}
ROW = {"id", "title", "group", "status", "summary", "metrics", "source_age_sec", "links"}


def test_state() -> None:
    body = Client().get("/api/ui/state").json()
    assert body["flags"] == FLAGS
    assert (body["mode"], body["effective_mode"], body["state_version"]) == ("HOLD", "HOLD", 1)
    assert body["leader"]["leader"]
    assert body["open"] == {"approvals": 0, "hold_causes": 0}
    assert body["config_version"] == 1


def test_overview() -> None:
    factories.ask("alice", "ops.safe_mode", enabled=False)
    body = Client().get("/api/ui/status/overview").json()
    assert body.keys() == OVERVIEW
    assert body["scores"] == {"P0": 1.0, "P1": 1.0, "P2": 1.0, "P3": None}
    assert (body["overall"], body["alerts"], body["approvals_pending"]) == ("OK", [], 1)
    assert body["flags"] == FLAGS
    assert body["build"] == hooks.build()


def test_the_overview_names_what_is_not_ok() -> None:
    beat("web", loop_age_sec=40)
    (alert,) = Client().get("/api/ui/status/overview").json()["alerts"]
    assert (alert["id"], alert["group"], alert["status"]) == ("process.web", "P0", "ERROR")


def test_components() -> None:
    body = Client().get("/api/ui/status/components").json()
    assert body["age_sec"] < status.FRESH_SEC
    assert all(each.keys() == ROW for each in body["components"])


def test_readiness_does_not_depend_on_hold() -> None:
    Lease.objects.update(renewed_at=timezone.now(), hb_seq=1)
    reply = Client().get("/live-readiness")
    body = reply.json()
    assert (reply.status_code, body["ready"], body["mode"]) == (200, True, "HOLD")
    assert body["fencing_id"].startswith(f"{body['fence']}-")
    assert 0 <= body["hb_age_sec"] < 10
    assert (body["health_ok"], body["journal_ok"], body["config_ok"]) == (True, True, True)


def test_readiness_says_why_not() -> None:
    ProcessHeartbeat.objects.filter(role="worker-execution").delete()
    reply = Client().get("/live-readiness")
    body = reply.json()
    assert (reply.status_code, body["ready"], body["health_ok"]) == (503, False, False)
    assert body["reasons"] == ["process.worker-execution: never seen: no heartbeat"]


def test_healthz() -> None:
    body = Client().get("/healthz").json()
    del body["build"]
    assert body == {"ok": True, "leader": True, "journal_ok": True, "resume_ok": True, "config_ok": True}
    desk.raise_hold(source="guard.test", reason="it barked")
    status.forget()
    body = Client().get("/healthz").json()
    assert (body["ok"], body["resume_ok"]) == (True, False)


def test_health() -> None:
    reply = Client().get("/api/health")
    assert reply.status_code == 200
    assert reply.json() == {"ok": True, "database": True, "build": hooks.build(), "env": "paper"}


# --- who may look ------------------------------------------------------------

OPEN = ("/api/health", "/healthz", "/live-readiness")
LOOPBACK = ("/api/ui/state", "/api/ui/status/overview", "/api/ui/status/components", "/metrics")


@pytest.mark.parametrize("path", [*OPEN, *LOOPBACK])
def test_somebody_at_the_machine_needs_no_login(path: str) -> None:
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize("path", LOOPBACK)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_somebody_behind_a_proxy_does(path: str, header: str) -> None:
    reply = Client().get(path, headers={header: "127.0.0.1"})
    assert reply.status_code == 401
    assert json.loads(reply.content)["code"] == "auth.required"


@pytest.mark.parametrize("path", OPEN)
def test_health_is_open_to_everybody(path: str) -> None:
    assert Client().get(path, REMOTE_ADDR="203.0.113.9").status_code == 200


@pytest.mark.parametrize("path", LOOPBACK)
def test_in_live_everybody_logs_in_but_prometheus_beside_the_desk(path: str, settings: Settings) -> None:
    settings.ENV = django_settings.ENV.model_copy(update={"exchange_profile": "live"})
    assert Client().get(path, secure=True).status_code == (200 if path == "/metrics" else 401)
    person = Client()
    person.force_login(factories.person("victor"), backend="django.contrib.auth.backends.ModelBackend")
    assert person.get(path, secure=True).status_code == 200


# --- looking changes nothing and costs little --------------------------------


@pytest.mark.parametrize("path", [*OPEN, *LOOPBACK])
def test_a_get_writes_nothing(path: str) -> None:
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        Client().get(path)
    written = [q["sql"] for q in queries if not q["sql"].lstrip().upper().startswith(("SELECT", "DECLARE"))]
    assert written == []


def test_a_snapshot_is_a_bounded_number_of_queries(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    status.snapshot()  # the configuration and the chain are read once
    status.forget()
    with django_assert_max_num_queries(22):
        status.snapshot()
    with django_assert_max_num_queries(0):
        status.snapshot()


def test_a_reading_is_never_kept_beyond_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    first = status.snapshot()
    monkeypatch.setattr(status, "FRESH_SEC", 0.0)
    assert status.snapshot() is not first


def test_metrics_of_a_broken_source_do_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops import metrics

    def broken() -> list[Any]:
        raise RuntimeError

    monkeypatch.setitem(metrics._sources, "desk", broken)
    text = metrics.exposition().decode()
    assert 'cryptobot_scrape_failed{source="desk"} 1.0' in text
    assert "cryptobot_mode{" not in text
    assert "cryptobot_audit_head " in text
