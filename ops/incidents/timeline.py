"""The timeline of an incident fills itself: its own lines, and what is on record beside them.

Nothing is copied. At the time of reading, the audit log is asked for

- what names the incident (the HOLD that raised it, the refusal), its source, the thing in it, or what an app
  knows of that thing (votes, runs);
- what anybody did with the desk as a whole, from its first line to its end.

Apps add lines of their own journals (`register`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from ops.actions import registry
from ops.incidents import service
from ops.models import ApprovalRequest, AuditEntry, Incident

Line = dict[str, Any]
#: The most entries of the audit log that a timeline takes in beside its own lines: the newest.
MOST_ENTRIES = 500
#: A shorter name of the thing in a source would be the name of other things too.
SHORTEST_ID = 12
#: What is done with the desk as a whole, beside every action that stops it.
_DESK = {
    "ops.desk_start",
    "ops.launch",
    "ops.post_only",
    "ops.reduce_only",
    "ops.resume",
    "ops.safe_mode",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What an app knows of an incident's source. names: as the audit log has them, beside the source itself.

    lines: with the keys of `line`."""

    names: frozenset[str] = frozenset()
    lines: tuple[Line, ...] = ()


Teller = Callable[[Incident], Told]
_tellers: dict[str, Teller] = {}


def register(name: str, teller: Teller) -> None:
    """Ask this app too. It returns an empty `Told` of what is not its own."""
    _tellers[name] = teller


def line(at: Any, kind: str, text: str, *, actor_name: str = "system", **data: Any) -> Line:
    """One that is not on the audit log itself."""
    return {
        "at": at,
        "kind": kind,
        "text": text,
        "actor_name": actor_name,
        "data": data,
        "audit_seq": None,
    }


def timeline(row: Incident) -> list[Line]:
    """Oldest first. `audit_seq` names the entry, None what is proven by the journals' digests alone."""
    own = [service.event(each) for each in row.events.all()]
    told = [teller(row) for teller in _tellers.values()]
    mine = {each["audit_seq"] for each in own if each["audit_seq"]}
    names = _names(row).union(*(each.names for each in told))
    found = sorted(_seqs(row, mine, names) - mine)
    shown = AuditEntry.objects.filter(seq__in=found[-MOST_ENTRIES:])
    lines = [*own, *(_of_entry(entry) for entry in shown), *(each for t in told for each in t.lines)]
    if left_out := len(found) - shown.count():
        lines.append(line(row.opened_at, "left out", f"{left_out} older entries of the audit log"))
    return sorted(lines, key=lambda each: (each["at"], each["audit_seq"] or 0))


def _names(row: Incident) -> frozenset[str]:
    """`code:<thing>` or `source@scope`: as the log may have it."""
    thing = row.source.partition(":")[2]
    whole, bare = row.source, row.source.partition("@")[0]
    own = {str(row.pk), f"incident:{row.pk}"}
    return frozenset({whole, bare, *own, *([thing] if len(thing) >= SHORTEST_ID else [])})


def _seqs(row: Incident, mine: set[int], names: Iterable[str]) -> set[int]:
    """One question each: an index answers it, however long the log is."""
    named = list(names)
    asked = [Q(target__in=named), Q(correlation_id__in=named), *_meanwhile(row, mine)]
    found = [AuditEntry.objects.order_by().filter(each).exclude(action=service.RAISE) for each in asked]
    return {seq for rows in found for seq in rows.values_list("seq", flat=True)}


def _meanwhile(row: Incident, mine: set[int]) -> list[Q]:
    if not mine:
        return []
    until = {"seq__lte": max(mine)} if row.closed_at else {}
    actions = _DESK | {action.name for action in registry.all_actions() if action.stops}
    wanted = ApprovalRequest.objects.filter(target="desk", created_at__gte=row.opened_at)
    if row.closed_at:
        wanted = wanted.filter(created_at__lte=row.closed_at)
    votes = [str(key) for key in wanted.values_list("pk", flat=True)]
    return [
        Q(action__in=actions, seq__gte=min(mine), **until),
        Q(correlation_id__in=votes, seq__gte=min(mine), **until),
    ]


def _of_entry(entry: AuditEntry) -> Line:
    return {
        "at": entry.at,
        "kind": f"{entry.action} {entry.verdict}",
        "text": entry.reason,
        "actor_name": entry.actor_name,
        "data": {"code": entry.code} if entry.code else {},
        "audit_seq": entry.seq,
    }
