"""Credentials at their edges: what a narrow token reaches, where a secret could stay, who is counted."""

import hashlib
import io
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from ops import audit, logins, secrets_for
from ops.actions import approvals, runner
from ops.actions.base import Actor, Credential, Refusal, Source, Status
from ops.actions.inputs import InvalidInput
from ops.actions.once import _json
from ops.models import ApprovalRequest, AuditEntry, HoldCause, IdempotencyKey, SealedSecret, Token, User, Vote
from tests import factories
from tests.factories import PASSWORD, actor, ask, person, submit, vote
from tests.integration.ops.test_commands import run
from tests.integration.ops.test_login import code, enrol, login

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@pytest.fixture(autouse=True)
def admin(house: None) -> None:
    factories.person("ada", role="admin")


def refused(do: Any, *args: Any, **kwargs: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(Refusal) as no:
        do(*args, **kwargs)
    return no.value.code


def program(name: str, *scopes: str) -> Actor:
    return Actor(actor(name).user, Credential.TOKEN, scopes)


# --- tokens ------------------------------------------------------------------


def approved_but_refused() -> ApprovalRequest:
    """Approved, and not run: its requester or approver may apply it."""
    request = ask("alice", "ops.safe_mode", enabled=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ops.actions.desk_mode.SafeMode.check", _busy)
        vote("bob", request)
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    return request


def _busy(*_: Any) -> None:
    raise Refusal("test.busy", "not now")


def test_a_token_that_reads_does_not_run_what_was_approved() -> None:
    request = approved_but_refused()
    for scopes in (("read",), ("ops.hold",)):
        for name in ("alice", "bob"):
            actor_ = program(name, *scopes)
            assert refused(approvals.apply, request.pk, actor=actor_, source=Source.REST) == "token.scope"
    request.refresh_from_db()
    assert request.execution_state == "not_run"
    assert approvals.apply(request.pk, actor=program("alice", "ops.safe_mode"), source=Source.REST)


def test_a_token_that_reads_takes_nothing_back() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    reader = program("alice", "read")
    assert refused(approvals.cancel, request.pk, actor=reader, source=Source.REST) == "token.scope"
    assert approvals.cancel(request.pk, actor=program("alice", "ops.safe_mode"), source=Source.REST)


def test_a_token_takes_no_vote_back() -> None:
    vote("bob", ask("rita", "ops.set_policy", action="ops.safe_mode", quorum=2))
    request = ask("alice", "ops.safe_mode", enabled=False)
    vote("bob", request)
    everything = program("bob", "*")
    assert refused(approvals.withdraw, request.pk, actor=everything, source=Source.REST) == "vote.token"
    assert Vote.objects.get(request=request).withdrawn_at is None


def test_who_must_change_the_password_runs_nothing_that_was_approved() -> None:
    request = approved_but_refused()
    with factories.arranged():
        User.objects.filter(username="alice").update(must_change_password=True)
        audit.touch(person("alice"))
    alice = actor("alice")
    assert refused(approvals.apply, request.pk, actor=alice, source=Source.REST) == "password.must_change"


def test_somebody_else_s_token_is_an_admin_s_to_ask_for_and_with_a_reason() -> None:
    data: dict[str, Any] = {"username": "bob", "name": "bot", "scopes": "read"}
    for name in ("victor", "carol"):
        assert refused(submit, name, "ops.issue_token", **data) == "token.not_yours"
    assert refused(submit, "ada", "ops.issue_token", reason="", **data) == "reason.required"
    assert submit("ada", "ops.issue_token", **data).status is Status.PENDING
    assert not Token.objects.exists()


def test_a_token_of_who_left_is_refused_also_when_it_is_still_there() -> None:
    outcome = submit("alice", "ops.issue_token", name="bot", scopes="*")
    text = secrets_for.open_for(person("alice"), outcome.body["result"]["secret"], source=Source.REST)
    with factories.arranged():
        User.objects.filter(username="alice").update(is_active=False)
        audit.touch(person("alice"))
    assert Client(headers={"Authorization": f"Token {text}"}).get("/api/auth/me").status_code == 401
    assert Token.objects.count() == 1


def test_a_password_is_not_changed_into_itself() -> None:
    person("alice", password=PASSWORD)
    with factories.arranged():
        User.objects.filter(username="alice").update(must_change_password=True)
        audit.touch(person("alice"))
    with pytest.raises(InvalidInput, match="the one you have"):
        submit("alice", "ops.change_own_password", old=PASSWORD, new=PASSWORD)
    assert person("alice").must_change_password


# --- where a secret could stay -------------------------------------------------


SECRET = "hunter2 hunter2 hunter2"


@pytest.mark.parametrize(
    "data",
    [
        {"old_password": SECRET, "new": "x"},  # a mistyped name is no reason to write it down
        {"old": [SECRET], "new": {"text": SECRET}},
        {"old": "x", "new": SECRET, "again": SECRET},
        SECRET,
    ],
)
def test_a_secret_under_a_wrong_name_or_of_a_wrong_type_is_not_repeated(data: Any) -> None:
    with pytest.raises(Refusal) as no:
        runner.submit(
            "ops.change_own_password",
            actor=actor("alice"),
            data=data,
            source=Source.REST,
            idempotency_key="k",
        )
    assert SECRET not in str(
        [no.value.as_dict(), *AuditEntry.objects.values(), *IdempotencyKey.objects.values()]
    )


def test_a_code_of_a_wrong_type_is_not_repeated() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    client = Client()
    client.force_login(person("bob"), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(
        f"/api/ui/approvals/{request.pk}/approve",
        {"digest": request.digest, "totp": 123456},
        content_type="application/json",
    )
    assert answer.status_code == 422
    assert "123456" not in str([answer.json()["detail"], *AuditEntry.objects.values("before", "after")])


def test_what_is_kept_of_a_command_cannot_be_guessed_from_the_rows() -> None:
    """A fingerprint of a password without a key would be the password, to whoever tries a dictionary."""
    person("alice", password=PASSWORD)
    new = "another horse, another battery"
    said: dict[str, Any] = {
        "action": "ops.change_own_password",
        "input": {"old": PASSWORD, "new": new},
        "reason": "",
    }
    runner.submit(
        said["action"], actor=actor("alice"), data=said["input"], source=Source.REST, idempotency_key="k"
    )
    kept = IdempotencyKey.objects.get().fingerprint
    assert kept != hashlib.sha256(_json(said).encode()).hexdigest()


def test_no_table_keeps_a_secret() -> None:
    """Every text of every table, after each action that takes or makes one."""
    person("alice", password=PASSWORD)
    key = enrol("alice")
    new = "another horse, another battery"
    secrets = [PASSWORD, new, key.hex()]
    submit("alice", "ops.change_own_password", old=PASSWORD, new=new)
    login(Client(), "alice", "wrong but nearly right")
    Path(configured.STATIC_ROOT).mkdir(exist_ok=True)
    typed = {"username": "alice", "password": "wrong but nearly right", "totp": "zq7xw8", "next": "/admin/"}
    Client().post("/admin/login/", typed)
    for outcome in (
        submit("alice", "ops.issue_token", name="bot", scopes="*"),
        vote("bob", ask("ada", "ops.create_user", username="dora", role="viewer")),
        vote("bob", ask("ada", "ops.reset_password", username="carol")),
    ):
        reader = person(outcome.body["result"]["reader"])
        secrets.append(secrets_for.open_for(reader, outcome.body["result"]["secret"], source=Source.REST))
    secrets += ["wrong but nearly right", "zq7xw8"]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(table)} t")
            rows = str(cursor.fetchall())
            assert [s for s in secrets if s in rows] == [], table


def test_nobody_reads_another_s_secret_and_the_try_is_on_record() -> None:
    outcome = submit("alice", "ops.issue_token", name="bot", scopes="*")
    secret = outcome.body["result"]["secret"]
    assert refused(secrets_for.open_for, person("bob"), secret, source=Source.REST) == "secret.unknown"
    tried = AuditEntry.objects.get(action="secret.open")
    assert (tried.actor_name, tried.verdict, tried.code, tried.target) == (
        "bob",
        "refused",
        "secret.unknown",
        secret,
    )


def test_a_secret_that_no_key_opens_is_not_used_up(settings: Any) -> None:
    outcome = submit("alice", "ops.issue_token", name="bot", scopes="*")
    secret = outcome.body["result"]["secret"]
    ring, settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY, "another key"
    assert refused(secrets_for.open_for, person("alice"), secret, source=Source.REST) == "secret.unreadable"
    settings.FIELD_ENCRYPTION_KEY = f"newer key, {ring}"
    assert secrets_for.open_for(person("alice"), secret, source=Source.REST)


def test_a_factor_that_no_key_opens_is_a_refusal(settings: Any) -> None:
    person("bob", password=PASSWORD)
    key = enrol("bob")
    settings.FIELD_ENCRYPTION_KEY = "another key"
    assert login(Client(), "bob", totp=code(key)).json()["code"] == "totp.unreadable"


def test_a_secret_whose_day_is_over_is_emptied() -> None:
    submit("alice", "ops.issue_token", name="old", scopes="*")
    SealedSecret.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    submit("alice", "ops.issue_token", name="new", scopes="*")
    assert secrets_for.prune() == 1
    assert {row.title: bool(row.sealed) for row in SealedSecret.objects.all()} == {
        "token old": False,
        "token new": True,
    }


# --- coming in -------------------------------------------------------------------


def test_an_invented_forwarding_header_does_not_slip_past_the_throttle(settings: Any) -> None:
    cache.clear()
    settings.THROTTLE_RATES = {"login": "2/min", "write": "1000/min"}
    answers = [
        login(Client(headers={"X-Forwarded-For": f"10.0.0.{n}"}), "nobody", "x").status_code for n in range(4)
    ]
    cache.clear()
    assert answers == [401, 401, 429, 429]


def test_the_admin_s_login_is_throttled_with_it(settings: Any) -> None:
    cache.clear()
    Path(configured.STATIC_ROOT).mkdir(exist_ok=True)
    settings.THROTTLE_RATES = {"login": "2/min", "write": "1000/min"}
    said = []
    for n in range(4):
        page = Client().post("/admin/login/", {"username": f"n{n}", "password": "x", "next": "/admin/"})
        said.append(str(page.context["form"].non_field_errors()))
    cache.clear()
    assert ["slow down" in text for text in said] == [False, False, True, True]
    assert AuditEntry.objects.filter(action="auth.login").count() == 2


def test_a_session_ends_after_its_time_however_busy_it_is(settings: Any) -> None:
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/api/auth/me").status_code == 200
    session = client.session
    session["since"] = session["since"] - settings.SESSION_COOKIE_AGE - 1
    session.save()
    assert client.get("/api/auth/me").status_code == 401


def test_every_way_to_stop_goes_unthrottled(settings: Any) -> None:
    cache.clear()
    settings.THROTTLE_RATES = {"login": "1000/min", "write": "1/min"}
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")

    def post(path: str, **body: Any) -> int:
        return client.post(path, body, content_type="application/json").status_code

    assert [post("/api/ui/resume_request") for _ in range(2)] == [422, 429]
    assert post("/api/ui/approvals", action="ops.hold", input={}) == 200
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert post(f"/api/ui/approvals/{request.pk}/cancel") == 200
    assert post("/api/ui/approvals", action="ops.resume", input={}) == 429
    cache.clear()


def test_behind_our_proxy_a_lock_is_of_the_address_that_the_proxy_saw(settings: Any) -> None:
    """And not of what the client wrote to the left of it."""
    settings.TRUSTED_PROXIES = 1
    person("alice", password=PASSWORD)

    def from_(forwarded: str, password: str = PASSWORD) -> int:
        status: int = login(Client(headers={"X-Forwarded-For": forwarded}), password=password).status_code
        return status

    for n in range(settings.AXES_FAILURE_LIMIT):
        from_(f"10.1.1.{n}, 192.0.2.7", "wrong")
    assert from_("10.9.9.9, 192.0.2.7") == 429
    assert from_("192.0.2.7, 192.0.2.8") == 200


@pytest.mark.parametrize("forwarded", ["", "not an address", ", ,"])
def test_a_forwarding_header_that_is_none_is_the_peer(settings: Any, forwarded: str) -> None:
    settings.TRUSTED_PROXIES = 1
    request = logins.at_the_machine()
    request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert logins.address_of(request) == "127.0.0.1"


# --- at a terminal ---------------------------------------------------------------------


def test_no_secret_is_taken_from_the_command_line() -> None:
    person("alice", password=PASSWORD)
    words = ("act", "ops.change_own_password", "old=x", "new=y", "--user", "alice", "--password-stdin")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
        with pytest.raises(CommandError, match="old, new: not on the command line"):
            call_command(*words)


def test_secrets_are_lines_of_stdin_the_password_first() -> None:
    person("alice", password=PASSWORD)
    new = "another horse, another battery"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n{PASSWORD}\n{new}\n"))
        call_command(
            "act", "ops.change_own_password", "--user", "alice", "--password-stdin", stdout=io.StringIO()
        )
    assert person("alice").check_password(new)


def test_a_locked_name_is_locked_at_every_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five failures by three faces; then the right password opens none of them. Stopping needs none."""
    Path(configured.STATIC_ROOT).mkdir(exist_ok=True)
    person("alice", password=PASSWORD)

    def by_cli(password: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        return run("act", "ops.hold", "--user", "alice", "--password-stdin")[2]

    def by_admin(password: str) -> str:
        page = Client().post("/admin/login/", {"username": "alice", "password": password, "next": "/admin/"})
        return "" if page.context is None else str(page.context["form"].non_field_errors())

    for _ in range(2):
        assert "auth.failed: wrong name or password" in by_cli("wrong")
        assert "wrong name or password" in by_admin("wrong")
    assert login(Client(), password="wrong").json()["code"] in {"auth.failed", "auth.locked"}
    assert "auth.locked" in by_cli(PASSWORD)
    assert "too many failures" in by_admin(PASSWORD)
    assert login(Client()).json()["code"] == "auth.locked"
    assert not HoldCause.objects.exists()
    assert run("hold", "--as-os")[0] == 0
    assert HoldCause.objects.exists()


# --- what could not be undone, or not be told apart ----------------------------------------


@pytest.mark.parametrize(
    "name", ["аlice", "bоb", "d" * 81]
)  # Cyrillic а and о: a voter would read alice, bob
def test_a_name_that_misleads_or_does_not_fit_a_target_is_no_person_s(name: str) -> None:
    with pytest.raises(InvalidInput) as no:
        submit("ada", "ops.create_user", username=name, role="operator")
    assert {e["field"] for e in no.value.errors} == {"username"}


def test_the_longest_name_fits_every_target() -> None:
    """The database compares the whole of it: `risk_manager to user:<name>`."""
    name = "d" * 80
    vote("bob", ask("ada", "ops.create_user", username=name, role="viewer"))
    outcome = vote("bob", ask("ada", "ops.grant_role", username=name, role="risk_manager"))
    assert outcome.body["result"]["roles"] == ["risk_manager", "viewer"]


@pytest.mark.parametrize("policy", [{"quorum": 5}, {"vote_from": "auditor"}])
def test_the_policy_of_policies_is_not_put_out_of_everybody_s_reach(policy: dict[str, Any]) -> None:
    """Any other could be lowered again; this one is under itself."""
    with factories.arranged():
        User.objects.filter(username="carol").update(is_active=False)
        audit.touch(person("carol"))
    assert refused(submit, "rita", "ops.set_policy", action="ops.set_policy", **policy) == "policy.unmeetable"
    assert submit("rita", "ops.set_policy", action="ops.launch", **policy).status is Status.PENDING
