"""Who may do what. One rule for every face: a global permission or one on the object itself.

guardian's backend answers only for objects and Django's only globally: asking either alone is wrong for the
holders of the other (facts/stack.md), so nobody else may call `has_perm`.
"""

from collections.abc import Iterable

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from guardian.models import GroupObjectPermission, UserObjectPermission

from ops.models import User


def may(user: User | AnonymousUser, permission: str, targets: Iterable[Model] = ()) -> bool:
    """Held globally, or on each of `targets` (of which there must be one). Inactive and anonymous users may
    nothing."""
    if not user.is_active or not user.is_authenticated:
        return False
    if user.has_perm(permission):
        return True
    objects = list(targets)
    return bool(objects) and all(user.has_perm(permission, target) for target in objects)


def may_somewhere(user: User | AnonymousUser, permission: str) -> bool:
    """Held globally or on any object at all: whether it is worth looking at what they ask for."""
    if may(user, permission):
        return True
    if not user.is_active or not isinstance(user, User):
        return False
    app, codename = permission.split(".", 1)
    named = {"permission__content_type__app_label": app, "permission__codename": codename}
    return (
        UserObjectPermission.objects.filter(user=user, **named).exists()
        or GroupObjectPermission.objects.filter(group__in=user.groups.all(), **named).exists()
    )


def eligible(permission: str, *, excluding: User) -> int:
    """How many other active people hold `permission` by role or directly."""
    people = User.objects.filter(is_active=True).exclude(pk=excluding.pk)
    return sum(may(person, permission) for person in people)
