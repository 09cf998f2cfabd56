"""What people do with an incident. Neutral: one person at once, and each word is on the timeline and on
record."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.utils import timezone

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.canonical import plain
from ops.incidents import service
from ops.models import Incident, User

State = Incident.State
LONGEST_SHELF_MIN = 8 * 60
LONGEST_WORDS = 4_000


@dataclass(frozen=True, kw_only=True)
class IncidentInput:
    incident_id: UUID = arg(help="Which incident")


@dataclass(frozen=True, kw_only=True)
class CommentInput(IncidentInput):
    comment: str = arg(help="Your words on the timeline")


DataT = TypeVar("DataT", bound=IncidentInput)


def require_words(name: str, text: str) -> None:
    if not text.strip() or len(text) > LONGEST_WORDS:
        accepted = f"accepted: 1 to {LONGEST_WORDS} characters that say something"
        raise InvalidInput([{"field": name, "detail": accepted}])


class OnIncident(Action[DataT]):
    """Something done with one unclosed incident: columns change, and the timeline has a line more."""

    danger = Danger.NEUTRAL
    reason_required = False
    listed = False
    #: What the line of the timeline says was done.
    kind: ClassVar[str]
    #: The states in which it may be done.
    states: ClassVar[frozenset[str]] = frozenset(set(State.values) - {State.CLOSED})

    def changes(self, ctx: Context[DataT], row: Incident) -> dict[str, Any]:
        """Columns to write; empty: words only. `row` is as it is now."""
        return {}

    def words(self, data: DataT) -> tuple[str, str] | None:
        """The field that holds the person's words, and the words; None: it is the reason."""
        return None

    def judge(self, ctx: Context[DataT], row: Incident) -> None:
        """Further preconditions."""

    def target(self, data: DataT) -> str:
        return f"incident:{data.incident_id}"

    def check(self, ctx: Context[DataT]) -> Outcome | None:
        row = self._find(ctx)
        if row.state not in self.states:
            accepted = ", ".join(state for state in State.values if state in self.states)
            raise Refusal("incident.state", f"the incident is {row.state}; accepted: {accepted}")
        if (said := self.words(ctx.input)) is not None:
            require_words(*said)
        self.judge(ctx, row)
        return None

    def _find(self, ctx: Context[DataT]) -> Incident:
        row = Incident.objects.filter(pk=ctx.input.incident_id).first()
        if row is None:
            raise Refusal("incident.unknown", f"no incident {ctx.input.incident_id}", status=404)
        return row

    def before(self, ctx: Context[DataT]) -> dict[str, Any]:
        row = self._find(ctx)
        return {name: getattr(row, f"{name}_id", getattr(row, name)) for name in self.changes(ctx, row)}

    def diff(self, ctx: Context[DataT]) -> list[dict[str, Any]]:
        row = self._find(ctx)
        return [
            {"field": name, "before": _shown(getattr(row, name)), "after": _shown(value)}
            for name, value in self.changes(ctx, row).items()
        ]

    def execute(self, ctx: Context[DataT]) -> Outcome:
        row = Incident.objects.select_for_update().get(pk=ctx.input.incident_id)
        changed = self.changes(ctx, row)
        if changed:
            service.change(row, **changed)
        _, text = self.words(ctx.input) or ("", ctx.reason)
        data = {name: _shown(value) for name, value in changed.items()}
        service.write_down(row, self.kind, text, actor_name=ctx.actor.name, data=data)
        body = {"incident_id": str(row.pk), "state": row.state}
        return Outcome(Status.EXECUTED, {"result": body}, after=body | plain(data))


def _shown(value: Any) -> Any:
    return value.get_username() if isinstance(value, User) else plain(value)


@dataclass(frozen=True, kw_only=True)
class OpenInput:
    severity: str = arg(
        help="P0: money or control at risk now; P1: soon; P2: to be looked at",
        choices=tuple(Incident.Severity.values),
    )
    component: str = arg(help="What part of the desk it is about, e.g. execution", default="desk")
    summary: str = arg(help="What was seen, in a sentence or two")


