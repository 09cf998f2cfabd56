"""Every action × every person × every face that can carry them: one verdict, one effect, one audit entry.

The runner itself is the reference. Each face starts from the same rows: what it did is undone before the
next. A new action needs a row in `INPUTS`, or `test_every_action_is_in_the_table` says so.
"""

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP
from guardian.models import UserObjectPermission
from guardian.shortcuts import assign_perm

from leadership.models import Lease
from ops import audit, second_factor
from ops.actions import registry, runner
from ops.actions.base import Actor, Credential, Refusal, Source
from ops.actions.inputs import describe
from ops.models import AuditEntry, DeskState, Envelope, Incident, SecondFactor, Token, User
from risk.models import GuardState
from tests import factories
from tests.factories import PASSWORD, person
from tests.in_process import paper_venues
from tests.integration.ops.test_database_controls import execution, order
from tests.integration.trading.execution.bench import A, Bench, configure
from trading.models import ReconciliationBreak, Venue
from trading.venues import get_hub

pytestmark = pytest.mark.usefixtures("house", "own_checklist")
Data = dict[str, Any]


# --- a valid input of each action, and the rows it needs ----------------------------


Arrange = Callable[[str], Data]  # for a person of that name


def always(**data: Any) -> Arrange:
    return lambda who: dict(data)


def off(column: str) -> Arrange:
    """Switching a protection off: first it is on."""

    def arrange(who: str) -> Data:
        if not getattr(DeskState.objects.get(), column):
            factories.submit("carol", f"ops.{column}", enabled=True)
        return {"enabled": False}

    return arrange


ENVELOPE = {
    "pair": "BTCUSDT",
    "venues": "binanceusdm,okx",
    "max_notional": "2000",
    "min_edge_bps": "1.5",
    "max_slippage_bps": "1",
    "count": 3,
    "minutes": 60,
}


def an_envelope(who: str) -> Data:
    factories.vote("bob", factories.ask("carol", "trading.grant_envelope", **ENVELOPE))
    return {"envelope_id": str(Envelope.objects.latest("created_at").pk)}


def an_execution(who: str) -> Data:
    return {"execution_id": str(execution(state="BALANCED").pk)}


def a_residual(**data: Any) -> Arrange:
    return lambda who: {"execution_id": str(execution(state="RESIDUAL_HELD").pk), **data}


def a_break(who: str) -> Data:
    now = timezone.now()
    row = ReconciliationBreak.objects.create(
        venue="okx",
        kind="position",
        symbol="BTC/USDT:USDT",
        key="x",
        amount=Decimal(1),
        opened_at=now,
        last_seen_at=now,
    )
    return {"break_id": str(row.pk), "amount": "1"}


def an_order_in_doubt(who: str) -> Data:
    configure()
    sent = {"sent_at": timezone.now() - timedelta(minutes=1)}
    row = order(execution(state="UNKNOWN"), state="UNKNOWN", **sent)
    return {"client_order_id": row.client_order_id, "verdict": "absent", "evidence": "ticket 17"}


def a_market(who: str) -> Data:
    configure()
    factories.safe_mode_off()
    factories.resume()
    return {"symbol": "BTCUSDT", "long_venue": A, "notional": "1000"}


def an_incident(state: str = "open", *, shelved: bool = False, **data: Any) -> Arrange:
    def arrange(who: str) -> Data:
        values = {"shelved_until": timezone.now() + timedelta(hours=1)} if shelved else {}
        with factories.arranged():
            row = Incident.objects.create(
                code="manual",
                source="test",
                severity="P1",
                component="desk",
                summary="x",
                state=state,
                **values,
            )
            audit.touch(row)
        return {"incident_id": str(row.pk), **data}

    return arrange


KEY = b"twenty bytes of a key"[:20]


def a_code(*, confirmed: bool) -> Arrange:
    """Of a second factor that the person has, or has just made."""

    def arrange(who: str) -> Data:
        user = person(who)
        with factories.arranged():
            row = SecondFactor.objects.create(
                user=user,
                key=second_factor.sealed_key(user, KEY),
                confirmed_at=timezone.now() if confirmed else None,
            )
            audit.touch(row)
        return {"code": code_of()}

    return arrange


