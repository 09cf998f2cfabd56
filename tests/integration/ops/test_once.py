"""`Idempotency-Key` (spec 3.1): a command is carried out once, however often it is sent."""

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from ops import audit, desk
from ops.actions import once, runner
from ops.actions.base import Outcome, Refusal, Source, Status
from ops.models import ApprovalRequest, AuditEntry, HoldCause, IdempotencyKey
from tests import factories
from tests.factories import actor, ask, person
from tests.in_process import Caller, Reply

HOLD, SAFE, APPROVALS = "/api/ui/hold", "/api/v1/actions/ops.safe_mode", "/api/ui/approvals"
pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def post(who: str | Caller, path: str, key: str = "k1", /, **body: Any) -> Reply:
    caller = who if isinstance(who, Caller) else Caller(person(who))
    return caller.send("POST", path, json.dumps(body).encode(), Idempotency_Key=key)


def effects() -> dict[str, int]:
    kept = (HoldCause, ApprovalRequest, AuditEntry, IdempotencyKey)
    return {model.__name__: model._default_manager.count() for model in kept}


def replayed(first: Reply, again: Reply) -> None:
    """The same answer to the letter, and it says that it is one; a refusal's own request id aside."""
    ids = {"request_id"}
    assert again.status == first.status
    assert {k: v for k, v in again.body.items() if k not in ids} == {
        k: v for k, v in first.body.items() if k not in ids
    }


