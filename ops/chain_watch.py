"""Watches the audit chain at a steady small cost: new entries at once, old ones again and again in turn.

Verifying the whole chain takes as long as the chain; the resume checklist and `audit verify` do that. This
process walks up to its end once, a slice per look, then re-reads a slice of the past with each look.
"""

import structlog

from ops import audit, audit_heads
from ops.incidents import service as incidents
from ops.models import AuditHead
from ops.status import Component, Reading, Status

log = structlog.get_logger()
FIRST_WALK = 5_000
SECOND_LOOK = 200
HEADS_BYTES = 500_000  # some thousand heads


class ChainWatch:
    """One per process; looks are taken one at a time (`ops.status` sees to it)."""

    def __init__(self) -> None:
        self._verified = 0  # everything up to here held when this process read it
        self._again = 0  # where the second look goes on
        self._heads_at = 0  # how far the heads file was read
        self._told = ""  # what it has raised an incident of: once per finding, not per look

    def probe(self) -> Reading:
        head = AuditHead.objects.get(pk=1).seq
        found = audit.verify(after=self._verified, limit=FIRST_WALK)
        if found.ok:
            self._verified += found.entries
            found = self._second_look() or self._new_heads() or found
        metrics = {"head": head, "verified": self._verified, "bad_seq": found.bad_seq}
        metrics["heads_not_written"] = audit_heads.failures
        links = ("/admin/ops/auditentry/",)
        if not found.ok:
            self._tell(found)
            return Reading(Status.ERROR, f"BROKEN: {found.problem}", metrics, links=links)
        if self._verified < head:
            return Reading(Status.WARN, f"{self._verified} of {head} verified so far", metrics, links=links)
        if audit_heads.failures:
            return Reading(Status.WARN, "heads cannot be written to the heads file", metrics, links=links)
        return Reading(Status.OK, f"{head} entries hold", metrics, links=links)

    def _tell(self, found: audit.Verification) -> None:
        """A database that cannot take the incident must not hide what was found: the next look tells it."""
        if self._told == found.problem:
            return
        try:
            incidents.raise_incident("audit.broken", "audit.broken", found.problem, {"seq": found.bad_seq})
            self._told = found.problem
        except Exception:  # one look must not end the thread
            log.exception("chain_watch.incident_lost")

    def _new_heads(self) -> audit.Verification | None:
        """Heads written since the last look, against the entries they name."""
        heads, at = audit_heads.read(self._heads_at, HEADS_BYTES)
        if heads.hashes:
            first = min(heads.hashes)
            found = audit.verify(after=first - 1, limit=heads.last - first + 1, heads=heads)
            if not found.ok:
                return found  # and stay there, as the second look does
        self._heads_at = at
        return None

    def _second_look(self) -> audit.Verification | None:
        """A slice of what was verified before. On a finding it stays there, and so does the alarm."""
        if not self._verified:
            return None
        if self._again >= self._verified:
            self._again = 0
        found = audit.verify(after=self._again, limit=min(SECOND_LOOK, self._verified - self._again))
        if not found.ok:
            return found
        self._again += found.entries
        return None


def component() -> Component:
    """With a watch of its own, that has seen nothing yet."""
    return Component("audit_chain", "Audit chain", "P0", ChainWatch().probe)
