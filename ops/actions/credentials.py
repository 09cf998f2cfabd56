"""One's own password, second factor and tokens. Somebody else's are `ops.actions.people`'s."""

import secrets as random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import timezone

from ops import access, audit, second_factor
from ops.actions import registry
from ops.actions.base import Action, Actor, Context, Credential, Danger, NoInput, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.models import SecondFactor, Token, User
from ops.secrets_for import seal_for

MAX_TOKEN_DAYS = 90


class Own(Action[Any]):
    """What a person does to their own credentials, logged in. A token does not."""

    danger = Danger.NEUTRAL
    reason_required = False
    locks_desk = False
    listed = False

    def normalise(self, data: Any, actor: Actor) -> Any:
        if actor.credential is Credential.TOKEN:
            raise Refusal(
                "credential.token", "a token changes no credentials: log in as a person", status=403
            )
        return data

    def target(self, data: Any) -> str:
        return "self"


@dataclass(frozen=True, kw_only=True)
class ChangePasswordInput:
    old: str = arg(help="The password you have", secret=True)
    new: str = arg(help="The password you want: at least 12 characters, not a common one", secret=True)


@register
class ChangeOwnPassword(Own):
    name = "ops.change_own_password"
    title = "Change my password"
    help = "Ends every other session of yours."
    Input = ChangePasswordInput

    def prepare(self, ctx: Context[ChangePasswordInput]) -> str:
        """Hashing is slow on purpose: not under a lock."""
        user = ctx.actor.user
        if not user.check_password(ctx.input.old):
            raise Refusal("password.wrong", "the old password is not right", status=403)
        if ctx.input.new == ctx.input.old:  # or whoever chose it for them would go on knowing it
            raise InvalidInput([{"field": "new", "detail": "it is the one you have"}])
        try:
            validate_password(ctx.input.new, user)
        except ValidationError as weak:
            raise InvalidInput([{"field": "new", "detail": text} for text in weak.messages]) from None
        return make_password(ctx.input.new)

    def execute(self, ctx: Context[ChangePasswordInput]) -> Outcome:
        user = User.objects.select_for_update().get(pk=ctx.actor.user.pk)
        user.password, user.must_change_password = ctx.evidence, False
        user.save(update_fields=["password", "must_change_password"])
        audit.touch(user)
        return Outcome(Status.EXECUTED, after={"user": user.username})


@register
class EnrolSecondFactor(Own):
    name = "ops.enrol_second_factor"
    title = "Enrol a second factor"
    help = "Makes a key for your authenticator; it counts once you have confirmed a first code."

    def check(self, ctx: Context[NoInput]) -> Outcome | None:
        if second_factor.enrolled(ctx.actor.user):
            raise Refusal("totp.enrolled", "you have a second factor already: remove it first")
        return None

    def execute(self, ctx: Context[NoInput]) -> Outcome:
        user = ctx.actor.user
        key = second_factor.sealed_key(user, random.token_bytes(20))
        values = {"key": key, "last_t": -1, "failures": 0, "locked_until": None}
        row, _new = SecondFactor.objects.update_or_create(user=user, confirmed_at=None, defaults=values)
        audit.touch(row)
        body = {"show": "/api/auth/second_factor"}
        return Outcome(Status.EXECUTED, {"result": body}, after={"user": user.username})


@dataclass(frozen=True, kw_only=True)
class CodeInput:
    code: str = arg(help="The six digits that your authenticator shows now", secret=True)


class WithCode(Own):
    Input = CodeInput
    confirmed = True

    def prepare(self, ctx: Context[CodeInput]) -> SecondFactor:
        found = SecondFactor.objects.filter(user=ctx.actor.user, confirmed_at__isnull=not self.confirmed)
        factor = found.first()
        if factor is None:
            raise Refusal("totp.none", "there is no second factor to do this with")
        second_factor.check(factor, ctx.input.code)
        return factor


@register
class ConfirmSecondFactor(WithCode):
    name = "ops.confirm_second_factor"
    title = "Confirm my second factor"
    help = "From the first right code on, logging in and voting ask for one."
    confirmed = False

    def execute(self, ctx: Context[CodeInput]) -> Outcome:
        row = SecondFactor.objects.select_for_update().get(pk=ctx.evidence.pk)
        row.confirmed_at = timezone.now()
        row.save(update_fields=["confirmed_at"])
        audit.touch(row)
        return Outcome(Status.EXECUTED, after={"user": ctx.actor.name})


@register
class RemoveOwnSecondFactor(WithCode):
    name = "ops.remove_own_second_factor"
    title = "Remove my second factor"
    help = "Needs a code of the factor that goes. Not in live, where everybody has one."

    def check(self, ctx: Context[CodeInput]) -> Outcome | None:
        if settings.ENV.exchange_profile == "live":
            raise Refusal("totp.live", "live needs a second factor", status=403)
        return None

    def execute(self, ctx: Context[CodeInput]) -> Outcome:
        audit.touch(ctx.evidence)
        ctx.evidence.delete()
        return Outcome(Status.EXECUTED, after={"user": ctx.actor.name})