@pytest.fixture(autouse=True)
def static(settings: Any) -> None:
    """Or whitenoise warns of it."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)


# --- the first answer again ----------------------------------------------------------

COMMANDS: list[tuple[int, str, str, dict[str, Any]]] = [
    (200, "alice", HOLD, {"reason": "lunch"}),
    (202, "alice", SAFE, {"enabled": False, "reason": "ready"}),
    (202, "alice", APPROVALS, {"action": "ops.resume", "reason": "ready"}),
    (403, "victor", HOLD, {"reason": "lunch"}),
    (404, "alice", "/api/v1/actions/ops.explode", {}),
    (409, "alice", SAFE, {"enabled": True}),
    (422, "alice", SAFE, {"enabled": "no"}),
    (422, "alice", HOLD, {"scope": "venue", "key": ""}),
]


@pytest.mark.parametrize(("status", "name", "path", "body"), COMMANDS)
def test_sent_again_it_is_answered_as_the_first_time(
    status: int, name: str, path: str, body: dict[str, Any]
) -> None:
    caller = Caller(person(name))
    first = post(caller, path, **body)
    assert first.status == status, first.body
    assert "idempotent-replayed" not in first.headers
    after_first = effects()
    for _ in range(2):
        again = post(caller, path, **body)
        replayed(first, again)
        if status < 300:
            assert again.headers["idempotent-replayed"] == "true"
    assert effects() == after_first
    assert after_first["IdempotencyKey"] == 1


def test_the_first_answer_stands_also_when_the_world_has_moved_on() -> None:
    """Not what is true now: what was answered then."""
    first = post("alice", SAFE, enabled=False, reason="ready")
    request = ApprovalRequest.objects.get()
    factories.vote("bob", request)
    again = post("alice", SAFE, enabled=False, reason="ready")
    assert again["approval"]["state"] == first["approval"]["state"] == "pending"
    assert not desk.get_state().safe_mode


@pytest.mark.parametrize("verb", ["approve", "reject", "cancel", "withdraw", "apply"])
def test_every_verb_on_a_request_is_carried_out_once(verb: str) -> None:
    factories.make_desk(quorum=2)
    request = ask("alice", "ops.safe_mode", enabled=False)
    if verb in {"withdraw", "apply"}:
        factories.vote("bob", request)
    body = {"digest": request.digest, "comment": "x"} if verb in {"approve", "reject"} else {}
    who = Caller(person("alice" if verb == "cancel" else "bob"))
    path = f"{APPROVALS}/{request.pk}/{verb}"
    first = post(who, path, **body)
    assert first.status == (409 if verb == "apply" else 202 if verb == "approve" else 200), first.body
    after_first = (effects(), request.votes.count())
    replayed(first, post(who, path, **body))
    assert (effects(), request.votes.count()) == after_first


# --- another command, person or face ---------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (HOLD, {"reason": "another"}),
        (HOLD, {"reason": "lunch", "scope": "desk"}),
        ("/api/ui/resume_request", {"reason": "lunch"}),
        (SAFE, {"enabled": True, "reason": "lunch"}),
    ],
)
def test_another_command_under_the_same_key_is_a_mistake(path: str, body: dict[str, Any]) -> None:
    post("alice", HOLD, reason="lunch")
    before = effects()
    other = post("alice", path, **body)
    assert (other.status, other["code"]) == (422, "idempotency.mismatch")
    assert effects() == before


def test_the_order_of_a_body_s_fields_does_not_matter() -> None:
    caller = Caller(person("alice"))
    sent = [b'{"scope": "venue", "key": "okx"}', b'{ "key":"okx","scope":"venue" }']
    replies = [caller.send("POST", HOLD, raw, Idempotency_Key="k") for raw in sent]
    assert [r.status for r in replies] == [200, 200]
    assert HoldCause.objects.count() == 1


def test_a_key_is_one_person_s_and_one_face_s() -> None:
    for name, source in (("alice", Source.REST), ("bob", Source.REST), ("alice", Source.ADMIN)):
        outcome = runner.submit(
            "ops.hold", actor=actor(name), data={}, source=source, idempotency_key="the same"
        )
        assert not outcome.repeated
    assert HoldCause.objects.count() == 3


def test_without_a_key_nothing_is_promised_and_nothing_kept() -> None:
    for _ in range(2):
        assert Caller(person("alice")).post(HOLD, reason="x").status == 200
    assert HoldCause.objects.count() == 2
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("key", ["x" * 101, "é", "tab\tbed", "half\x7f"])
def test_a_key_that_cannot_be_kept_is_refused(key: str) -> None:
    with pytest.raises(Refusal) as no:
        runner.submit("ops.hold", actor=actor("alice"), data={}, source=Source.REST, idempotency_key=key)
    assert (no.value.code, no.value.status) == ("idempotency.key", 422)
    assert not HoldCause.objects.exists()


def test_the_longest_key_fits() -> None:
    assert post("alice", HOLD, "k" * 100).status == 200
    replayed(post("alice", HOLD, "k" * 100), post("alice", HOLD, "k" * 100))


def test_what_was_said_is_kept_as_a_fingerprint_only() -> None:
    post("alice", SAFE, enabled=False, reason="a very private reason")
    row = IdempotencyKey.objects.get()
    assert len(row.fingerprint) == 64
    assert (row.actor_name, row.key) == ("alice", "rest:k1")


# --- one day -------------------------------------------------------------------------


def test_answers_are_forgotten_after_a_day() -> None:
    post("alice", HOLD, "old")
    post("alice", HOLD, "young")
    IdempotencyKey.objects.filter(key="rest:old").update(
        at=timezone.now() - once.KEPT_FOR - timedelta(seconds=1)
    )
    assert once.prune() == 1
    assert [row.key for row in IdempotencyKey.objects.all()] == ["rest:young"]
    assert post("alice", HOLD, "old").headers.get("idempotent-replayed") is None
    assert HoldCause.objects.count() == 3


# --- both or neither -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestTogether:
    """Effect and answer are one transaction: real commits, real second connections."""

    def test_a_crash_at_the_commit_leaves_neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*_: Any, **__: Any) -> None:
            raise Crash

        with monkeypatch.context() as broken:
            broken.setattr(audit, "append", crash)  # the last statement before the commit
            with pytest.raises(Crash):
                keyed()
        assert (HoldCause.objects.count(), IdempotencyKey.objects.count()) == (0, 0)
        assert not keyed().repeated
        assert (HoldCause.objects.count(), IdempotencyKey.objects.count()) == (1, 1)

    def test_an_answer_that_cannot_be_kept_takes_its_effect_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crash(*_: Any) -> None:
            raise Crash

        with monkeypatch.context() as broken:
            broken.setattr(once, "_keep", crash)
            with pytest.raises(Crash):
                keyed()
        assert (HoldCause.objects.count(), IdempotencyKey.objects.count()) == (0, 0)
        assert not AuditEntry.objects.filter(action="ops.hold").exists()

    def test_a_commit_that_the_database_refuses_leaves_neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A control row that nobody names: found at COMMIT, after everything else was written."""
        real = audit.touch

        def forgetful(*rows: Any) -> None:
            real(*(row for row in rows if not isinstance(row, HoldCause)))

        with monkeypatch.context() as broken:
            broken.setattr(audit, "touch", forgetful)
            with pytest.raises(Exception, match="no audit entry of this transaction names it"):
                keyed()
        assert (HoldCause.objects.count(), IdempotencyKey.objects.count()) == (0, 0)
        assert not keyed().repeated

    def test_while_the_first_still_runs_the_second_is_told_so(self) -> None:
        """The first is held at the desk's row, by a third connection."""
        with held_at_the_desk(keyed) as answers:
            with pytest.raises(Refusal) as no:
                keyed()
            assert (no.value.code, no.value.status) == ("idempotency.running", 409)
            with pytest.raises(Refusal, match="still runs"):  # also with another body: it is not looked at
                keyed(reason="another")
        assert [outcome.status for outcome in answers] == [Status.EXECUTED]
        assert keyed().repeated
        assert HoldCause.objects.count() == 1

    def test_another_key_does_not_wait_for_it(self) -> None:
        with held_at_the_desk(keyed):
            runner.submit(
                "trading.flatten", actor=actor("bob"), data={}, source=Source.REST, idempotency_key="k1"
            )

    def test_whose_process_died_holds_no_key(self) -> None:
        """The lock is the session's: gone with it."""
        number = int.from_bytes(hashlib.sha256(b"alice\nrest:k1").digest()[:8], signed=True)

        def die() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [number])
            with pytest.raises(Refusal, match="still runs"):
                in_thread(keyed)
            connection.close()

        in_thread(die)
        assert keyed().status is Status.EXECUTED


