"""The people of a paper desk, so that the first `make run` can be used by several people at once."""

import json
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group

from cryptobot.env import Environment
from ops import audit
from ops.models import AuditEntry, Token, User

PEOPLE = {
    "alice": "operator",
    "bob": "operator",
    "carol": "operator",
    "rita": "risk_manager",
    "victor": "viewer",
    "audrey": "auditor",
    "root": "admin",
}
FILE_NAME = "demo-desk.json"
ACTION = "ops.demo_desk"


def make_demo_desk(env: Environment) -> None:
    """Make the people of a desk that has none; keep the passwords and tokens of who is there. Paper only.

    The file and the database may each be lost alone: who is missing in the file gets new secrets. Who is
    missing in the database of a desk with people comes by ops.create_user: the database sees to it.
    """
    path = env.data_dir / FILE_NAME
    if env.exchange_profile != "paper" or _is_somebody_elses() or _is_anothers_instance(env, path):
        return
    known = json.loads(path.read_text())["people"] if path.exists() else {}
    with audit.recorded():
        here = set(User.objects.values_list("username", flat=True))
        coming = {name: role for name, role in PEOPLE.items() if name in here or not here}
        people = {name: _person(name, role, known.get(name)) for name, role in coming.items()}
        # Inside the transaction: a person whose password nobody was told must not remain.
        _write_private(path, {"base_url": env.base_url, "people": people})
        if audit.unnamed():
            audit.append_system(action=ACTION, target="people", verdict="executed", after=sorted(people))


def _is_somebody_elses() -> bool:
    """A desk whose first people were not made here: nobody's password is ours to set."""
    return User.objects.exists() and not AuditEntry.objects.filter(action=ACTION).exists()


def _is_anothers_instance(env: Environment, path: Path) -> bool:
    """Several instances share these people; the one that made them has told their passwords."""
    return env.feature_leader_lock and not path.exists() and User.objects.exists()


def _person(name: str, role: str, known: dict[str, str] | None) -> dict[str, str]:
    user, created = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    if known and not created:
        return known
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    audit.touch(user)
    if created:
        user.groups.set([Group.objects.get(name=role)])
        audit.touch_keys("ops_user_groups", user.pk)
    for old in Token.objects.filter(user=user):
        audit.touch(old)
        old.delete()
    row, token = Token.objects.create(
        user=user, expiry=timedelta(days=90), name="demo desk", scopes=[Token.EVERYTHING]
    )
    audit.touch(row)
    return {"role": role, "password": password, "token": token}


def _write_private(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    draft.replace(path)
