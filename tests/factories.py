"""People by name and a desk that has been started, for tests with a database.

alice, bob, carol: operators; rita: risk manager; victor: viewer; audrey: auditor; root: superuser.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from ops import audit, config
from ops.actions import approvals, runner
from ops.actions.base import Actor, Credential, Outcome, Source
from ops.config import versions
from ops.models import ApprovalRequest, ConfigVersion, User
from risk import guards
from risk.models import DeskFigures, GuardState

PASSWORD = "correct horse battery staple"
ROLES = {
    "alice": "operator",
    "bob": "operator",
    "carol": "operator",
    "rita": "risk_manager",
    "victor": "viewer",
    "audrey": "auditor",
    "root": "admin",
}
REASON = "a reason"


@contextmanager
def arranged() -> Iterator[None]:
    """What a test puts there by hand, on record as the database demands of everybody."""
    with audit.recorded(durable=False):
        yield
        if audit.unnamed():
            audit.append_system(action="test.arrange", target="", verdict="executed")


def person(name: str, *, password: str | None = None, role: str = "") -> User:
    """The person of that name, made when missing; `password` is hashed only where a test logs in. role: of
    somebody who is not of the cast."""
    with arranged():
        user, new = User.objects.get_or_create(
            username=name, defaults={"is_staff": True, "is_superuser": name == "root"}
        )
        if new:
            audit.touch(user)
        if new and (role or name in ROLES):
            user.groups.set([Group.objects.get(name=role or ROLES[name])])
            audit.touch_keys("ops_user_groups", user.pk)
        if password is not None:
            user.set_password(password)
            user.save()
            audit.touch(user)
    return user


def actor(name: str, credential: Credential = Credential.SESSION) -> Actor:
    """Read anew each time, as every request does: permissions are cached on the user object."""
    return Actor(User.objects.get(pk=person(name).pk), credential)


def make_desk(*, quorum: int = 1) -> None:
    """A stored configuration and the people. HOLD and SAFE_MODE, as a desk is born."""
    row = config.ensure_first_version()
    if quorum != 1:
        activate(row.yaml.replace("quorum: 1", f"quorum: {quorum}"))
    versions.forget()
    with transaction.atomic():  # the first people of a desk come together
        for name in ROLES:
            person(name)
    watched()


def watched() -> None:
    """As the breaker process leaves it on a quiet desk: every guard OK, equity and loss known."""
    now = timezone.now()
    GuardState.objects.all().delete()
    GuardState.objects.bulk_create(
        GuardState(name=name, scope=scope, level="OK", seen="OK", evaluated_at=now, source_at=now)
        for name in guards.names()
        if (guard := guards.get(name))
        for scope in guard.scopes()
    )
    figures = {"at": now, "equity": Decimal(300_000), "daily_loss": Decimal(0)}
    DeskFigures.objects.update_or_create(pk=1, defaults=figures)


def activate(yaml: str) -> ConfigVersion:
    """Another version becomes the active one; there is no action for it yet."""
    last = ConfigVersion.objects.latest("version")
    loaded = config.parse(yaml)
    with arranged():
        for old in ConfigVersion.objects.filter(active=True):
            old.active = False
            old.save()
            audit.touch(old)
        row = ConfigVersion.objects.create(
            version=last.version + 1, profile=last.profile, yaml=yaml, digest=loaded.digest, active=True
        )
        audit.touch(row)
    versions.forget()
    return row


def submit(
    name: str, action: str, /, *, reason: str = REASON, source: Source = Source.REST, **data: Any
) -> Outcome:
    return runner.submit(action, actor=actor(name), data=data, reason=reason, source=source)


def ask(name: str, action: str, /, **data: Any) -> ApprovalRequest:
    """Submit what needs approval; returns the pending request."""
    outcome = submit(name, action, **data)
    return ApprovalRequest.objects.get(pk=outcome.body["approval"]["id"])


def vote(
    name: str,
    request: ApprovalRequest,
    verdict: str = "approve",
    *,
    digest: str | None = None,
    comment: str = "",
    credential: Credential = Credential.SESSION,
) -> Outcome:
    """As a face does it: with the digest that was shown."""
    return approvals.vote(
        request.pk,
        actor=actor(name, credential),
        verdict=verdict,
        digest=request.digest if digest is None else digest,
        comment=comment,
        source=Source.REST,
    )


def safe_mode_off() -> ApprovalRequest:
    request = ask("alice", "ops.safe_mode", enabled=False)
    vote("bob", request)
    return request


def resume() -> ApprovalRequest:
    """HOLD → RUN, by alice and bob. Needs a green checklist."""
    request = ask("alice", "ops.resume")
    vote("bob", request)
    return request