@register
class OpenIncident(Action[OpenInput]):
    name = "ops.open_incident"
    title = "Open an incident"
    help = "Open an incident by hand. A P0 keeps the desk from resuming until its root cause is acknowledged."
    danger = Danger.NEUTRAL
    Input = OpenInput
    reason_required = False

    def target(self, data: OpenInput) -> str:
        return "incidents"

    def check(self, ctx: Context[OpenInput]) -> Outcome | None:
        require_words("summary", ctx.input.summary)
        if not ctx.input.component.strip() or len(ctx.input.component) > 64:
            raise InvalidInput([{"field": "component", "detail": "accepted: 1 to 64 characters"}])
        return None

    def diff(self, ctx: Context[OpenInput]) -> list[dict[str, Any]]:
        return [{"field": "incident", "before": None, "after": f"{ctx.input.severity}, open"}]

    def execute(self, ctx: Context[OpenInput]) -> Outcome:
        row = service.open_by_hand(
            severity=ctx.input.severity,
            component=ctx.input.component,
            summary=ctx.input.summary,
            actor=ctx.actor.user,
        )
        body = {"incident_id": str(row.pk), "state": row.state}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)


class _Said(OnIncident[CommentInput]):
    """With a comment."""

    Input = CommentInput

    def words(self, data: CommentInput) -> tuple[str, str]:
        return "comment", data.comment


@register
class AcknowledgeIncident(_Said):
    name = "ops.acknowledge_incident"
    title = "Acknowledge an incident"
    help = "Say that you have seen it and what you make of it. Who acknowledges owns it unless somebody does."
    kind = "acknowledged"
    states = frozenset({State.OPEN})

    def changes(self, ctx: Context[CommentInput], row: Incident) -> dict[str, Any]:
        own = {} if row.owner_id else {"owner": ctx.actor.user}
        return {"state": State.ACKNOWLEDGED, "acknowledged_at": timezone.now(), **own}


@register
class CommentIncident(_Said):
    name = "ops.comment_incident"
    title = "Comment on an incident"
    help = "Add your words to the timeline."
    kind = "comment"


@register
class MitigateIncident(_Said):
    name = "ops.mitigate_incident"
    title = "Mark an incident as mitigated"
    help = "The harm has stopped, the cause may still be there. Say what was done."
    kind = "mitigated"
    states = frozenset({State.ACKNOWLEDGED})

    def changes(self, ctx: Context[CommentInput], row: Incident) -> dict[str, Any]:
        return {"state": State.MITIGATED, "mitigated_at": timezone.now()}


@dataclass(frozen=True, kw_only=True)
class AssignInput(IncidentInput):
    username: str = arg(help="Who shall own it")


@register
class AssignIncident(OnIncident[AssignInput]):
    name = "ops.assign_incident"
    title = "Assign an incident"
    help = "Name the person who owns it from now on."
    Input = AssignInput
    kind = "assigned"

    def judge(self, ctx: Context[AssignInput], row: Incident) -> None:
        if not _people(ctx.input.username).exists():
            accepted = "accepted: the name of an active person of this desk"
            raise InvalidInput([{"field": "username", "detail": accepted}])

    def changes(self, ctx: Context[AssignInput], row: Incident) -> dict[str, Any]:
        return {"owner": _people(ctx.input.username).get()}


def _people(username: str) -> Any:
    return User.objects.filter(username=username, is_active=True)


@dataclass(frozen=True, kw_only=True)
class ResolutionInput(IncidentInput):
    resolution: str = arg(help="What ended it")


