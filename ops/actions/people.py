"""Who comes in, who goes, and whose credentials somebody else resets (spec 3.2): never one person's word."""

import secrets as random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import Group
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Model
from django.utils import timezone

from ops import audit
from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.models import SecondFactor, Token, User
from ops.secrets_for import seal_for

#: Whoever's password or factor was reset by somebody else does not vote for so long.
EMBARGO = timedelta(hours=24)
#: Fits, with the longest role, into a request's target, which the database compares as a whole.
MAX_USERNAME = 80


@dataclass(frozen=True, kw_only=True)
class PersonInput:
    username: str = arg(help="Whose")


class OnPerson(Action[Any]):
    """Something done to somebody's account by somebody else."""

    Input: ClassVar[type[Any]] = PersonInput
    danger = Danger.INCREASES
    model: ClassVar[type[Model] | None] = User
    locks_desk = False
    listed = False

    def target(self, data: Any) -> str:
        return f"user:{data.username}"[:120]

    def objects(self, data: Any) -> list[User]:
        return list(User.objects.filter(username=data.username))

    def subject(self, ctx: Context[Any]) -> User:
        """The person, locked. Raises Refusal `user.unknown`."""
        row = User.objects.select_for_update().filter(username=ctx.input.username).first()
        if row is None:
            raise Refusal("user.unknown", f"nobody is called {ctx.input.username[:60]!r}", status=404)
        return row

    def interested(self, data: Any) -> str:
        """Who may not vote on it, being its subject."""
        return str(data.username)

    def check(self, ctx: Context[Any]) -> Outcome | None:
        self.subject(ctx)
        return None

    def done(self, **after: Any) -> Outcome:
        return Outcome(Status.EXECUTED, {"result": after}, after=after)


@dataclass(frozen=True, kw_only=True)
class CreateUserInput:
    username: str = arg(help="Latin letters, digits and @ . + - _; at most 80")
    role: str = arg(help="viewer, auditor, operator, risk_manager or admin")
    email: str = arg(help="Where alerts may go; empty: nowhere", default="")


@register
class CreateUser(OnPerson):
    name = "ops.create_user"
    title = "Create a person"
    help = "The first password is shown once to who asked for it, and must be changed at the first login."
    Input = CreateUserInput
    model = None
    listed = True  # there is no object yet on whose page it could stand

    def objects(self, data: Any) -> list[User]:
        return []

    def normalise(self, data: CreateUserInput, actor: Actor) -> CreateUserInput:
        """Names are compared as the login page reads them (NFKC)."""
        data = replace(data, username=User.normalize_username(data.username))
        if errors := wrong_with(data):
            raise InvalidInput(errors)
        return data

    def check(self, ctx: Context[CreateUserInput]) -> Outcome | None:
        there = User.objects.filter(username__iexact=ctx.input.username).first()
        if there is not None:  # Bob beside bob is taken for bob
            raise Refusal("user.exists", f"{there.username} is there already, active or not")
        return None

    def diff(self, ctx: Context[CreateUserInput]) -> list[dict[str, Any]]:
        return [{"field": f"user {ctx.input.username}", "before": None, "after": ctx.input.role}]

    def execute(self, ctx: Context[CreateUserInput]) -> Outcome:
        user, password = make_person(ctx.input.username, role=ctx.input.role, email=ctx.input.email)
        secret = seal_for(ctx.actor.user, title=f"first password of {user.username}", text=password)
        return self.done(
            user=user.username, role=ctx.input.role, secret=str(secret.pk), reader=ctx.actor.name
        )


def wrong_with(data: CreateUserInput) -> list[dict[str, Any]]:
    """What no person can be, by field."""
    errors = _complaint("username", ASCIIUsernameValidator(), data.username)  # or Cyrillic а passes for a
    if not 1 <= len(data.username) <= MAX_USERNAME:
        errors.append({"field": "username", "detail": f"accepted: 1 to {MAX_USERNAME} characters"})
    if not Group.objects.filter(name=data.role).exists():
        known = ", ".join(Group.objects.order_by("name").values_list("name", flat=True))
        errors.append({"field": "role", "detail": f"{data.role[:40]!r}; accepted: {known}"})
    if data.email:
        errors += _complaint("email", validate_email, data.email)
    return errors


def _complaint(field: str, judge: Callable[[Any], None], value: str) -> list[dict[str, Any]]:
    try:
        judge(value)
    except ValidationError as wrong:
        return [{"field": field, "detail": str(wrong.message)}]
    return []


