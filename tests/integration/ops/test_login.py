"""Coming in: lock-out, second factor, idle sessions, throttling, passwords that somebody else chose."""

import time
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django_otp.oath import totp as totp_now

from ops import audit, second_factor
from ops.actions import approvals
from ops.actions.base import Refusal, Source
from ops.models import AuditEntry, SecondFactor, User
from tests import factories
from tests.factories import PASSWORD, actor, ask, person, submit

pytestmark = pytest.mark.usefixtures("house", "own_checklist")

LOGIN = "/api/auth/login"


def login(client: Client, name: str = "alice", password: str = PASSWORD, **more: str) -> Any:
    body = {"username": name, "password": password, **more}
    return client.post(LOGIN, body, content_type="application/json")


def enrol(name: str) -> bytes:
    """A confirmed factor, by the actions; returns its key."""
    submit(name, "ops.enrol_second_factor")
    factor = SecondFactor.objects.get(user=person(name))
    key = second_factor.key_of(factor)
    submit(name, "ops.confirm_second_factor", code=code(key, -1))
    return key


def code(key: bytes, step: int = 0) -> str:
    """The code of a step from now; each is good once, so tests use -1, 0, 1."""
    return f"{totp_now(key, t0=-step * second_factor.STEP_SEC):06}"


def codes_on_record() -> list[str]:
    return list(AuditEntry.objects.filter(action="auth.login").order_by("seq").values_list("code", flat=True))


def test_a_wrong_name_and_a_wrong_password_look_the_same() -> None:
    person("alice", password=PASSWORD)
    answers = [login(Client(), "alice", "wrong"), login(Client(), "nobody", "wrong")]
    assert [(a.status_code, a.json()["code"], a.json()["detail"]) for a in answers] == [
        (401, "auth.failed", "wrong name or password")
    ] * 2
    assert codes_on_record() == ["auth.failed"] * 2


def test_five_failures_lock_the_name_from_that_address_and_not_from_another() -> None:
    person("alice", password=PASSWORD)
    person("bob", password=PASSWORD)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        login(Client(), "alice", "wrong")
    locked = login(Client())
    assert (locked.status_code, locked.json()["code"]) == (429, "auth.locked")
    assert login(Client(), "bob").status_code == 200
    assert login(Client(REMOTE_ADDR="10.0.0.9")).status_code == 200
    assert "auth.locked" in codes_on_record()


def test_a_second_factor_is_asked_for_at_login_and_each_code_is_good_once() -> None:
    person("alice", password=PASSWORD)
    key = enrol("alice")
    assert login(Client()).json()["code"] == "totp.required"
    assert login(Client(), totp="000000").json()["code"] == "totp.wrong"
    fresh = code(key)
    assert login(Client(), totp=fresh).status_code == 200
    assert login(Client(), totp=fresh).json()["code"] == "totp.wrong"


def test_five_wrong_codes_lock_the_factor() -> None:
    key = enrol("bob")
    factor = SecondFactor.objects.get(user=person("bob"))
    for _ in range(second_factor.MAX_FAILURES):
        with pytest.raises(Refusal) as no:
            second_factor.check(SecondFactor.objects.get(pk=factor.pk), "123")
        assert no.value.code == "totp.wrong"
    with pytest.raises(Refusal) as no:
        second_factor.check(SecondFactor.objects.get(pk=factor.pk), code(key))
    assert no.value.code == "totp.locked"


def test_voting_asks_for_a_fresh_code_where_there_is_a_factor() -> None:
    key = enrol("bob")
    request = ask("alice", "ops.safe_mode", enabled=False)
    vote: dict[str, Any] = {
        "actor": actor("bob"),
        "verdict": "approve",
        "digest": request.digest,
        "source": Source.REST,
    }
    for wrong, said in (("", "totp.required"), ("999999", "totp.wrong")):
        with pytest.raises(Refusal) as no:
            approvals.vote(request.pk, totp=wrong, **vote)
        assert no.value.code == said
    assert not request.votes.exists()
    assert approvals.vote(request.pk, totp=code(key), **vote).status == "executed"


