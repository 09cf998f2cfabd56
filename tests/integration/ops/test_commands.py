"""The command line: a face like the others, and what an auditor types."""

import io
import json
import sys
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from ops import audit, desk
from ops.models import ApprovalRequest, AuditEntry, Mode
from ops.tasks import expire_requests
from tests import factories
from tests.database import tamper
from tests.factories import PASSWORD, ask, person, resume, submit
from tests.integration.ops.test_approvals import let_time_pass

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=err)
    except SystemExit as left:
        return int(str(left.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Any:
    person("alice", password=PASSWORD)

    def act(*words: str, password: str = PASSWORD) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
        return run("act", *words, "--user", "alice", "--password-stdin")

    return act


def test_a_person_acts(act: Any) -> None:
    resume()
    code, out, _ = act("ops.hold", "--reason", "lunch")
    assert (code, "executed (audit " in out) == (0, True)
    assert desk.get_state().mode == Mode.HOLD
    entry = AuditEntry.objects.latest("seq")
    assert (entry.actor_name, entry.source, entry.reason) == ("alice", "cli", "lunch")


def test_the_answer_as_json_is_that_of_rest(act: Any) -> None:
    code, out, _ = act("ops.safe_mode", "enabled=false", "--reason", "x", "--json")
    body = json.loads(out)
    assert (code, body["status"]) == (3, "pending_approval")
    assert body["approval"]["digest"] == ApprovalRequest.objects.get().digest
    assert body["audit_seq"] == AuditEntry.objects.latest("seq").seq


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("ops.explode",), "action.unknown"),
        (("ops.safe_mode",), "input.invalid"),
        (("ops.safe_mode", "enabled=maybe"), "input.invalid"),
        (("ops.hold", "note=x"), "input.invalid"),
        (("ops.safe_mode", "enabled=false"), "reason.required"),
    ],
)
def test_a_refusal_names_its_code_and_exits_with_1(act: Any, words: tuple[str, ...], refusal: str) -> None:
    code, _, err = act(*words)
    assert (code, f"refused: {refusal}" in err) == (1, True)
    code, out, _ = act(*words, "--json")
    assert (code, json.loads(out)["code"]) == (1, refusal)


@pytest.mark.django_db(transaction=True)
def test_a_wrong_password_is_refused_and_on_record(act: Any) -> None:
    code, _, err = act("ops.hold", password="wrong")
    assert (code, "auth.failed" in err) == (1, True)
    assert AuditEntry.objects.filter(action="auth.login", code="auth.failed", source="cli").count() == 1
    assert list(desk.causes()) == []


def test_a_word_without_a_value_is_a_mistake(act: Any) -> None:
    with pytest.raises(CommandError, match="name=value"):
        act("ops.hold", "lunch")


def test_audit_verify() -> None:
    submit("alice", "ops.hold")
    last = audit.last_seq()
    code, out, _ = run("audit", "verify")
    assert (code, f"holds: {last} entries, head {last}" in out) == (0, True)
    tamper(f"UPDATE ops_auditentry SET reason = 'x' WHERE seq = {last}")
    code, out, _ = run("audit", "verify")
    assert (code, f"broken at entry {last}" in out) == (1, True)
    code, out, _ = run("audit", "verify", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["bad_seq"], found["entries"]) == (1, False, last, last - 1)


def test_showconfig_shows_everything_but_secrets() -> None:
    code, out, _ = run("showconfig")
    shown = dict(line.split("=", 1) for line in out.splitlines())
    assert code == 0
    assert shown["EXCHANGE_PROFILE"] == "paper"
    assert shown["SECRET_KEY"] in {"<set>", "<default>"}
    assert settings.SECRET_KEY not in out
    assert settings.AUDIT_HMAC_KEY not in out
    assert settings.DATABASES["default"]["USER"] not in shown["DATABASE_URL"]
    assert json.loads(run("showconfig", "--json")[1]) == shown


def test_the_beat_answers_requests_whose_time_is_over() -> None:
    from cryptobot.celery import BEAT, app

    request = ask("alice", "ops.safe_mode", enabled=False)
    expire_requests()
    request.refresh_from_db()
    assert request.state == "pending"
    let_time_pass(request)
    expire_requests()
    request.refresh_from_db()
    assert request.state == "expired"
    assert desk.get_state().safe_mode
    assert BEAT["expire_requests"]["task"] in app.tasks
    factories.ask("bob", "ops.safe_mode", enabled=False)
