"""The frame's own status components: what it stands on, its processes, its controls."""

import functools
import json
import shutil
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from redis import Redis

from ops import chain_watch, config, desk, heartbeat, hooks, ping, status
from ops.actions import registry
from ops.actions.base import Danger
from ops.actions.policy import default_quorum
from ops.holders import Holders
from ops.incidents import service as incidents
from ops.models import ApprovalPolicy, HoldCause, ProcessHeartbeat
from ops.notifications import service as notifications
from ops.status import Component, Reading, Status

#: A heartbeat is due every 2 s; five missed ones and nobody knows.
HEARTBEAT_MAX_AGE_SEC = 10.0
LOOP_SILENT_SEC = 15.0
BUSY_WARN_SEC, BUSY_ERROR_SEC = 60.0, 270.0  # a task's soft time limit is 270 s
SLOW_DATABASE_MS = 250.0
QUEUE_WARN, QUEUE_ERROR = 100, 1000
DISK_WARN_MB, DISK_ERROR_MB = 2048, 512  # below 512 MB a desk refuses to start
REDIS_TIMEOUT_SEC = 0.5


def register_all() -> None:
    """Called once, when the frame is ready."""
    for component in (
        Component(status.DATABASE, "PostgreSQL", "P0", _database),
        Component("redis", "Redis", "P1", _redis, needs_database=False),
        Component("execution_queue", "Execution queue", "P1", _queue, needs_database=False),
        chain_watch.component(),
        Component("config", "Configuration", "P1", _config),
        Component("approvals", "Approvers", "P1", approvers),
        Component("hold", "HOLD causes", "P0", _hold),
        Component("incidents", "Incident journal", "P2", _incidents),
        Component("notifications", "Notifications", "P1", notifications.reading),
        Component("disk", "Disk of DATA_DIR", "P2", _disk, needs_database=False),
    ):
        status.register(component)
    status.register_provider("processes", _processes, group="P0")


# --- what the desk stands on -------------------------------------------------


def _database() -> Reading:
    """A round trip on a connection like everybody's."""
    try:
        took_ms, read_only = ping.round_trip()
    except TimeoutError:
        return Reading(Status.ERROR, f"no answer within {ping.TIMEOUT_SEC:g} s")
    metrics = {"round_trip_ms": round(took_ms, 2)}
    if read_only:
        return Reading(Status.ERROR, "a replica: it takes no writes", metrics)
    level = Status.WARN if took_ms > SLOW_DATABASE_MS else Status.OK
    return Reading(level, f"answers in {took_ms:.1f} ms", metrics)


@functools.lru_cache(maxsize=4)
def _client(url: str) -> Redis:
    return Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT_SEC, socket_connect_timeout=REDIS_TIMEOUT_SEC, retry=None
    )


def _redis() -> Reading:
    started = time.perf_counter()
    _client(settings.REDIS_URL).ping()
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return Reading(Status.OK, f"answers in {took_ms} ms", {"round_trip_ms": took_ms})


def _queue() -> Reading:
    """Nudges waiting for the execution worker of this instance. How late the work itself is: `outbox`."""
    queue = f"execution.{settings.INSTANCE}"
    depth = int(_client(settings.REDIS_URL).llen(queue))
    level = Status.ERROR if depth >= QUEUE_ERROR else Status.WARN if depth >= QUEUE_WARN else Status.OK
    return Reading(level, f"{depth} nudges waiting", {"queue": queue, "depth": depth})


def _disk() -> Reading:
    free_mb = shutil.disk_usage(settings.ENV.data_dir).free // 2**20
    low = free_mb < DISK_ERROR_MB
    level = Status.ERROR if low else Status.WARN if free_mb < DISK_WARN_MB else Status.OK
    return Reading(level, f"{free_mb} MB free", {"free_mb": free_mb})


# --- processes ---------------------------------------------------------------


def _processes() -> Iterable[Component]:
    beats = functools.cache(lambda: heartbeat.rows(settings.INSTANCE))
    children = functools.cache(_supervised)
    for role in heartbeat.expected():
        yield Component(
            f"process.{role}",
            f"Process {role}",
            "P0" if role in {"web", "worker-execution"} else "P1",
            functools.partial(_process, role, beats, children),
            HEARTBEAT_MAX_AGE_SEC,
        )


def _supervised() -> dict[str, Any]:
    """What the supervisor of this DATA_DIR says of its children; nothing where systemd does its work."""
    try:
        children = json.loads((settings.ENV.data_dir / "supervisor.json").read_text())["children"]
    except (OSError, ValueError, KeyError):
        return {}
    return dict(children)


def _process(role: str, beats: Any, children: Any) -> Reading:
    child = children().get(role)
    row, age = beats().get((settings.INSTANCE, role), (None, timedelta(0)))
    metrics = _process_metrics(row, child)
    if child is not None and child["pid"] is None:
        return Reading(Status.ERROR, f"not running ({child['last_exit']}); it is started again", metrics)
    if row is None:
        return Reading(Status.UNKNOWN, "no heartbeat", metrics, observed_at=None)
    level, summary = judge_process(row, child_pid=child["pid"] if child else None)
    return Reading(level, summary, metrics, observed_at=timezone.now() - age)


