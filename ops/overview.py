"""What the status faces answer: desk state, overview, readiness. Reads only."""

import functools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db.models import Count
from django.db.models.functions import Now
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ops import config, desk, hooks, status
from ops.actions.policy import default_quorum
from ops.incidents import service as incidents
from ops.models import ApprovalRequest, DeskState, HoldCause, Mode
from ops.status import GROUPS, Group, Row, Snapshot, Status

# --- score and verdict -------------------------------------------------------


class Minima(BaseModel):
    """A group's mean below `warn` is WARN, below `error` ERROR."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: Annotated[float, Field(ge=0, le=1)]
    error: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.error > self.warn:
            raise ValueError("error must not be above warn")
        return self


@functools.cache
def thresholds() -> Mapping[Group, Minima]:
    """configs/status_thresholds.yaml: exactly the four groups.

    Raises:
        ValueError: naming what is wrong; the check `ops.E002` says it before a desk starts.
    """
    path = settings.BASE_DIR / "configs" / "status_thresholds.yaml"
    try:
        found = TypeAdapter(dict[Group, Minima]).validate_python(YAML(typ="safe").load(path.read_text()))
    except (OSError, YAMLError, ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if set(found) != set(GROUPS):
        raise ValueError(f"{path.name}: accepted: exactly the groups {', '.join(GROUPS)}")
    return found


@register
def thresholds_are_sane(**_: Any) -> list[CheckMessage]:
    try:
        thresholds()
    except ValueError as error:
        return [Error(str(error), id="ops.E002")]
    return []


def scores(rows: Iterable[Row]) -> dict[Group, float | None]:
    """Mean score per group; None for a group without components."""
    found: dict[Group, list[float]] = {group: [] for group in GROUPS}
    for row in rows:
        found[row.group].append(row.status.score)
    return {group: round(sum(each) / len(each), 3) if each else None for group, each in found.items()}


def overall(rows: Iterable[Row], minima: Mapping[Group, Minima]) -> Status:
    """HOLD while a component says so (an open cause); else the worst of single P0s and group means."""
    rows = list(rows)
    if any(row.status is Status.HOLD for row in rows):
        return Status.HOLD
    verdicts = {_p0(row) for row in rows if row.group == "P0"}
    for group, score in scores(rows).items():
        if score is not None and score < minima[group].error:
            verdicts.add(Status.ERROR)
        elif score is not None and score < minima[group].warn:
            verdicts.add(Status.WARN)
    return next((s for s in (Status.ERROR, Status.WARN) if s in verdicts), Status.OK)


def _p0(row: Row) -> Status:
    return row.status if row.status in {Status.OK, Status.WARN} else Status.ERROR


# --- the desk's state --------------------------------------------------------


def effective_mode(state: DeskState, term: hooks.Term) -> str:
    """Only the leader may be in RUN: everybody else is in HOLD whatever the row says."""
    return Mode.RUN.value if desk.runs(state, term) else Mode.HOLD.value


def leader(term: hooks.Term) -> dict[str, Any]:
    return {
        "leader": term.leader,
        "fencing_id": term.fencing_id,
        "fence": term.fence,
        "instance": settings.INSTANCE,
        "lock": settings.ENV.feature_leader_lock,
    }


def flags(state: DeskState, *, mode: str) -> dict[str, Any]:
    """Runbook §1: what an operator notes before anything else."""
    return {
        "MODE": mode,
        "SAFE_MODE": state.safe_mode,
        "POST_ONLY": state.post_only,
        "REDUCE_ONLY": state.reduce_only,
        "ENV": settings.ENV.exchange_profile,
        "DRY_RUN": settings.ENV.dry_run,
        "TWO_MAN_RULE": _two_man_rule(),
        "RISK_CHECKS_ENABLED": settings.ENV.risk_checks_enabled,
        "FEATURE_LEADER_LOCK": settings.ENV.feature_leader_lock,
    }


def _two_man_rule() -> bool:
    """Derived: some other person must always agree. Without a configuration nobody can agree to anything."""
    try:
        return default_quorum() >= 1
    except LookupError:
        return True


def cause(row: HoldCause) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "source": row.source,
        "reason": row.reason,
        "scope": {"type": row.scope_type, "key": row.scope_key},
        "state": row.state,
        "manual": row.manual,
        "raised_by": row.raised_by.get_username() if row.raised_by else None,
        "opened_at": row.opened_at,
        "resolved_at": row.resolved_at,
    }


def approvals_pending() -> int:
    """Requests that wait for a vote and have not expired."""
    waiting = ApprovalRequest.objects.filter(state=ApprovalRequest.State.PENDING, expires_at__gt=Now())
    return waiting.aggregate(n=Count("pk"))["n"] or 0


def state() -> dict[str, Any]:
    """`GET /api/ui/state`: from rows alone, no probes."""
    row, term = desk.get_state(), hooks.fence()
    mode = effective_mode(row, term)
    causes = list(desk.causes())
    unresolved = sum(c.state == HoldCause.State.OPEN for c in causes)
    return {
        "ts": timezone.now(),
        "flags": flags(row, mode=mode),
        "mode": row.mode,
        "effective_mode": mode,
        "state_version": row.version,
        "changed_at": row.changed_at,
        "hold": [cause(each) for each in causes],
        "leader": leader(term),
        "config_version": config.active().version,
        "open": {
            "approvals": approvals_pending(),
            "hold_causes": unresolved,
            **(hooks.fact("open_counts") or {}),
        },
    }


# --- overview ----------------------------------------------------------------


def overview() -> dict[str, Any]:
    """`GET /api/ui/status/overview`. Where the database does not answer, what only it knows is null."""
    snapshot = status.snapshot()
    return {
        "ts": timezone.now(),
        "snapshot_age_sec": round(snapshot.age_sec, 3),
        "overall": overall(snapshot.rows, thresholds()).value,
        "scores": scores(snapshot.rows),
        **(_desk_facts() if snapshot.database_answers else _NO_DESK_FACTS),
        "risk_snapshot": snapshot.facts.get("risk_snapshot"),
        "runaway_guard": snapshot.facts.get("runaway_guard"),
        "alerts": [*flood_alert(snapshot), *alerts(snapshot)],
        "build": hooks.build(),
    }


def _desk_facts() -> dict[str, Any]:
    row, term = desk.get_state(), hooks.fence()
    mode = effective_mode(row, term)
    return {
        "mode": mode,
        "hold": [cause(each) for each in desk.causes()],
        "flags": flags(row, mode=mode),
        "leader": leader(term),
        "approvals_pending": approvals_pending(),
        "incidents_open": incidents.counts(),
    }


_NO_DESK_FACTS = dict.fromkeys(("mode", "hold", "flags", "leader", "approvals_pending", "incidents_open"))


def flood_alert(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Before everything else: in a flood of alarms the one that matters is easily missed."""
    if not snapshot.database_answers or (count := incidents.raised_lately()) <= incidents.FLOOD:
        return []
    minutes = int(incidents.FLOOD_WITHIN.total_seconds() // 60)
    summary = f"flood: {count} alarms within {minutes} minutes; look for the first cause"
    return [{"id": "incident_flood", "group": "P1", "status": Status.WARN.value, "summary": summary}]


def alerts(snapshot: Snapshot) -> list[dict[str, Any]]:
    """What is not OK, the most important group first."""
    return [
        {"id": row.id, "group": row.group, "status": row.status.value, "summary": row.summary}
        for row in snapshot.rows
        if row.status is not Status.OK
    ]


# --- readiness ---------------------------------------------------------------

#: What an instance needs of itself. A venue's silence concerns every instance alike and is no reason.
OWN = ("database", "process.web", "process.worker-execution")


def readiness() -> dict[str, Any]:
    """`GET /live-readiness` (spec 5), as far as it has sources. HOLD is no reason not to be ready."""
    snapshot = status.snapshot()
    health, journal, settled = _own_health(snapshot), snapshot.ok("audit_chain"), _config_ok(snapshot)
    term, row, lease = hooks.Term(leader=False, fence=0, fencing_id=None), None, None
    if snapshot.database_answers:
        term, row, lease = hooks.fence(), desk.get_state(), hooks.fact("lease")
    lease = lease or dict.fromkeys(("hb_age_sec", "leader_hb_age_sec", "holder"))
    reasons = [
        *([] if term.leader else ["not the leader"]),
        *health,
        *([] if journal else [_why(snapshot, "audit_chain")]),
        *([] if settled else [_why(snapshot, "config")]),
    ]
    return {
        "ready": not reasons,
        "reasons": reasons,
        "leader": term.leader,
        "fencing_id": term.fencing_id if term.leader else None,
        "fence": term.fence or None,
        "hb_age_sec": lease["hb_age_sec"],
        "leader_hb_age_sec": lease["leader_hb_age_sec"],
        "holder": lease["holder"],
        **(hooks.fact("lease_deadline") or {}),
        "mode": effective_mode(row, term) if row else None,
        "unresolved_orders": snapshot.facts.get("unresolved_orders"),
        "health_ok": not health,
        "journal_ok": journal,
        "config_ok": settled,
        "venues": snapshot.facts.get("venues"),
        "instance": settings.INSTANCE,
        "build": hooks.build(),
    }


def _own_health(snapshot: Snapshot) -> list[str]:
    found = [row for name in OWN if (row := snapshot.find(name)) is not None]
    return [f"{row.id}: {row.summary}" for row in found if row.status not in {Status.OK, Status.WARN}]


def _config_ok(snapshot: Snapshot) -> bool:
    """Some version is active and can be read; another process being a second behind is no reason."""
    row = snapshot.find("config")
    return row is not None and row.status in {Status.OK, Status.WARN}


def _why(snapshot: Snapshot, name: str) -> str:
    row = snapshot.find(name)
    return f"{name}: {row.summary if row else 'not there'}"


def healthz() -> dict[str, Any]:
    """`GET /healthz`. resume_ok: nothing stands in the way that people could not settle by resuming."""
    ready, snapshot = readiness(), status.snapshot()
    p0 = [row for row in snapshot.rows if row.group == "P0" and row.id != "hold"]
    settled = all(row.status is Status.OK for row in p0)
    return {
        "ok": ready["health_ok"] and ready["journal_ok"] and ready["config_ok"],
        "leader": ready["leader"],
        "journal_ok": ready["journal_ok"],
        "resume_ok": settled and snapshot.database_answers and _manual_only(),
        "config_ok": ready["config_ok"],
        "build": ready["build"],
    }


def _manual_only() -> bool:
    """A person's own HOLD goes with that person's resume request; the machine's goes with its cause."""
    return all(c.manual or c.state != HoldCause.State.OPEN for c in desk.causes())