@register
class ResolveIncident(OnIncident[ResolutionInput]):
    name = "ops.resolve_incident"
    title = "Resolve an incident"
    help = "The cause is gone. Say what ended it."
    Input = ResolutionInput
    kind = "resolved"
    states = frozenset({State.ACKNOWLEDGED, State.MITIGATED})

    def words(self, data: ResolutionInput) -> tuple[str, str]:
        return "resolution", data.resolution

    def changes(self, ctx: Context[ResolutionInput], row: Incident) -> dict[str, Any]:
        return {
            "state": State.RESOLVED,
            "resolved_at": timezone.now(),
            "resolution": ctx.input.resolution,
            "mitigated_at": row.mitigated_at or timezone.now(),
        }


@dataclass(frozen=True, kw_only=True)
class RootCauseInput(IncidentInput):
    text: str = arg(help="Why it happened; kept as it is from now on")


@register
class AcknowledgeRootCause(OnIncident[RootCauseInput]):
    name = "ops.acknowledge_root_cause"
    title = "Acknowledge a root cause"
    help = "Write down why it happened, once. A P0 needs it before the desk resumes and before it is closed."
    Input = RootCauseInput
    kind = "root cause"

    def words(self, data: RootCauseInput) -> tuple[str, str]:
        return "text", data.text

    def judge(self, ctx: Context[RootCauseInput], row: Incident) -> None:
        if row.root_cause_at is not None:
            raise Refusal("incident.state", "its root cause is acknowledged already, and is kept")

    def changes(self, ctx: Context[RootCauseInput], row: Incident) -> dict[str, Any]:
        return {
            "root_cause": ctx.input.text,
            "root_cause_at": timezone.now(),
            "root_cause_by": ctx.actor.user,
        }


@register
class CloseIncident(OnIncident[IncidentInput]):
    name = "ops.close_incident"
    title = "Close an incident"
    help = "The end: nothing is added afterwards. A P0 needs its root cause acknowledged first."
    Input = IncidentInput
    kind = "closed"
    states = frozenset({State.RESOLVED})

    def judge(self, ctx: Context[IncidentInput], row: Incident) -> None:
        if row.severity == Incident.Severity.P0 and row.root_cause_at is None:
            raise Refusal("incident.state", "a P0 is closed with an acknowledged root cause: it has none")

    def changes(self, ctx: Context[IncidentInput], row: Incident) -> dict[str, Any]:
        return {"state": State.CLOSED, "closed_at": timezone.now()}


@dataclass(frozen=True, kw_only=True)
class ShelveInput(IncidentInput):
    minutes: int = arg(help=f"How long, 1 to {LONGEST_SHELF_MIN}")


@register
class ShelveIncident(OnIncident[ShelveInput]):
    name = "ops.shelve_incident"
    title = "Shelve an incident"
    help = "Take it out of counts and alerts for a time, with a reason. The resume checklist still sees it."
    Input = ShelveInput
    reason_required = True
    kind = "shelved"

    def judge(self, ctx: Context[ShelveInput], row: Incident) -> None:
        if not 1 <= ctx.input.minutes <= LONGEST_SHELF_MIN:
            raise InvalidInput([{"field": "minutes", "detail": f"accepted: 1 to {LONGEST_SHELF_MIN}"}])

    def changes(self, ctx: Context[ShelveInput], row: Incident) -> dict[str, Any]:
        return {"shelved_until": timezone.now() + timedelta(minutes=ctx.input.minutes)}


@register
class UnshelveIncident(OnIncident[IncidentInput]):
    name = "ops.unshelve_incident"
    title = "Unshelve an incident"
    help = "Take a shelved incident back into counts and alerts."
    Input = IncidentInput
    kind = "unshelved"

    def judge(self, ctx: Context[IncidentInput], row: Incident) -> None:
        if row.shelved_until is None or row.shelved_until <= timezone.now():
            raise Refusal("incident.state", "the incident is not shelved")

    def changes(self, ctx: Context[IncidentInput], row: Incident) -> dict[str, Any]:
        return {"shelved_until": None}
