"""One code, one secret, one name: two that come for it at the same moment."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from django_otp.oath import totp

from ops import audit, second_factor, secrets_for
from ops.actions.base import Refusal, Source
from ops.config import versions
from ops.models import AuditEntry, SealedSecret, SecondFactor, User
from tests import factories
from tests.concurrency.test_incident_races import together
from tests.factories import ask, person, submit, vote

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE, ROUNDS = 4, 6


@pytest.fixture(autouse=True)
def house() -> Iterator[None]:
    factories.make_desk()
    yield
    versions.forget()


def factor_of(name: str, key: bytes = b"k" * 20) -> SecondFactor:
    user = person(name)
    with factories.arranged():
        row = SecondFactor.objects.create(
            user=user, key=second_factor.sealed_key(user, key), confirmed_at=timezone.now()
        )
        audit.touch(row)
    return row


def try_code(pk: int, code: str) -> str:
    try:
        second_factor.check(SecondFactor.objects.get(pk=pk), code)
    except Refusal as no:
        return no.code
    return "right"


def test_one_code_lets_one_in() -> None:
    pk = factor_of("bob").pk
    for _ in range(ROUNDS):
        SecondFactor.objects.filter(pk=pk).update(last_t=-1, failures=0, locked_until=None)
        code = f"{totp(b'k' * 20):06}"
        got = together(*[lambda code=code: try_code(pk, code)] * AT_ONCE)
        assert sorted(got) == ["right", *["totp.wrong"] * (AT_ONCE - 1)]


def test_wrong_codes_at_once_are_all_counted() -> None:
    """Guessing in parallel is no faster: the fifth locks, however they come."""
    pk = factor_of("bob").pk
    together(*[lambda: try_code(pk, "x")] * second_factor.MAX_FAILURES)
    assert try_code(pk, f"{totp(b'k' * 20):06}") == "totp.locked"


def test_a_secret_is_read_once_however_many_ask() -> None:
    for _ in range(ROUNDS):
        outcome = submit("alice", "ops.issue_token", name="bot", scopes="read")
        secret = UUID(outcome.body["result"]["secret"])

        def read(secret: UUID = secret) -> str:
            try:
                return secrets_for.open_for(person("alice"), secret, source=Source.REST)
            except Refusal as no:
                return no.code

        got = together(*[read] * AT_ONCE)
        assert sorted(got)[-AT_ONCE + 1 :] == ["secret.gone"] * (AT_ONCE - 1)
        assert len({text for text in got if text != "secret.gone"}) == 1
        opened = AuditEntry.objects.filter(action="secret.open", target=secret)
        assert sorted(opened.values_list("verdict", flat=True)) == ["executed", *["refused"] * (AT_ONCE - 1)]
        assert SealedSecret.objects.get(pk=secret).sealed == ""


def test_a_vote_that_meets_the_reset_of_its_voter() -> None:
    """Either bob's vote came first and counts, or he is under embargo and it does not."""
    for _ in range(ROUNDS):
        with factories.arranged():
            bob = person("bob")
            User.objects.filter(pk=bob.pk).update(no_vote_until=None, must_change_password=False)
            audit.touch(bob)
        submit("carol", "ops.post_only", enabled=True)
        wanted = ask("alice", "ops.post_only", enabled=False)
        reset = ask("root", "ops.reset_password", username="bob")

        def said(name: str, request: object) -> str:
            try:
                return vote(name, request).status.value  # type: ignore[arg-type]
            except Refusal as no:
                return no.code

        got = together(lambda: said("bob", wanted), lambda: said("carol", reset))  # noqa: B023
        assert got[1] == "executed"
        assert got[0] in {"executed", "vote.embargo", "vote.refused", "password.must_change"}
        wanted.refresh_from_db()
        assert (wanted.execution_state == "executed") == (got[0] == "executed")
        until = User.objects.get(username="bob").no_vote_until
        assert until is not None
        assert until > timezone.now() + timedelta(hours=23)
        if wanted.open:
            vote("carol", wanted)