def code_of(*, steps_ago: int = 0) -> str:
    clock = TOTP(KEY)
    clock.time = time.time() - 30 * steps_ago
    return f"{clock.token():06}"


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    before = settings.ENV
    yield
    settings.ENV = before


@pytest.fixture(autouse=True)
def in_the_middle_of_a_step(request: pytest.FixtureRequest) -> Iterator[None]:
    """So that no code of a second factor grows old within one test. Venues would mind: not for them."""
    if "second_factor" not in request.node.name:
        yield
        return
    with time_machine.travel(time.time() // 30 * 30 + 15):
        yield


def a_password(who: str) -> Data:
    person(who, password=PASSWORD)
    return {"old": PASSWORD, "new": "another horse, another battery"}


def somebody(*, active: bool = True, **data: Any) -> Arrange:
    """Done to dora, who is of no role yet."""

    def arrange(who: str) -> Data:
        user = person("dora")
        with factories.arranged():
            User.objects.filter(pk=user.pk).update(is_active=active)
            audit.touch(user)
        return {"username": "dora", **data}

    return arrange


def a_role_held(who: str) -> Data:
    person("dora", role="operator")
    return {"username": "dora", "role": "operator"}


RIGHT = {"permission": "trading.execute", "object_id": "okx", "holder": "user:victor"}


def a_right(*, held: bool) -> Arrange:
    def arrange(who: str) -> Data:
        okx = Venue.objects.get_or_create(name="okx")[0]
        if held:
            with factories.arranged():
                assign_perm("trading.execute", person("victor"), okx)
                audit.touch(UserObjectPermission.objects.get(object_pk="okx"))
        return dict(RIGHT)

    return arrange


def a_token(who: str) -> Data:
    return {"token": token_row(who)[0].token_key}


def a_transfer(who: str) -> Data:
    Venue.objects.get_or_create(name="okx")
    return {
        "from_venue": "outside",
        "to_venue": "okx",
        "currency": "USDT",
        "amount": "1000",
        "txid": f"0x{who}",
    }


def a_tripped_guard(who: str) -> Data:
    GuardState.objects.update_or_create(
        name="smoke", scope="", defaults={"level": "HOLD", "seen": "OK", "evaluated_at": timezone.now()}
    )
    return {"guard": "smoke"}


def a_lease(owner: str | None) -> Arrange:
    """With the lock on: held by `owner`, or free."""

    def arrange(who: str) -> Data:
        settings.ENV = settings.ENV.model_copy(update={"feature_leader_lock": True})
        Lease.objects.update(owner=owner or "another", state="HELD" if owner else "FREE")
        return {}

    return arrange


INPUTS: dict[str, Arrange] = {
    "leadership.acquire": a_lease(None),
    "leadership.release": a_lease(settings.INSTANCE),
    "leadership.steal": a_lease("another"),
    "ops.acknowledge_incident": an_incident(comment="seen"),
    "ops.acknowledge_root_cause": an_incident(text="a cable"),
    "ops.activate_user": somebody(active=False),
    "ops.assign_incident": an_incident(username="bob"),
    "ops.change_own_password": a_password,
    "ops.close_incident": an_incident("resolved"),
    "ops.comment_incident": an_incident(comment="words"),
    "ops.confirm_second_factor": a_code(confirmed=False),
    "ops.create_user": always(username="dora", role="operator"),
    "ops.deactivate_user": somebody(),
    "ops.enrol_second_factor": always(),
    "ops.grant_object_permission": a_right(held=False),
    "ops.grant_role": somebody(role="operator"),
    "ops.hold": always(scope="venue", key="okx"),
    "ops.issue_token": always(name="robot", scopes="read", days=7),
    "ops.launch": always(at="now", **ENVELOPE),
    "ops.mitigate_incident": an_incident("acknowledged", comment="stopped"),
    "ops.open_incident": always(severity="P1", component="desk", summary="smoke"),
    "ops.post_only": off("post_only"),
    "ops.reduce_only": off("reduce_only"),
    "ops.remove_own_second_factor": a_code(confirmed=True),
    "ops.reset_password": somebody(),
    "ops.reset_second_factor": somebody(),
    "ops.resolve_incident": an_incident("mitigated", resolution="repaired"),
    "ops.resume": always(),
    "ops.revoke_object_permission": a_right(held=True),
    "ops.revoke_role": a_role_held,
    "ops.revoke_token": a_token,
    "ops.safe_mode": off("safe_mode"),
    "ops.set_policy": always(action="ops.resume", quorum=2),
    "ops.shelve_incident": an_incident(minutes=60),
    "ops.test_notification": always(route="desk"),
    "ops.unshelve_incident": an_incident(shelved=True),
    "risk.clear_guard": a_tripped_guard,
    "risk.grant_override": always(symbol="BTC/USDT:USDT", cap="max_leverage", value="6"),
    "risk.set_limit": always(level="venue:okx", cap="max_order_qty", value="3"),
    "trading.accept_break": a_break,
    "trading.assign_residual": a_residual(owner="bob"),
    "trading.close": an_execution,
    "trading.execute": a_market,
    "trading.flatten": always(venue="okx"),
    "trading.grant_envelope": always(**ENVELOPE),
    "trading.kill": always(scope="venue", key="okx"),
    "trading.rescue": a_residual(way="reverse"),
    "trading.resolve_unknown": an_order_in_doubt,
    "trading.record_transfer": a_transfer,
    "trading.revoke_envelope": an_envelope,
    "trading.setup_venue": always(venue="okx"),
}
ACTIONS = sorted(name for name in INPUTS if registry.knows(name))


def test_the_runbook_s_own_paths_are_found() -> None:
    paths = own_paths()
    assert (paths["ops.hold"], paths["ops.resume"]) == ("/api/ui/hold", "/api/ui/resume_request")


def test_every_action_is_in_the_table() -> None:
    missing = {action.name for action in registry.all_actions()} - set(INPUTS)
    assert not missing, "INPUTS: a valid input for each action"


# --- people --------------------------------------------------------------------------


@dataclass(frozen=True)
class Who:
    name: str
    credential: Credential = Credential.SESSION


ACTORS = {
    "maker": Who("alice"),
    "checker": Who("rita"),
    "viewer": Who("victor"),
    "outsider": Who("otto"),
    "superuser": Who("root"),
    "token": Who("alice", Credential.TOKEN),
}


@pytest.fixture
def people(house: None) -> None:
    """An outsider may log in and has no role; an ex-employee had one."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # or whitenoise warns of it
    with factories.arranged():
        for name in ("otto", "eve"):
            user = User.objects.create(username=name, is_staff=True)
            audit.touch(user)
        user.groups.set([Group.objects.get(name="operator")])
        audit.touch_keys("ops_user_groups", user.pk)
        user.is_active = False
        user.save()


# --- faces ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Try:
    """One action by one person."""

    action: str
    who: Who
    data: Data
    reason: str = "a reason"


#: Status of the outcome, or code of the refusal.
Verdict = str
Face = Callable[[Try], Verdict]


def by_runner(t: Try) -> Verdict:
    actor = Actor(User.objects.get(username=t.who.name), t.who.credential)
    try:
        return runner.submit(
            t.action, actor=actor, data=t.data, reason=t.reason, source=Source.SYSTEM
        ).status.value
    except Refusal as no:
        return no.code


def by_rest(t: Try) -> Verdict:
    return rest(t, f"/api/v1/actions/{t.action}", {**t.data, "reason": t.reason})


def by_rest_as_a_request(t: Try) -> Verdict:
    return rest(t, "/api/ui/approvals", {"action": t.action, "input": t.data, "reason": t.reason})


def by_its_own_path(t: Try) -> Verdict:
    return rest(t, own_paths()[t.action], {**t.data, "reason": t.reason})


def rest(t: Try, path: str, body: Data) -> Verdict:
    if t.who.credential is Credential.TOKEN:
        token = token_row(t.who.name)[1]
        client = Client(headers={"Authorization": f"Token {token}"})
    else:
        client = logged_in(t)
    answer = client.post(path, json.dumps(body), content_type="application/json")
    said = answer.json()
    if answer.status_code < 300:
        assert answer.status_code == (202 if said["status"] in {"pending_approval", "accepted"} else 200)
        assert said["audit_seq"] == AuditEntry.objects.latest("seq").seq
        return str(said["status"])
    assert answer.headers["content-type"] == "application/problem+json"
    return str(said["code"])


def token_row(name: str) -> tuple[Token, str]:
    with factories.arranged():
        user, hour = User.objects.get(username=name), timedelta(hours=1)
        row, token = Token.objects.create(user, expiry=hour, scopes=[Token.EVERYTHING])
        audit.touch(row)
    return row, str(token)


def own_paths() -> dict[str, str]:
    """The runbook's own path of an action, where it has one."""
    patterns = [p for room in ("ops", "trading") for p in import_module(f"{room}.urls").urlpatterns]
    named = [(getattr(p.callback, "view_initkwargs", {}).get("action"), p.pattern) for p in patterns]
    return {action: f"/{pattern}" for action, pattern in named if action}


def logged_in(t: Try) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(
        User.objects.get(username=t.who.name), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


def by_admin(t: Try) -> Verdict:
    """The form, its confirmation, and the confirmation sent; where the form refuses, sent all the same."""
    client, path = logged_in(t), f"/admin/act/{t.action}/"
    texts = {name: as_typed(value) for name, value in t.data.items()}
    if any(field.secret for field in describe(registry.get(t.action).Input)):  # no page may carry a secret
        return what_the_admin_said(client, client.post(path, {**texts, "reason": t.reason, "token": "once"}))
    shown = client.post(path, {**texts, "step": "review", "reason": t.reason})
    sent = {"step": "do", "input": json.dumps(t.data), "reason": t.reason, "token": "once"}
    early = shown.context.get("refusal") if shown.context else None
    if shown.context and "input_json" in shown.context:
        sent["input"] = shown.context["input_json"]
    verdict = what_the_admin_said(client, client.post(path, sent))
    assert (early.code if early else "") in {"", verdict}, "the form and its confirmation disagree"
    return verdict


def what_the_admin_said(client: Client, done: Any) -> Verdict:
    if done.context is None:  # it leads on: to the request, home, or to one's own credentials
        if "/approvalrequest/" in done["Location"]:
            return "pending_approval"
        told = [str(m) for m in client.get("/admin/").context["messages"]]
        found = re.search(r": (\w+) \(audit entry", " ".join(told))
        assert found is not None, told
        return found[1]
    if (refusal := done.context.get("refusal")) is not None:
        assert done.status_code == refusal.status
        return str(refusal.code)
    return str(done.context["outcome"].status.value)


def as_typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def by_cli(t: Try) -> Verdict:
    person(t.who.name, password=PASSWORD)
    code, said = act(t)
    assert code == {"refused": 1, "pending_approval": 3}.get(said["status"], 0)
    return str(said["code"] if said["status"] == "refused" else said["status"])


def act(t: Try) -> tuple[int, Data]:
    secret = {field.name for field in describe(registry.get(t.action).Input) if field.secret}
    words = [f"{name}={as_typed(value)}" for name, value in t.data.items() if name not in secret]
    out, stdin, code = io.StringIO(), sys.stdin, 0
    typed = [PASSWORD, *(value for name, value in t.data.items() if name in secret)]
    sys.stdin = io.StringIO("".join(f"{line}\n" for line in typed))
    try:
        options = ["--user", t.who.name, "--password-stdin", "--json", "--reason", t.reason]
        options += ["--totp", code_of(steps_ago=1)]  # whoever has no factor need not mind
        call_command("act", t.action, *words, *options, stdout=out, stderr=io.StringIO())
    except SystemExit as left:
        code = int(str(left.code))
    finally:
        sys.stdin = stdin
    return code, json.loads(out.getvalue())


FACES: dict[Face, Source] = {
    by_rest: Source.REST,
    by_rest_as_a_request: Source.REST,
    by_its_own_path: Source.REST,
    by_admin: Source.ADMIN,
    by_cli: Source.CLI,
}


def faces_for(action: str, who: Who) -> list[Face]:
    """Programs come by REST; not every action has a path of its own."""
    carried = [f for f in FACES if who.credential is not Credential.TOKEN or FACES[f] is Source.REST]
    return [f for f in carried if f is not by_its_own_path or action in own_paths()]


# --- what came of it -------------------------------------------------------------------


@contextmanager
def undone() -> Iterator[None]:
    """A savepoint that counts as the test's own transaction: `durable` blocks may run in it."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with block:
        yield
        transaction.set_rollback(True)


CONTROLS = {table: key for table, key, _ in import_module("ops.migrations.0002_controls").CONTROL_TABLES}
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)")


def known_rows() -> set[str]:
    """`table:key` of every control row, and every UUID in sight."""
    names = set()
    with connection.cursor() as cursor:
        for table, key in CONTROLS.items():
            cursor.execute(f"SELECT {key} FROM {table}")
            names |= {f"{table}:{row[0]}" for row in cursor.fetchall()}
    return names


def same_for_all(value: Any, known: set[str]) -> Any:
    """Without what is new each time: keys of new rows, times, digests of random plans."""
    text = json.dumps(value, sort_keys=True, default=str)
    seen = {match for name in known for match in _UUID.findall(name)}
    text = _UUID.sub(lambda found: found[0] if found[0] in seen else "<new>", text)
    text = re.sub(r"\b[0-9a-f]{15}\b", "<token>", _TIME.sub("<time>", text))
    return json.loads(re.sub(r"[0-9a-f]{64}", "<digest>", text))


@dataclass(frozen=True)
class Came:
    """Of one try: the verdict, and what its one audit entry says of rows and values."""

    verdict: str
    audited: tuple[Any, ...]
    touched: tuple[str, ...]
    after: Any


def came_of(face: Face, t: Try, source: Source, known: set[str]) -> Came:
    get_hub()._facts.clear()
    with undone():
        before = audit.last_seq()
        verdict = face(t)
        (entry,) = AuditEntry.objects.filter(seq__gt=before, action=t.action)
        assert (entry.source, entry.actor_name, entry.reason) == (source.value, t.who.name, t.reason)
        assert verdict == (entry.code or entry.verdict)
        touched = tuple(sorted(name if name in known else name.split(":")[0] for name in entry.touches))
        after = entry.after if entry.verdict == "refused" else same_for_all(entry.after, known)
        return Came(verdict, (entry.verdict, entry.code, entry.target), touched, after)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Paper venues with an edge, for what looks at prices."""
    with paper_venues(tmp_path_factory.mktemp("venues")) as venues:
        Bench(venues).pin()
        yield


@pytest.mark.usefixtures("people", "market")
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_face_gives_the_same_verdict_and_effect(action: str, actor: str) -> None:
    t = Try(action, ACTORS[actor], INPUTS[action](ACTORS[actor].name))
    known = known_rows()
    reference = came_of(by_runner, t, Source.SYSTEM, known)
    for face in faces_for(action, t.who):
        assert came_of(face, t, FACES[face], known) == reference, face.__name__
    roles = person(t.who.name).groups
    if actor == "superuser" or roles.filter(permissions__codename=action.split(".")[1]).exists():
        done = {"executed", "pending_approval", "accepted"}
        assert reference.verdict in done | ({"credential.token"} if actor == "token" else set()), reference
    else:
        assert reference.verdict == "permission.denied"


@pytest.mark.usefixtures("people", "market")
@pytest.mark.parametrize("action", ACTIONS)
def test_somebody_who_left_stands_before_every_door(action: str) -> None:
    """No face lets them in; were one to, the runner refuses."""
    t = Try(action, Who("eve"), INPUTS[action]("eve"))
    known = known_rows()
    assert came_of(by_runner, t, Source.SYSTEM, known).verdict == "permission.denied"
    before = AuditEntry.objects.filter(action=action).count()
    for face, said in ((by_rest, "auth.required"), (by_rest_as_a_request, "auth.required")):
        with undone():
            assert face(t) == said
            assert AuditEntry.objects.filter(action=action).count() == before
    with undone():
        for step in ("review", "do"):
            answer = logged_in(t).post(f"/admin/act/{action}/", {"step": step, "input": "{}", "token": "1"})
            assert answer.status_code == 302
            assert "/admin/login/" in answer["Location"]
        assert AuditEntry.objects.filter(action=action).count() == before
    with undone():
        assert by_cli(t) == "auth.failed"
        assert AuditEntry.objects.filter(action=action).count() == before
    assert known_rows() == known