class Crash(Exception):
    pass


def keyed(reason: str = "x") -> Outcome:
    return runner.submit(
        "ops.hold", actor=actor("alice"), data={}, reason=reason, source=Source.REST, idempotency_key="k1"
    )


def in_thread(work: Callable[[], Any]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if failures:
        raise failures[0]


class held_at_the_desk:  # noqa: N801 (reads as a verb)
    """`with held_at_the_desk(call) as answers`: inside, `call` runs and cannot end."""

    def __init__(self, call: Callable[[], Outcome]) -> None:
        self.answers: list[Outcome] = []
        self.call = call
        self.block = transaction.atomic()

    def __enter__(self) -> list[Outcome]:
        self.holding, self.let_go = threading.Event(), threading.Event()
        self.holder = threading.Thread(target=self._hold)
        self.holder.start()
        assert self.holding.wait(10)
        self.first = threading.Thread(target=self._run)
        self.first.start()
        _until(lambda: _somebody_waits())
        return self.answers

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self.first.join(30)
        self.holder.join(30)

    def _hold(self) -> None:
        with transaction.atomic():
            desk.lock()
            self.holding.set()
            self.let_go.wait(30)
        connection.close()

    def _run(self) -> None:
        self.answers.append(self.call())
        connection.close()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks w JOIN pg_locks a ON a.pid = w.pid"
            " WHERE NOT w.granted AND a.locktype = 'advisory' AND a.granted AND a.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        return bool(cursor.fetchone()[0])


def _until(true: Callable[[], bool]) -> None:
    for _ in range(50_000):
        if true():
            return
    raise AssertionError("nobody came to wait")
