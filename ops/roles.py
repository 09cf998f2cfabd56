"""Roles are groups; what each may do is named by action. Synced after every migrate, and only ever to this
table.

An action's permission is its name; approving it is `<app>.approve_<verb>`. Names of rooms that are not
installed are simply not there yet.
"""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from ops.actions import registry
from ops.actions.base import Action
from ops.models import DeskState

VIEWER, AUDITOR, OPERATOR, RISK_MANAGER, ADMIN = "viewer", "auditor", "operator", "risk_manager", "admin"

#: Actions beyond reading. Everybody reads everything: a desk has no secrets from itself but its keys.
REQUESTS: dict[str, set[str]] = {
    VIEWER: set(),
    AUDITOR: set(),
    OPERATOR: {
        "ops.hold",
        "ops.resume",
        "ops.safe_mode",
        "trading.execute",
        "trading.close",
        "trading.flatten",
    },
    RISK_MANAGER: {"ops.hold", "ops.safe_mode"},
    ADMIN: {"ops.hold"},
}
APPROVES: dict[str, set[str]] = {
    OPERATOR: {"ops.resume", "ops.safe_mode", "trading.execute"},
    RISK_MANAGER: {"ops.resume", "ops.safe_mode", "trading.execute"},
}


def sync(sender: AppConfig, **_: object) -> None:
    """post_migrate: permissions of every registered action, groups, and what each group holds. Idempotent."""
    for action in registry.all_actions():
        kind = _content_type(action)
        _permission(kind, action.permission, f"Can ask for: {action.title}")
        _permission(kind, action.approve_permission, f"Can approve: {action.title}")
    reading = list(Permission.objects.filter(codename__startswith="view_"))
    for role, names in REQUESTS.items():
        group, _new = Group.objects.get_or_create(name=role)
        wanted = names | {_approval_of(name) for name in APPROVES.get(role, ())}
        held = [p for name in sorted(wanted) if (p := _find(name)) is not None]
        group.permissions.set([*reading, *held])


def _content_type(action: Action[Any]) -> ContentType:
    """Permissions hang on the action's model, so that guardian can give them for one object of it; where it
    has none, on a model of the action's own app: Django names them `<app>.<codename>` either way."""
    if action.model is not None:
        return ContentType.objects.get_for_model(action.model)
    app = action.name.split(".", 1)[0]
    found = ContentType.objects.filter(app_label=app).order_by("model").first()
    return found or ContentType.objects.get_for_model(DeskState)


def _permission(kind: ContentType, name: str, title: str) -> None:
    values = {"content_type": kind, "name": title[:255]}
    if not Permission.objects.filter(pk__in=_ids(name)).update(**values):
        Permission.objects.create(codename=name.split(".", 1)[1], **values)


def _approval_of(name: str) -> str:
    app, verb = name.split(".", 1)
    return f"{app}.approve_{verb}"


def _find(name: str) -> Permission | None:
    return Permission.objects.filter(pk__in=_ids(name)).first()


def _ids(name: str) -> list[int]:
    app, codename = name.split(".", 1)
    rows = Permission.objects.filter(content_type__app_label=app, codename=codename)
    return list(rows.values_list("pk", flat=True))
