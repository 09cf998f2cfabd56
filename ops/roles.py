"""Roles are groups; what each may do is named by action. Synced after every migrate, and only ever to this
table.

An action's permission is its name; approving it is `<app>.approve_<verb>`. Names of rooms that are not
installed are simply not there yet.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from ops import audit
from ops.actions import registry
from ops.actions.base import Action
from ops.models import ApprovalPolicy, DeskState

VIEWER, AUDITOR, OPERATOR, RISK_MANAGER, ADMIN = "viewer", "auditor", "operator", "risk_manager", "admin"

#: What everybody does to their own credentials.
_OWN = {
    "ops.change_own_password",
    "ops.enrol_second_factor",
    "ops.confirm_second_factor",
    "ops.remove_own_second_factor",
    "ops.issue_token",
    "ops.revoke_token",
}
#: Neither adds nor takes risk: whoever runs the desk or judges it deals with what went wrong.
_INCIDENTS = {
    "ops.open_incident",
    "ops.acknowledge_incident",
    "ops.assign_incident",
    "ops.comment_incident",
    "ops.mitigate_incident",
    "ops.resolve_incident",
    "ops.acknowledge_root_cause",
    "ops.close_incident",
    "ops.shelve_incident",
    "ops.unshelve_incident",
    "ops.test_notification",
}
_PEOPLE = {
    "ops.create_user",
    "ops.activate_user",
    "ops.deactivate_user",
    "ops.reset_password",
    "ops.reset_second_factor",
    "ops.grant_role",
    "ops.revoke_role",
    "ops.grant_object_permission",
    "ops.revoke_object_permission",
}
#: Actions beyond reading. Everybody reads everything: a desk has no secrets from itself but its keys.
REQUESTS: dict[str, set[str]] = {
    VIEWER: _OWN,
    AUDITOR: _OWN,
    OPERATOR: _OWN
    | _INCIDENTS
    | {
        "ops.hold",
        "ops.resume",
        "ops.launch",
        "ops.safe_mode",
        "ops.post_only",
        "ops.reduce_only",
        "trading.execute",
        "trading.grant_envelope",
        "trading.revoke_envelope",
        "trading.close",
        "trading.flatten",
        "trading.kill",
        "trading.rescue",
        "trading.resolve_unknown",
        "trading.assign_residual",
        "trading.accept_break",
        "trading.record_transfer",
        "trading.setup_venue",
        "risk.set_limit",
        "risk.grant_override",
        "risk.clear_guard",
        "leadership.release",
        "leadership.acquire",
        "leadership.steal",
    },
    RISK_MANAGER: _OWN
    | _INCIDENTS
    | {
        "ops.hold",
        "ops.safe_mode",
        "ops.post_only",
        "ops.reduce_only",
        "ops.set_policy",
        "trading.kill",
        "trading.record_transfer",
        "trading.revoke_envelope",
        "risk.set_limit",
        "risk.clear_guard",
    },
    ADMIN: _OWN | _PEOPLE | {"ops.set_policy", "ops.hold"},
}
_DESK = {
    "ops.resume",
    "ops.launch",
    "ops.safe_mode",
    "ops.post_only",
    "ops.reduce_only",
    "trading.execute",
    "trading.grant_envelope",
    "trading.rescue",
    "trading.resolve_unknown",
    "trading.accept_break",
    "risk.set_limit",
    "risk.grant_override",
    "leadership.release",
    "leadership.steal",
}
_HOUSE = {
    "ops.create_user",
    "ops.activate_user",
    "ops.reset_password",
    "ops.reset_second_factor",
    "ops.grant_role",
    "ops.grant_object_permission",
    "ops.issue_token",
    "ops.set_policy",
}
APPROVES: dict[str, set[str]] = {
    OPERATOR: _DESK | _HOUSE,
    RISK_MANAGER: _DESK | _HOUSE,
    ADMIN: _HOUSE,
}


def sync(sender: AppConfig, **_: object) -> None:
    """post_migrate, after the last app: permissions of every registered action, groups, what each group
    holds, and a policy row for each action. Idempotent; on record when it changed who holds what."""
    if sender is not list(apps.get_app_configs())[-1]:
        return
    with audit.recorded(durable=False):
        changed = _sync()
        if changed:
            audit.append_system(action="ops.sync_roles", target="roles", verdict="executed", after=changed)


def _sync() -> dict[str, Any]:
    """What each role has won and lost."""
    for action in registry.all_actions():
        kind = _content_type(action)
        _permission(kind, action.permission, f"Can ask for: {action.title}")
        _permission(kind, action.approve_permission, f"Can approve: {action.title}")
        ApprovalPolicy.objects.get_or_create(action=action.name)
    reading = list(Permission.objects.filter(codename__startswith="view_"))
    changed = {}
    for role, names in REQUESTS.items():
        group, new = Group.objects.get_or_create(name=role)
        wanted = names | {_approval_of(name) for name in APPROVES.get(role, ())}
        held = [p for name in sorted(wanted) if (p := _find(name)) is not None]
        before = set(group.permissions.all())
        if new or before != {*reading, *held}:
            group.permissions.set([*reading, *held])
            audit.touch(group)
            audit.touch_keys("auth_group_permissions", group.pk)
            changed[role] = {
                "won": sorted(p.codename for p in {*reading, *held} - before),
                "lost": sorted(p.codename for p in before - {*reading, *held}),
            }
    return changed


def _content_type(action: Action[Any]) -> ContentType:
    """Permissions hang on the action's model, so that guardian can give them for one object of it; where it
    has none, on a model of the action's own app: Django names them `<app>.<codename>` either way."""
    if action.model is not None:
        return ContentType.objects.get_for_model(action.model)
    app = action.name.split(".", 1)[0]
    found = ContentType.objects.filter(app_label=app).order_by("model").first()
    return found or ContentType.objects.get_for_model(DeskState)


def _permission(kind: ContentType, name: str, title: str) -> None:
    """Written only where it differs: after a flush (tests) this runs as the application, which may not."""
    values = {"content_type": kind, "name": title[:255]}
    found = Permission.objects.filter(pk__in=_ids(name))
    if not found.exists():
        Permission.objects.create(codename=name.split(".", 1)[1], **values)
    elif not found.filter(**values).exists():
        found.update(**values)


def _approval_of(name: str) -> str:
    app, verb = name.split(".", 1)
    return f"{app}.approve_{verb}"


def _find(name: str) -> Permission | None:
    return Permission.objects.filter(pk__in=_ids(name)).first()


def _ids(name: str) -> list[int]:
    app, codename = name.split(".", 1)
    rows = Permission.objects.filter(content_type__app_label=app, codename=codename)
    return list(rows.values_list("pk", flat=True))
