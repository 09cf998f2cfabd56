"""Personal tokens: issued by an action, sealed for their owner, scoped, expiring, never good for a vote."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ops import audit, secrets_for
from ops.actions import approvals, runner
from ops.actions.base import Actor, Credential, Refusal, Source
from ops.actions.inputs import InvalidInput
from ops.models import ApprovalRequest, AuditEntry, IdempotencyKey, SealedSecret, Token
from tests import factories
from tests.factories import actor, ask, person, submit, vote

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def me(token: str) -> Any:
    return Client(headers={"Authorization": f"Token {token}"}).get("/api/auth/me")


def issue(name: str = "alice", scopes: str = "*", **more: Any) -> str:
    outcome = submit(name, "ops.issue_token", name="bot", scopes=scopes, **more)
    return secrets_for.open_for(person(name), outcome.body["result"]["secret"], source=Source.REST)


def test_its_owner_reads_it_once_and_it_works() -> None:
    outcome = submit("alice", "ops.issue_token", name="bot", scopes="ops.hold", days=1)
    secret = outcome.body["result"]["secret"]
    with pytest.raises(Refusal) as no:
        secrets_for.open_for(person("bob"), secret, source=Source.REST)
    assert no.value.code == "secret.unknown"
    text = secrets_for.open_for(person("alice"), secret, source=Source.REST)
    with pytest.raises(Refusal) as no:
        secrets_for.open_for(person("alice"), secret, source=Source.REST)
    assert no.value.code == "secret.gone"
    assert me(text).json()["username"] == "alice"
    kept = [*AuditEntry.objects.values(), *IdempotencyKey.objects.values(), *SealedSecret.objects.values()]
    assert text not in str([*kept, *Token.objects.values()])


@pytest.mark.parametrize("scopes", ["", "everything", "ops.hold,ops.explode"])
def test_a_scope_is_an_action_read_or_everything(scopes: str) -> None:
    with pytest.raises(InvalidInput):
        submit("alice", "ops.issue_token", name="bot", scopes=scopes)
    assert not Token.objects.exists()


def test_a_token_does_what_its_scopes_say_and_reads() -> None:
    program = Client(headers={"Authorization": f"Token {issue(scopes='ops.hold')}"})
    assert program.get("/api/ui/approvals").status_code == 200
    assert program.post("/api/ui/hold", {}, content_type="application/json").status_code == 200
    body = {"enabled": False, "reason": "x"}
    no = program.post("/api/v1/actions/ops.safe_mode", body, content_type="application/json")
    assert (no.status_code, no.json()["code"]) == (403, "token.scope")
    assert not ApprovalRequest.objects.exists()


def test_a_token_neither_votes_nor_touches_credentials() -> None:
    program = actor("bob", Credential.TOKEN)
    request = ask("alice", "ops.safe_mode", enabled=False)
    with pytest.raises(Refusal) as no:
        approvals.vote(
            request.pk, actor=program, verdict="approve", digest=request.digest, source=Source.REST
        )
    assert no.value.code == "vote.token"
    for name, data in (
        ("ops.issue_token", {"name": "another", "scopes": "*"}),
        ("ops.enrol_second_factor", {}),
        ("ops.change_own_password", {"old": "x", "new": "y"}),
    ):
        with pytest.raises(Refusal) as no:
            runner.submit(name, actor=program, data=data, source=Source.REST)
        assert no.value.code == "credential.token"


def test_somebody_else_s_token_needs_approval_and_is_sealed_for_its_owner() -> None:
    request = ask("root", "ops.issue_token", username="bob", name="bot", scopes="read")
    assert not Token.objects.exists()
    outcome = vote("carol", request)
    secret = SealedSecret.objects.get()
    assert (secret.reader.username, outcome.body["result"]["reader"]) == ("bob", "bob")
    assert Token.objects.get().user.username == "bob"


def test_an_expired_token_is_refused_and_stays_on_record() -> None:
    old, good = issue(), issue()
    with factories.arranged():
        row = Token.objects.get(token_key=old[:15])
        row.expiry = timezone.now() - timedelta(seconds=1)
        row.save()
        audit.touch(row)
    assert me(old).status_code == 401
    assert me(good).json()["username"] == "alice"
    assert Token.objects.count() == 2


def test_a_token_with_another_tail_is_refused() -> None:
    good = issue()
    assert me(good[:-1] + ("0" if good[-1] != "0" else "1")).status_code == 401


def test_a_revoked_token_is_gone_at_once() -> None:
    text = issue("alice")
    with pytest.raises(Refusal) as no:
        submit("bob", "ops.revoke_token", token=text[:15])
    assert no.value.code == "token.not_yours"
    assert me(text).status_code == 200
    assert submit("alice", "ops.revoke_token", token=text[:15]).status == "executed"
    assert me(text).status_code == 401
    with pytest.raises(Refusal) as no:
        submit("alice", "ops.revoke_token", token=text[:15])
    assert no.value.code == "token.unknown"


def test_a_login_of_the_host_may_end_a_token_and_hold_and_nothing_else() -> None:
    text = issue("alice")
    host = Actor.of_host("deploy")
    for name, data in (("ops.revoke_token", {"token": text[:15]}), ("ops.hold", {})):
        runner.submit(name, actor=host, data=data, source=Source.CLI)
        assert AuditEntry.objects.latest("seq").actor_name == "os:deploy"
    others: list[tuple[str, dict[str, Any]]] = [
        ("ops.safe_mode", {"enabled": False}),
        ("ops.resume", {}),
        ("ops.issue_token", {}),
    ]
    for name, data in others:
        with pytest.raises(Refusal) as no:
            runner.submit(name, actor=host, data=data, reason="x", source=Source.CLI)
        assert no.value.code in {"os.stops_only", "input.invalid"}
