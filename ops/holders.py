"""Who holds which permission at this moment, of everybody at once: `ops.access` asks person by person."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone
from guardian.models import GroupObjectPermission, UserObjectPermission

from ops.models import User

People = set[int]


def _nobody() -> dict[str, People]:
    return defaultdict(set)


@dataclass(slots=True)
class Holders:
    """Primary keys of active people. on_objects: who holds a permission on some object only."""

    everywhere: dict[str, People] = field(default_factory=_nobody)
    on_objects: dict[str, People] = field(default_factory=_nobody)
    roles: dict[str, People] = field(default_factory=_nobody)
    superusers: People = field(default_factory=set)
    embargoed: People = field(default_factory=set)

    @classmethod
    def now(cls) -> "Holders":
        """As many queries whatever the number of people."""
        found, active = cls(), User.objects.filter(is_active=True)
        for pk, crowned, until, role in active.values_list(
            "pk", "is_superuser", "no_vote_until", "groups__name"
        ):
            found.roles[role].add(pk)
            found.superusers |= {pk} if crowned else set()
            found.embargoed |= {pk} if until is not None and until > timezone.now() else set()
        for role, name in _rows(Group.objects.all(), "name", "permissions"):
            found.everywhere[name] |= found.roles[role]
        for pk, name in _rows(active, "pk", "user_permissions"):
            found.everywhere[name].add(pk)
        for pk, name in _rows(UserObjectPermission.objects.filter(user__in=active), "user_id", "permission"):
            found.on_objects[name].add(pk)
        for role, name in _rows(GroupObjectPermission.objects.all(), "group__name", "permission"):
            found.on_objects[name] |= found.roles[role]
        return found

    def asking(self, permission: str) -> People:
        return self.everywhere[permission] | self.on_objects[permission] | self.superusers

    def voting(self, permission: str) -> People:
        """On any object: a right on one venue agrees to nothing on another."""
        return (self.everywhere[permission] | self.superusers) - self.embargoed


def _rows(found: Any, holder: str, path: str) -> Iterable[tuple[Any, str]]:
    of = (holder, f"{path}__content_type__app_label", f"{path}__codename")
    for who, app, codename in found.filter(**{f"{path}__isnull": False}).values_list(*of):
        yield who, f"{app}.{codename}"
