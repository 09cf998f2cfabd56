"""Who may do what. One rule for every face: a global permission or one on the object itself.

guardian's backend answers only for objects and Django's only globally: asking either alone is wrong for the
holders of the other (facts/stack.md), so nobody else may call `has_perm`.
"""

from typing import Any

from django.contrib.auth.models import AnonymousUser

from ops.models import User


def may(user: User | AnonymousUser, permission: str, target: Any = None) -> bool:
    """Inactive and anonymous users may nothing."""
    if not user.is_active or not user.is_authenticated:
        return False
    return user.has_perm(permission) or (target is not None and user.has_perm(permission, target))


def eligible(permission: str, *, excluding: User) -> int:
    """How many other active people hold `permission` by role or directly."""
    people = User.objects.filter(is_active=True).exclude(pk=excluding.pk)
    return sum(may(person, permission) for person in people)
