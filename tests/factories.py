"""People by name and a desk that has been started, for tests with a database.

alice, bob, carol: operators; rita: risk manager; victor: viewer; audrey: auditor; root: superuser.
"""

from typing import Any

from django.contrib.auth.models import Group

from ops import config
from ops.actions import approvals, runner
from ops.actions.base import Actor, Credential, Outcome, Source
from ops.config import versions
from ops.models import ApprovalRequest, ConfigVersion, User

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


def person(name: str, *, password: str | None = None) -> User:
    """The person of that name, made when missing; `password` is hashed only where a test logs in."""
    user, new = User.objects.get_or_create(
        username=name, defaults={"is_staff": True, "is_superuser": name == "root"}
    )
    if new and name in ROLES:
        user.groups.set([Group.objects.get(name=ROLES[name])])
    if password is not None:
        user.set_password(password)
        user.save()
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
    for name in ROLES:
        person(name)


def activate(yaml: str) -> ConfigVersion:
    """Another version becomes the active one; there is no action for it yet."""
    last = ConfigVersion.objects.latest("version")
    ConfigVersion.objects.filter(active=True).update(active=False)
    loaded = config.parse(yaml)
    row = ConfigVersion.objects.create(
        version=last.version + 1, profile=last.profile, yaml=yaml, digest=loaded.digest, active=True
    )
    versions.forget()
    return row


def submit(
    name: str, action: str, *, reason: str = REASON, source: Source = Source.REST, **data: Any
) -> Outcome:
    return runner.submit(action, actor=actor(name), data=data, reason=reason, source=source)


def ask(name: str, action: str, **data: Any) -> ApprovalRequest:
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
