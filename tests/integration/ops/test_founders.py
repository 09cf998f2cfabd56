"""The first people of a desk come together; after them everybody needs two."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.test import Client

from ops import audit, config
from ops.components import approvers
from ops.models import AuditEntry, User
from ops.status import Status
from tests import factories
from tests.integration.ops.test_commands import run
from tests.integration.ops.test_login import login

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = ("--person", "alice:operator", "--person", "bob:operator", "--person", "ada:admin")


@pytest.fixture(autouse=True)
def configured() -> None:
    config.versions.forget()
    config.ensure_first_version()


def test_they_come_in_with_a_password_told_once(tmp_path: Path) -> None:
    out = tmp_path / "people.json"
    assert run("founders", *PEOPLE, "--out", str(out))[0] == 0
    assert out.stat().st_mode & 0o777 == 0o600
    told = json.loads(out.read_text())
    assert set(told) == {"alice", "bob", "ada"}
    assert login(Client(), "alice", told["alice"]).json()["must_change_password"]
    assert told["alice"] not in str(list(AuditEntry.objects.values()))
    assert audit.verify().ok


def test_there_are_first_people_once() -> None:
    call_command("founders", *PEOPLE)
    with pytest.raises(CommandError, match=r"ops\.create_user"):
        call_command("founders", "--person", "mallory:admin")
    with pytest.raises(IntegrityError, match="needs an approved request to come in"), factories.arranged():
        audit.touch(User.objects.create_user("mallory"))
    assert User.objects.count() == 3


@pytest.mark.parametrize("word", ["alice", "alice:king", ":operator", "a b:operator"])
def test_a_person_that_cannot_be_is_named_and_nobody_is_made(word: str) -> None:
    with pytest.raises(CommandError, match="accepted: name:role"):
        call_command("founders", "--person", "bob:operator", "--person", word)
    assert not User.objects.exists()


def test_a_person_is_named_once() -> None:
    with pytest.raises(CommandError, match="named twice"):
        call_command("founders", *PEOPLE, "--person", "Bob:admin")
    assert not User.objects.exists()


def test_nobody_remains_whose_password_could_not_be_told(tmp_path: Path) -> None:
    out = tmp_path / "people.json"
    out.write_text("somebody's own file")
    with pytest.raises(CommandError, match="nobody was made"):
        call_command("founders", *PEOPLE, "--out", str(out))
    assert not User.objects.exists()
    assert out.read_text() == "somebody's own file"


def test_nobody_is_made_a_superuser() -> None:
    with pytest.raises(CommandError, match="no superuser"):
        call_command("createsuperuser")
    call_command("founders", *PEOPLE)
    with pytest.raises(IntegrityError, match="superuser"):
        _crown("alice")


def _crown(name: str) -> None:
    with factories.arranged():
        User.objects.filter(username=name).update(is_superuser=True)
        audit.touch(User.objects.get(username=name))


def test_too_few_people_are_red_and_a_failing_check() -> None:
    call_command("founders", "--person", "alice:operator")
    reading = approvers()
    assert reading.status is Status.ERROR
    assert "ops.resume (0 of 1)" in reading.summary
    with pytest.raises(Exception, match=r"ops\.E001"):
        call_command("check", "--database", "default")