def make_person(username: str, *, role: str, email: str = "") -> tuple[User, str]:
    """Somebody new with a first password, which must be changed. Inside `audit.recorded()`."""
    password = random.token_urlsafe(12)
    user = User(username=username, email=email, is_staff=True, must_change_password=True)
    user.set_password(password)
    user.save()
    user.groups.set([Group.objects.get(name=role)])
    audit.touch(user)
    audit.touch_keys("ops_user_groups", user.pk)
    return user, password


@register
class DeactivateUser(OnPerson):
    name = "ops.deactivate_user"
    title = "Deactivate a person"
    help = "At once: their sessions and tokens end, and what they asked for or approved no longer counts."
    danger = Danger.REDUCES
    reason_required = False
    stops = True

    def check(self, ctx: Context[PersonInput]) -> Outcome | None:
        if not self.subject(ctx).is_active:
            raise Refusal("user.inactive", f"{ctx.input.username} is not active")
        return None

    def execute(self, ctx: Context[PersonInput]) -> Outcome:
        user = self.subject(ctx)
        user.is_active = False
        user.save(update_fields=["is_active"])
        audit.touch(user)
        tokens = list(Token.objects.filter(user=user))
        audit.touch(*tokens)
        for token in tokens:
            token.delete()
        return self.done(user=user.username, tokens=len(tokens), sessions=end_sessions(user))


@register
class ActivateUser(OnPerson):
    name = "ops.activate_user"
    title = "Activate a person"
    help = "Lets somebody in again who was deactivated, with the roles that they had."

    def check(self, ctx: Context[PersonInput]) -> Outcome | None:
        if self.subject(ctx).is_active:
            raise Refusal("user.active", f"{ctx.input.username} is active")
        return None

    def before(self, ctx: Context[PersonInput]) -> dict[str, Any]:
        return {"is_active": self.subject(ctx).is_active}

    def diff(self, ctx: Context[PersonInput]) -> list[dict[str, Any]]:
        roles = ", ".join(self.subject(ctx).groups.values_list("name", flat=True))
        return [{"field": f"user {ctx.input.username}", "before": "inactive", "after": f"active: {roles}"}]

    def execute(self, ctx: Context[PersonInput]) -> Outcome:
        user = self.subject(ctx)
        user.is_active = True
        user.save(update_fields=["is_active"])
        audit.touch(user)
        return self.done(user=user.username)


class Reset(OnPerson):
    """Whoever holds the new credential could be them: a day without votes, and every session ended."""

    what = ""

    def check(self, ctx: Context[PersonInput]) -> Outcome | None:
        if self.subject(ctx).pk == ctx.actor.user.pk:
            raise Refusal("user.self", "your own is changed under My credentials", status=403)
        return None

    def diff(self, ctx: Context[PersonInput]) -> list[dict[str, Any]]:
        return [
            {"field": f"{self.what} of {ctx.input.username}", "before": "theirs", "after": "reset"},
            {"field": f"votes of {ctx.input.username}", "before": None, "after": "none for 24 hours"},
        ]

    def embargo(self, user: User, **values: Any) -> None:
        user.no_vote_until = timezone.now() + EMBARGO
        for name, value in values.items():
            setattr(user, name, value)
        user.save(update_fields=["no_vote_until", *values])
        audit.touch(user)
        end_sessions(user)


@register
class ResetPassword(Reset):
    name = "ops.reset_password"
    title = "Reset somebody's password"
    help = (
        "The new one is shown once to who asked for it; its owner must change it and does not vote for a day."
    )
    what = "password"

    def execute(self, ctx: Context[PersonInput]) -> Outcome:
        user, password = self.subject(ctx), random.token_urlsafe(12)
        user.set_password(password)
        self.embargo(user, password=user.password, must_change_password=True)
        secret = seal_for(ctx.actor.user, title=f"new password of {user.username}", text=password)
        return self.done(user=user.username, secret=str(secret.pk), reader=ctx.actor.name)


@register
class ResetSecondFactor(Reset):
    name = "ops.reset_second_factor"
    title = "Reset somebody's second factor"
    help = "For who has lost it. They enrol a new one, and do not vote for a day."
    what = "second factor"

    def execute(self, ctx: Context[PersonInput]) -> Outcome:
        user = self.subject(ctx)
        factors = list(SecondFactor.objects.filter(user=user))
        audit.touch(*factors)
        for factor in factors:
            factor.delete()
        self.embargo(user)
        return self.done(user=user.username, factors=len(factors))


def end_sessions(user: User) -> int:
    """Every browser of that person is logged out. A desk has few sessions: they are read one by one."""
    found = [row for row in Session.objects.all() if row.get_decoded().get("_auth_user_id") == str(user.pk)]
    for row in found:
        row.delete()
    return len(found)
