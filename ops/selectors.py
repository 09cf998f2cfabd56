"""What faces show to a person: reads only. They only say what is worth offering; the runner judges."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from guardian.models import GroupObjectPermission, UserObjectPermission

from ops import access
from ops.actions import registry
from ops.actions.base import Action, Danger, Refusal
from ops.actions.incidents import OnIncident
from ops.actions.inputs import parse
from ops.models import ApprovalRequest, Incident, User, Vote

State = ApprovalRequest.State


def doable(user: User) -> list[Action[Any]]:
    """Actions that `user` may ask for, on something at least; what stops stands first."""
    listed = [action for action in registry.all_actions() if action.listed]
    found = [action for action in listed if access.may_somewhere(user, action.permission)]
    return sorted(found, key=lambda action: action.danger is not Danger.REDUCES)


def open_requests() -> "QuerySet[ApprovalRequest]":
    return (
        ApprovalRequest.objects.filter(
            state__in=ApprovalRequest.OPEN,
            execution_state=ApprovalRequest.ExecutionState.NOT_RUN,
            expires_at__gt=Now(),
        )
        .select_related("requested_by")
        .prefetch_related("votes__approver")
    )


def asked_by(user: User) -> list[ApprovalRequest]:
    return list(open_requests().filter(requested_by=user))


def waiting_for(user: User) -> list[ApprovalRequest]:
    """Pending requests of others on which `user` may vote and has not."""
    return [r for r in open_requests().exclude(requested_by=user) if "approve" in possible(r, user)]


def possible(request: ApprovalRequest, user: User) -> set[str]:
    """Which of approve, reject, withdraw, apply, cancel to offer to `user`."""
    if not open_requests().filter(pk=request.pk).exists():
        return set()
    own = request.requested_by_id == user.pk
    voted = {v.approver_id: v.verdict for v in request.votes.all() if v.withdrawn_at is None}
    offered = {"cancel"} if own else set()
    if request.state == State.APPROVED and (own or voted.get(user.pk) == Vote.Verdict.APPROVE):
        offered.add("apply")
    if request.state == State.PENDING and user.pk in voted:
        offered.add("withdraw")
    if request.state == State.PENDING and not own and user.pk not in voted and _may_approve(request, user):
        offered |= {"approve", "reject"}
    return offered


def _may_approve(request: ApprovalRequest, user: User) -> bool:
    try:
        action = registry.get(request.action)
        data = parse(action.Input, request.payload)
        objects = action.objects(data)
    except Refusal:  # an action of an older build: nobody can run it
        return False
    interested = action.interested(data) == user.get_username()
    return not interested and access.may(user, action.approve_permission, objects)


def fitting(incident: Incident) -> list[str]:
    """Actions that the incident's state allows."""
    shelved = incident.shelved_until is not None and incident.shelved_until > timezone.now()
    out = {
        "ops.shelve_incident" if shelved else "ops.unshelve_incident",
        *(["ops.acknowledge_root_cause"] if incident.root_cause_at else []),
    }
    if incident.severity == Incident.Severity.P0 and not incident.root_cause_at:
        out.add("ops.close_incident")
    known = [action for action in registry.all_actions() if isinstance(action, OnIncident)]
    return [a.name for a in known if incident.state in a.states and a.name not in out]


# --- rights on one object -----------------------------------------------------


def object_rights(row: Model) -> list[tuple[str, str, str]]:
    """(permission, object, holder) of everybody who holds a right on `row` alone."""
    of = {"content_type": ContentType.objects.get_for_model(row), "object_pk": str(row.pk)}
    return _rights(UserObjectPermission.objects.filter(**of), GroupObjectPermission.objects.filter(**of))


def holder_rights(holder: User | Group) -> list[tuple[str, str, str]]:
    """The same, of what a role holds, or one person by themselves and by their roles."""
    if isinstance(holder, Group):
        nobody = UserObjectPermission.objects.none()
        return _rights(nobody, GroupObjectPermission.objects.filter(group=holder))
    own = UserObjectPermission.objects.filter(user=holder)
    return _rights(own, GroupObjectPermission.objects.filter(group__in=holder.groups.all()))


def _rights(people: "QuerySet[Any]", roles: "QuerySet[Any]") -> list[tuple[str, str, str]]:
    own = people.select_related("permission__content_type", "user")
    by_role = roles.select_related("permission__content_type", "group")
    found = [(_named(r.permission), r.object_pk, f"user:{r.user.get_username()}") for r in own]
    return found + [(_named(r.permission), r.object_pk, f"role:{r.group.name}") for r in by_role]


def rights_text(rights: list[tuple[str, str, str]]) -> str:
    return "; ".join(f"{permission} on {key} to {holder}" for permission, key, holder in rights)


def _named(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