def _process_metrics(row: ProcessHeartbeat | None, child: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if row is not None:
        found = {"pid": row.pid, "build": row.build, "config_version": row.config_version, **row.health}
        found["started_at"] = row.started_at
    if child is not None:
        found |= {"restarts": child["restarts"], "last_exit": child["last_exit"]}
    return found


def judge_process(row: ProcessHeartbeat, *, child_pid: int | None) -> tuple[Status, str]:
    """What a heartbeat row says of its process, whatever its age."""
    busy, loop = row.health.get("busy_sec"), row.health.get("loop_age_sec")
    if child_pid is not None and child_pid != row.pid:
        return Status.WARN, f"started again as {child_pid}, not heard of yet"
    if busy is not None and busy > BUSY_ERROR_SEC:
        return Status.ERROR, f"{row.health.get('busy_with')} has run for {busy:.0f} s"
    if loop is not None and loop > LOOP_SILENT_SEC:
        return Status.ERROR, f"its main loop has been silent for {loop:.0f} s"
    if busy is not None and busy > BUSY_WARN_SEC:
        return Status.WARN, f"{row.health.get('busy_with')} has run for {busy:.0f} s"
    if row.build != hooks.build():
        return Status.WARN, f"runs build {row.build}, this process {hooks.build()}"
    return Status.OK, f"process {row.pid}"


# --- controls ----------------------------------------------------------------


def _config() -> Reading:
    """One version everywhere. A file that differs is a candidate, not a fault: it is only named."""
    active = config.active()
    behind = sorted(
        row.role
        for row, age in heartbeat.rows(settings.INSTANCE).values()
        if row.config_version != active.version and age.total_seconds() < HEARTBEAT_MAX_AGE_SEC
    )
    differs = _file_differs(active.digest)
    metrics = {"version": active.version, "digest": active.digest, "file_differs": differs, "behind": behind}
    if behind:
        return Reading(
            Status.WARN, f"version {active.version}; another one runs in {', '.join(behind)}", metrics
        )
    note = "; the file differs (a candidate)" if differs else ""
    return Reading(Status.OK, f"version {active.version} runs{note}", metrics)


def _file_differs(digest: str) -> bool:
    import hashlib

    path = settings.BASE_DIR / "configs" / f"config.{settings.ENV.exchange_profile}.yaml"
    return not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest


def approvers() -> Reading:
    """Red when what somebody may ask for could never be agreed to (spec 3.2.11), by its action's own policy:
    judged for each person who may ask, since nobody approves their own request."""
    actions = [action for action in registry.all_actions() if action.danger is Danger.INCREASES]
    holders, rows = Holders.now(), ApprovalPolicy.objects.in_bulk()
    left, short = {}, []
    for action in actions:
        row, asking = rows.get(action.name), holders.asking(action.permission)
        if not asking:
            continue  # what nobody may ask for lacks no approver
        needed = (row.quorum if row else None) or default_quorum()
        role = (row.vote_from if row else "") or action.vote_from
        others = [holders.voting(action.approve_permission) - {person} for person in asking]
        left[action.name] = fewest = min(len(people) for people in others)
        if fewest < needed:
            short.append(f"{action.name} ({fewest} of {needed})")
        elif role and not all(people & holders.roles[role] for people in others):
            short.append(f"{action.name} (no other {role})")
    metrics = {"quorum": default_quorum(), "approvers_besides_requester": left}
    if not left:
        return Reading(Status.ERROR, "nobody may ask for anything", metrics)
    if short:
        return Reading(Status.ERROR, f"too few others could approve: {', '.join(sorted(short))}", metrics)
    return Reading(Status.OK, f"every quorum can be met, {default_quorum()} by default", metrics)


def _hold() -> Reading:
    """Open causes. Resolved ones are for people to close and say nothing about the desk's health."""
    causes = list(desk.causes())
    unresolved = [c for c in causes if c.state == HoldCause.State.OPEN]
    on_desk = [c.source for c in unresolved if c.scope_type == HoldCause.Scope.DESK]
    elsewhere = [f"{c.source} ({c.scope_key})" for c in unresolved if c.scope_type != HoldCause.Scope.DESK]
    metrics = {"open": len(unresolved), "resolved": len(causes) - len(unresolved)}
    links = ("/admin/ops/holdcause/",)
    if on_desk:
        return Reading(Status.HOLD, f"open: {', '.join(on_desk)}", metrics, links=links)
    if elsewhere:
        return Reading(Status.WARN, f"open: {', '.join(elsewhere)}", metrics, links=links)
    return Reading(Status.OK, "no open cause", metrics, links=links)


def _incidents() -> Reading:
    """The journal itself. What raised an incident has a component of its own, which says how that is."""
    counts, lately = incidents.counts(), incidents.raised_lately()
    waiting = incidents.without_root_cause().count()
    newest = incidents.as_lines(incidents.unclosed()[:5])
    metrics = {"open": counts, "raised_in_10_min": lately, "p0_without_root_cause": waiting, "newest": newest}
    links = ("/admin/ops/incident/", "/api/ui/incidents")
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    if lately > incidents.FLOOD:
        return Reading(
            Status.WARN, f"flood: {lately} alarms within 10 minutes; open: {said}", metrics, links=links
        )
    if waiting:
        return Reading(Status.WARN, f"{waiting} P0 without root cause; open: {said}", metrics, links=links)
    return Reading(Status.OK, f"open: {said}", metrics, links=links)
