"""The people of a paper desk, so that the first `make run` can be used by several people at once."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from knox.models import AuthToken

from cryptobot.env import Environment

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


def make_demo_desk(env: Environment) -> None:
    """Create who is missing; keep the passwords and tokens of who is there. Paper only.

    The file and the database may each be lost alone: who is missing in either gets new secrets.
    """
    if env.exchange_profile != "paper":
        return
    path = env.data_dir / FILE_NAME
    known = json.loads(path.read_text())["people"] if path.exists() else {}
    with transaction.atomic():
        people = {name: _person(name, role, known.get(name)) for name, role in PEOPLE.items()}
        # Inside the transaction: a person whose password nobody was told must not remain.
        _write_private(path, {"base_url": env.base_url, "people": people})


def _person(name: str, role: str, known: dict[str, str] | None) -> dict[str, str]:
    user, created = get_user_model().objects.get_or_create(username=name, defaults={"is_staff": True})
    if known and not created:
        return known
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    user.groups.set([Group.objects.get(name=role)])
    AuthToken.objects.filter(user=user).delete()
    _, token = AuthToken.objects.create(user=user, expiry=None)
    return {"role": role, "password": password, "token": token}


def _write_private(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    draft.replace(path)