def require_over_others(actor: Actor) -> None:
    """Raises Refusal `token.not_yours`. Others' tokens are for whoever may deactivate others."""
    if not access.may(actor.user, "ops.deactivate_user"):
        raise Refusal("token.not_yours", "others' tokens are for who may deactivate them", status=403)


@dataclass(frozen=True, kw_only=True)
class IssueTokenInput:
    username: str | None = arg(help="Whose; empty: your own", default=None)
    name: str = arg(help="What it is for")
    scopes: str = arg(help="Action names separated by commas, read, or * for all that the person may ask for")
    days: int = arg(help="Valid for so many days, 1 to 90", default=30)


@register
class IssueToken(Action[IssueTokenInput]):
    """Sealed for its owner: not even who asked for somebody else's ever sees it."""

    name = "ops.issue_token"
    title = "Issue a token"
    help = "A personal token for a program. It cannot vote. Somebody else's needs approval."
    danger = Danger.INCREASES
    Input = IssueTokenInput
    locks_desk = False
    listed = False
    reason_required = False

    def normalise(self, data: IssueTokenInput, actor: Actor) -> IssueTokenInput:
        if actor.credential is Credential.TOKEN:
            raise Refusal("credential.token", "a token issues no tokens: log in as a person", status=403)
        errors = []
        if not 1 <= len(data.name.strip()) <= 80:
            errors.append({"field": "name", "detail": "accepted: 1 to 80 characters"})
        if not 1 <= data.days <= MAX_TOKEN_DAYS:
            errors.append({"field": "days", "detail": f"accepted: 1 to {MAX_TOKEN_DAYS}"})
        unknown = [
            s for s in _scopes(data) if s not in {Token.EVERYTHING, Token.READ} and not registry.knows(s)
        ]
        if unknown or not _scopes(data):
            errors.append(
                {"field": "scopes", "detail": f"{', '.join(unknown) or 'none'}; accepted: read, *, actions"}
            )
        if errors:
            raise InvalidInput(errors)
        return IssueTokenInput(
            username=data.username or actor.name, name=data.name, scopes=data.scopes, days=data.days
        )

    def target(self, data: IssueTokenInput) -> str:
        return f"user:{data.username}"

    def approvals_needed(self, ctx: Context[IssueTokenInput], quorum: int) -> int:
        return 0 if ctx.input.username == ctx.actor.name else quorum

    def check(self, ctx: Context[IssueTokenInput]) -> Outcome | None:
        if ctx.input.username != ctx.actor.name:
            require_over_others(ctx.actor)
            if not ctx.reason.strip():
                raise Refusal("reason.required", "somebody else's token needs a reason", status=422)
        if not User.objects.filter(username=ctx.input.username, is_active=True).exists():
            raise Refusal("user.unknown", f"no active person is called {ctx.input.username!r}", status=404)
        return None

    def diff(self, ctx: Context[IssueTokenInput]) -> list[dict[str, Any]]:
        what = f"{', '.join(_scopes(ctx.input))} for {ctx.input.days} days"
        return [{"field": f"token of {ctx.input.username}", "before": None, "after": what}]

    def execute(self, ctx: Context[IssueTokenInput]) -> Outcome:
        owner = User.objects.get(username=ctx.input.username)
        row, text = Token.objects.create(
            user=owner,
            expiry=timedelta(days=ctx.input.days),
            name=ctx.input.name,
            scopes=_scopes(ctx.input),
            issued_by=ctx.actor.row,
        )
        audit.touch(row)
        secret = seal_for(owner, title=f"token {ctx.input.name}", text=text)
        body = {"token": row.token_key, "secret": str(secret.pk), "reader": owner.username}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)


def _scopes(data: IssueTokenInput) -> list[str]:
    return sorted({scope.strip() for scope in data.scopes.split(",") if scope.strip()})


@dataclass(frozen=True, kw_only=True)
class RevokeTokenInput:
    token: str = arg(help="The first characters of the token, as the list shows them")


@register
class RevokeToken(Action[RevokeTokenInput]):
    """Anybody may end their own; who may ask for others' may end others'."""

    name = "ops.revoke_token"
    title = "Revoke a token"
    help = "It stops working at once."
    danger = Danger.REDUCES
    Input = RevokeTokenInput
    locks_desk = False
    listed = False
    reason_required = False
    stops = True

    def target(self, data: RevokeTokenInput) -> str:
        return data.token[:120]

    def check(self, ctx: Context[RevokeTokenInput]) -> Outcome | None:
        rows = list(Token.objects.select_for_update().filter(token_key=ctx.input.token))
        if not rows:
            raise Refusal("token.unknown", f"no token begins with {ctx.input.token[:20]!r}", status=404)
        own = all(row.user_id == ctx.actor.user.pk for row in rows)
        if not own and ctx.actor.row:
            require_over_others(ctx.actor)
        return None

    def execute(self, ctx: Context[RevokeTokenInput]) -> Outcome:
        rows = list(Token.objects.filter(token_key=ctx.input.token))
        audit.touch(*rows)
        whose = [row.user.get_username() for row in rows]
        for row in rows:
            row.delete()
        return Outcome(Status.EXECUTED, after={"token": ctx.input.token, "of": whose})