def test_live_needs_enrolment_to_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    live = settings.ENV.model_copy(update={"exchange_profile": "live"})
    monkeypatch.setattr(settings, "ENV", live)
    with pytest.raises(Refusal) as no:
        second_factor.require(person("bob"), "")
    assert no.value.code == "totp.not_enrolled"


def test_no_key_and_no_code_is_on_record() -> None:
    key = enrol("alice")
    everything = str(list(AuditEntry.objects.values()))
    assert key.hex() not in everything
    assert code(key, -1) not in everything
    assert key.hex() not in str(list(SecondFactor.objects.values()))


def test_one_s_own_password() -> None:
    person("alice", password=PASSWORD)
    here, elsewhere = Client(), Client()
    assert login(here).status_code == login(elsewhere).status_code == 200

    def change(**said: str) -> Any:
        return here.post("/api/auth/password", said, content_type="application/json")

    new = "a much longer passphrase 77"
    wrong = change(old="no", new=new)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "password.wrong")
    weak = change(old=PASSWORD, new="password")
    assert (weak.status_code, weak.json()["code"]) == (422, "input.invalid")
    assert change(old=PASSWORD, new=new).status_code == 200
    assert here.get("/api/auth/me").status_code == 200  # this session goes on, the others end
    assert elsewhere.get("/api/auth/me").status_code == 401
    assert login(Client(), password=new).status_code == 200
    record = str(list(AuditEntry.objects.values()))
    assert new not in record
    assert PASSWORD not in record


def test_who_has_another_s_password_may_stop_and_change_it_and_nothing_else() -> None:
    with factories.arranged():
        User.objects.filter(username="alice").update(must_change_password=True)
        audit.touch(person("alice"))
    person("alice", password=PASSWORD)
    with pytest.raises(Refusal) as no:
        ask("alice", "ops.safe_mode", enabled=False)
    assert no.value.code == "password.must_change"
    assert submit("alice", "ops.hold").status == "executed"
    submit("alice", "ops.change_own_password", old=PASSWORD, new="my own passphrase 4711")
    ask("alice", "ops.safe_mode", enabled=False)


def test_a_browser_left_alone_is_logged_out(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/api/auth/me").status_code == 200
    session = client.session
    session["seen"] = int(time.time()) - settings.SESSION_IDLE_SEC - 1
    session.save()
    assert client.get("/api/auth/me").status_code == 401


def test_writes_are_throttled_and_stops_are_not(settings: Any) -> None:
    cache.clear()
    settings.THROTTLE_RATES = {"login": "1000/min", "write": "2/min"}
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")

    def post(path: str) -> int:
        return client.post(path, {}, content_type="application/json").status_code

    assert [post("/api/ui/resume_request") for _ in range(3)] == [422, 422, 429]
    assert [post("/api/ui/hold") for _ in range(5)] == [200] * 5
    cache.clear()


def test_a_broker_that_is_gone_throttles_nobody(settings: Any) -> None:
    gone = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": gone}
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post("/api/ui/resume_request", {"reason": "x"}, content_type="application/json")
    assert answer.status_code in {202, 409}


def test_one_s_own_factor_goes_with_a_code_and_not_in_live(monkeypatch: pytest.MonkeyPatch) -> None:
    key = enrol("alice")

    def refused(digits: str) -> str:
        with pytest.raises(Refusal) as no:
            submit("alice", "ops.remove_own_second_factor", code=digits)
        return no.value.code

    assert refused("000000") == "totp.wrong"
    live = settings.ENV.model_copy(update={"exchange_profile": "live"})
    with monkeypatch.context() as patched:
        patched.setattr(settings, "ENV", live)
        assert refused(code(key)) == "totp.live"
    assert second_factor.enrolled(person("alice"))
    submit("alice", "ops.remove_own_second_factor", code=code(key, 1))
    assert not SecondFactor.objects.exists()
    assert refused(code(key, 1)) == "totp.none"
