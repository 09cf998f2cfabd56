"""The people of a demo desk: made where there are none, told in one file, and nobody else's."""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from cryptobot.demo_desk import FILE_NAME, PEOPLE, make_demo_desk
from cryptobot.env import Environment
from ops import audit, config
from ops.models import AuditEntry, Token, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def configured() -> None:
    config.versions.forget()
    config.ensure_first_version()


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    changed: Environment = settings.ENV.model_copy(update={"data_dir": tmp_path, "exchange_profile": "paper"})
    return changed


def told(env: Environment) -> dict[str, dict[str, str]]:
    people: dict[str, dict[str, str]] = json.loads((env.data_dir / FILE_NAME).read_text())["people"]
    return people


def forget(env: Environment, *names: str) -> None:
    path = env.data_dir / FILE_NAME
    content = json.loads(path.read_text())
    for name in names:
        del content["people"][name]
    path.write_text(json.dumps(content))


def works(name: str, password: str) -> bool:
    return User.objects.get(username=name).check_password(password)


def test_they_come_together_and_are_told_in_a_private_file(env: Environment) -> None:
    make_demo_desk(env)
    assert (env.data_dir / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert set(told(env)) == set(PEOPLE) == set(User.objects.values_list("username", flat=True))
    assert all(works(name, person["password"]) for name, person in told(env).items())
    assert not User.objects.filter(is_superuser=True).exists()
    assert told(env)["alice"]["password"] not in str(list(AuditEntry.objects.values()))
    assert audit.verify().ok


def test_a_second_start_changes_nothing(env: Environment) -> None:
    make_demo_desk(env)
    before, entries = told(env), AuditEntry.objects.count()
    make_demo_desk(env)
    assert (told(env), AuditEntry.objects.count()) == (before, entries)


def test_who_is_missing_in_the_file_gets_new_secrets_and_nobody_else(env: Environment) -> None:
    make_demo_desk(env)
    before = told(env)
    forget(env, "bob")
    make_demo_desk(env)
    after = told(env)
    assert {name for name in PEOPLE if after[name] != before[name]} == {"bob"}
    assert works("bob", after["bob"]["password"])
    assert not works("bob", before["bob"]["password"])
    assert Token.objects.filter(user__username="bob").count() == 1
    assert AuditEntry.objects.filter(action="ops.demo_desk").count() == 2
    assert audit.verify().ok


def test_with_the_file_lost_everybody_gets_new_secrets(env: Environment) -> None:
    make_demo_desk(env)
    (env.data_dir / FILE_NAME).unlink()
    make_demo_desk(env)
    assert all(works(name, person["password"]) for name, person in told(env).items())


def test_a_desk_with_people_gets_no_more_of_them_and_starts_all_the_same(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next build names one more: they come by ops.create_user, as the database demands."""
    make_demo_desk(env)
    monkeypatch.setitem(PEOPLE, "zoe", "admin")
    make_demo_desk(env)
    assert set(told(env)) == set(PEOPLE) - {"zoe"}


def test_a_desk_of_other_founders_is_left_alone(env: Environment, tmp_path: Path) -> None:
    out = tmp_path / "founders.json"
    call_command("founders", "--person", "alice:operator", "--person", "bob:operator", "--out", str(out))
    make_demo_desk(env)
    assert not (env.data_dir / FILE_NAME).exists()
    assert works("alice", json.loads(out.read_text())["alice"])
    assert User.objects.count() == 2


def test_only_a_paper_desk_has_them(env: Environment) -> None:
    make_demo_desk(env.model_copy(update={"exchange_profile": "testnet"}))
    assert not User.objects.exists()
