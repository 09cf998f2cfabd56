"""Every gated row × every way round the actions, tried as the application role: refused, and nothing changed.

The rows of the matrix are `GATES`, the columns `WAYS`. Each attempt is a real transaction that really commits
(or is refused in doing so): deferred triggers, and "whoever came in the same transaction", are as in life.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.utils import timezone
from guardian.models import GroupObjectPermission, UserObjectPermission

from ops import audit, checklist, desk
from ops.config import versions
from ops.models import (
    ApprovalPolicy,
    ApprovalRequest,
    AuditEntry,
    AuditHead,
    ConfigVersion,
    DeskState,
    Envelope,
    HoldCause,
    Incident,
    IncidentEvent,
    SecondFactor,
    Token,
    User,
    Vote,
)
from tests import factories
from tests.database import Blocker, without_controls
from tests.factories import ask, person, submit, vote
from tests.integration.ops.test_database_controls import execution, order
from trading.models import Execution, LedgerEntry, OrderIntent, ReconciliationBreak, Venue

CONTROLS = {table: key for table, key, _ in import_module("ops.migrations.0002_controls").CONTROL_TABLES}
ENVELOPE = {"pair": "BTCUSDT", "max_notional": "2000", "min_edge_bps": "1", "max_slippage_bps": "1"}
LATER = timezone.now() + timedelta(days=1)


# --- what is attacked --------------------------------------------------------------


def forged(action: str, target: str, **payload: Any) -> ApprovalRequest:
    """Approved by bob and carol, unused, in time: a real approval, of something else."""
    row = ApprovalRequest.objects.latest("created_at")
    row.pk, row.action, row.target, row.payload = uuid.uuid4(), action, target, payload
    row.state, row.expires_at = "approved", LATER
    with without_controls():
        row.save(force_insert=True)
        for name in ("bob", "carol"):
            Vote.objects.create(
                request=row,
                requested_by_id=row.requested_by_id,
                digest=row.digest,
                approver=person(name),
                verdict="approve",
            )
    return row


def granted(name: str, *, count: int = 2) -> Envelope:
    request = ask("alice", "trading.grant_envelope", **ENVELOPE, count=count, minutes=60)
    vote("bob", request)
    vote("carol", request)
    row: Envelope = remember(name, Envelope.objects.get(request=request))
    return row


ROWS: dict[str, Any] = {}  # by the name that the matrix uses


def remember(name: str, row: Any) -> Any:
    ROWS[name] = row
    return row


@pytest.fixture(scope="module")
def attacked(django_db_setup: None, django_db_blocker: Blocker) -> Iterator[None]:
    """A desk in HOLD and SAFE_MODE, POST_ONLY and REDUCE_ONLY on, a quorum of two; one row of each kind."""
    own = {"hold_causes", "audit_chain"}
    whole = dict(checklist._items)
    with django_db_blocker.unblock():
        checklist._items = {name: item for name, item in whole.items() if name in own}
        factories.make_desk(quorum=2)
        _people()
        _requests()
        _envelopes()
        _others()
        _approved()
        yield
        checklist._items = whole
        call_command("flush", interactive=False, verbosity=0)
        versions.forget()


def _people() -> None:
    with factories.arranged():
        audit.touch(remember("eve", User.objects.create(username="eve", is_active=False)))
        carol = person("carol")
        rita = remember("rita", person("rita"))
        rita.no_vote_until = LATER
        rita.save()
        audit.touch(rita)
    ROWS.update(alice=person("alice"), bob=person("bob"), carol=carol, victor=person("victor"))
    ROWS["okx"] = Venue.objects.create(name="okx")
    ROWS["operator"] = Group.objects.get(name="operator")


def _requests() -> None:
    submit("alice", "ops.post_only", enabled=True)
    submit("alice", "ops.reduce_only", enabled=True)
    used = ask("alice", "ops.post_only", enabled=False)
    vote("bob", used)
    vote("carol", used)
    submit("alice", "ops.post_only", enabled=True)
    remember("used", used).refresh_from_db()
    rejected = remember("rejected", ask("alice", "ops.post_only", enabled=False))
    vote("bob", rejected, "reject", comment="no")
    pending = remember("pending", ask("alice", "ops.safe_mode", enabled=False))
    vote("bob", pending)
    ROWS["vote"] = pending.votes.get()
    ROWS["pending resume"] = ask("alice", "ops.resume")


def _envelopes() -> None:
    granted("envelope")
    used_up = granted("used envelope", count=1)
    with factories.arranged():
        execution(dry_run=False, envelope=used_up)
        audit.touch(used_up)
    ended = granted("ended envelope")
    submit("rita", "trading.revoke_envelope", envelope_id=str(ended.pk))
    late = Envelope.objects.filter(pk=granted("late envelope").pk)
    with without_controls():
        late.update(expires_at=timezone.now() - timedelta(seconds=1))
    for name in ("envelope", "used envelope", "ended envelope", "late envelope"):
        ROWS[name].refresh_from_db()
    remember("dry run", execution())
    remember("doubt", order(execution(), state="UNKNOWN", sent_at=timezone.now()))
    ROWS["break"] = ReconciliationBreak.objects.create(**{k: _resolved(v) for k, v in BREAK.items()})


def _approved() -> None:
    ROWS["approved safe_mode"] = forged("ops.safe_mode", "elsewhere", enabled=False)
    ROWS["approved resume of a venue"] = forged("ops.resume", "venue:okx")
    ROWS["approved plan"] = forged("trading.execute", "BTCUSDT a>b", uid=str(uuid.uuid4()))
    ROWS["approved grant"] = forged("trading.grant_envelope", "BTCUSDT")


def _others() -> None:
    for name in ("closed", "venue"):
        desk.raise_hold(source=name, reason="x", scope=("venue", name))
        ROWS[f"{name} cause"] = HoldCause.objects.get(source=name)
    with without_controls():
        HoldCause.objects.filter(source="closed").update(state="closed")
    with factories.arranged():
        incident = Incident.objects.create(code="c", source="s", severity="P0", component="x", summary="y")
        incident.state, incident.root_cause, incident.root_cause_at = "mitigated", "a cable", timezone.now()
        incident.save()
        audit.touch(remember("incident", incident))
        factor = SecondFactor.objects.create(user=person("bob"), key="sealed")
        audit.touch(remember("factor", factor))
        token, _ = Token.objects.create(person("bob"))
        audit.touch(remember("token", token))
    ROWS["event"] = IncidentEvent.objects.create(incident=incident, kind="note", actor_name="bob")


# --- what is tried -----------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One forbidden write. values may name attacked rows: `"@bob"`."""

    says: str  # what refuses it, when an audit entry does name the row
    model: Any
    row: str = ""  # the attacked row to change or remove; empty: another one is added
    values: dict[str, Any] = field(default_factory=dict)
    removes: bool = False
    audit_is_enough: bool = (
        False  # a gate by the audit log only: with an entry that names it, it may be written
    )

    def instance(self) -> Any:
        values = {name: _resolved(value) for name, value in self.values.items()}
        if not self.row:
            return self.model(**values)
        found = self.model.objects.get(pk=self._pk())
        for name, value in values.items():
            setattr(found, name, value)
        return found

    def found(self) -> "models.QuerySet[Any]":
        rows: models.QuerySet[Any] = self.model.objects.filter(pk=self._pk())
        return rows

    def _pk(self) -> Any:
        return 1 if self.row == "the" else _resolved(self.row if self.row[0] == "@" else f"@{self.row}").pk

    def sql(self) -> None:
        """The same by hand."""
        table, obj = self.model._meta.db_table, self.instance()
        columns = {}
        for column in self.model._meta.concrete_fields:
            wanted = not self.row or {column.name, column.attname} & self.values.keys()
            if wanted and not (column.primary_key and obj.pk is None):
                value = column.get_db_prep_save(getattr(obj, column.attname), connection)
                columns[f'"{column.column}"'] = value
        key = self.model._meta.pk.column
        marks = ", ".join(["%s"] * len(columns))
        if self.removes:
            statement, values = f"DELETE FROM {table} WHERE {key} = %s", [self._pk()]
        elif self.row:
            sets = ", ".join(f"{name} = %s" for name in columns)
            statement = f"UPDATE {table} SET {sets} WHERE {key} = %s"
            values = [*columns.values(), self._pk()]
        else:
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
            values = list(columns.values())
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            assert cursor.rowcount == 1

    def name(self) -> None:
        """As `audit.touch` would, for the next entry."""
        table, obj = self.model._meta.db_table, self.instance()
        if table in CONTROLS:
            key = getattr(obj, CONTROLS[table])
            audit.touch_keys(table, key if key is not None else self.model.objects.latest("pk").pk)


def _resolved(value: Any) -> Any:
    """`@bob` is a row; `@bob.digest` what it holds."""
    if not (isinstance(value, str) and value.startswith("@")):
        return value() if callable(value) else value
    name, _, attribute = value[1:].partition(".")
    return getattr(ROWS[name], attribute) if attribute else ROWS[name]


# --- the ways ----------------------------------------------------------------------


def save(change: Change) -> None:
    obj = change.instance()
    if change.removes:
        obj.delete()
    else:
        obj.save(force_insert=not change.row)


def bulk(change: Change) -> None:
    values = {name: _resolved(value) for name, value in change.values.items()}
    if change.removes:
        change.found().delete()
    elif change.row:
        change.found().update(**values)
    else:
        change.model.objects.bulk_create([change.instance()])


def raw(change: Change) -> None:
    change.sql()


def raw_beside_an_entry_of_something_else(change: Change) -> None:
    with audit.recorded(durable=False):
        change.sql()
        audit.touch_keys("ops_deskstate", 0)
        audit.append_system(action="test.unrelated", verdict="executed")


def raw_with_an_entry_that_names_it(change: Change) -> None:
    """The application's own role can say what it does. It still lacks the approval."""
    with audit.recorded(durable=False):
        change.sql()
        change.name()
        audit.append_system(action="test.forged", verdict="executed")


def raw_without_triggers(change: Change) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
    change.sql()


def raw_with_triggers_disabled(change: Change) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {change.model._meta.db_table} DISABLE TRIGGER ALL")
    change.sql()


Way = Callable[[Change], None]
WAYS: tuple[Way, ...] = (
    save,
    bulk,
    raw,
    raw_beside_an_entry_of_something_else,
    raw_with_an_entry_that_names_it,
    raw_without_triggers,
    raw_with_triggers_disabled,
)
DENIED: dict[Way, str] = {
    raw_without_triggers: "permission denied",
    raw_with_triggers_disabled: "must be owner",
}


# --- the matrix --------------------------------------------------------------------

RUN = {"mode": "RUN"}
PLAN: dict[str, Any] = {
    "plan_id": uuid.uuid4,
    "state": "ARMED",
    "symbol": "BTC/USDT:USDT",
    "policy": "simultaneous",
    "plan": dict,
    "plan_digest": "x",
    "config_version": 1,
    "fence": 1,
    "created_at": timezone.now,
    "updated_at": timezone.now,
}
RECORDED = {"recorded_at": timezone.now}
BREAK: dict[str, Any] = {
    "venue": "okx",
    "kind": "position",
    "symbol": "BTC/USDT:USDT",
    "key": "x",
    "amount": 1,
    "detail": "one coin more",
    "opened_at": timezone.now,
    "last_seen_at": timezone.now,
}
BALLOT = {
    "request": "@pending",
    "requested_by": "@alice",
    "digest": "@pending.digest",
    "verdict": "approve",
}
GRANT = {"action": "trading.execute", "bounds": dict, "count": 1, "expires_at": LATER}
needs = "needs an approved"
user, roles = User, User.groups.through
direct = User.user_permissions.through


def _permission() -> Any:
    return Permission.objects.get(codename="hold").pk


def _venue_type() -> Any:
    return Permission.objects.get(codename="execute").content_type_id


OBJECT = {
    "permission_id": lambda: Permission.objects.get(codename="execute").pk,
    "object_pk": "okx",
    "content_type_id": _venue_type,
}

GATES: dict[str, Change] = {
    # the desk
    "HOLD to RUN": Change(needs, DeskState, "the", RUN),
    "HOLD to RUN, by a pending request": Change(
        needs, DeskState, "the", {**RUN, "approval": "@pending resume"}
    ),
    "HOLD to RUN, by a venue's approval": Change(
        needs, DeskState, "the", {**RUN, "approval": "@approved resume of a venue"}
    ),
    "HOLD to RUN, by a used approval": Change(needs, DeskState, "the", {**RUN, "approval": "@used"}),
    "SAFE_MODE off": Change(needs, DeskState, "the", {"safe_mode": False}),
    "SAFE_MODE off, by another target's approval": Change(
        needs, DeskState, "the", {"safe_mode": False, "approval": "@approved safe_mode"}
    ),
    "HOLD and SAFE_MODE left together": Change(needs, DeskState, "the", {**RUN, "safe_mode": False}),
    "POST_ONLY off": Change(needs, DeskState, "the", {"post_only": False}),
    "POST_ONLY off, by a used approval": Change(
        needs, DeskState, "the", {"post_only": False, "approval": "@used"}
    ),
    "REDUCE_ONLY off": Change(needs, DeskState, "the", {"reduce_only": False}),
    "the desk removed": Change("append-only", DeskState, "the", removes=True),
    "a second desk": Change("desk_state_one_row", DeskState, "", {"id": 2}),
    # causes
    "a cause closed": Change(needs, HoldCause, "venue cause", {"state": "closed"}),
    "a cause reopened": Change("does not go from", HoldCause, "closed cause", {"state": "open"}),
    "a cause moved elsewhere": Change("frozen", HoldCause, "venue cause", {"scope_key": "nowhere"}),
    "a cause explained away": Change("frozen", HoldCause, "venue cause", {"reason": "nothing"}),
    "a cause made a person's word": Change("frozen", HoldCause, "venue cause", {"manual": True}),
    "a cause removed": Change("append-only", HoldCause, "venue cause", removes=True),
    # executions
    "a real execution": Change(needs, Execution, "", PLAN),
    "a real execution, by another plan's approval": Change(
        needs, Execution, "", {**PLAN, "approval": "@approved plan"}
    ),
    "a real execution, by a used approval": Change(needs, Execution, "", {**PLAN, "approval": "@used"}),
    "a real execution, by a used-up envelope": Change(
        "used up", Execution, "", {**PLAN, "envelope": "@used envelope"}
    ),
    "a real execution, by an ended envelope": Change(
        "used up", Execution, "", {**PLAN, "envelope": "@ended envelope"}
    ),
    "a real execution, by an expired envelope": Change(
        "used up", Execution, "", {**PLAN, "envelope": "@late envelope"}
    ),
    "a dry run made real": Change("frozen", Execution, "dry run", {"dry_run": False}),
    "an execution's approval changed": Change("frozen", Execution, "dry run", {"approval": "@approved plan"}),
    # what two people decide of orders and money
    "a break accepted": Change(needs, ReconciliationBreak, "break", {"accepted_at": timezone.now}),
    "an accepted break, from the start": Change(
        needs, ReconciliationBreak, "", {**BREAK, "key": "y", "accepted_at": timezone.now}
    ),
    "money adjusted": Change(
        needs,
        LedgerEntry,
        "",
        {"source": "adjustment:x", "kind": "adjustment", "venue": "okx", "at": timezone.now, **RECORDED},
    ),
    "an order in doubt called absent": Change(needs, OrderIntent, "doubt", {"state": "RESOLVED_ABSENT"}),
    # envelopes
    "an envelope of a pending request": Change(
        needs, Envelope, "", {**GRANT, "expires_at": timezone.now, "request": "@pending"}
    ),
    "an envelope of an unused approval": Change(
        needs, Envelope, "", {**GRANT, "expires_at": timezone.now, "request": "@approved grant"}
    ),
    "an envelope for a day": Change("12 hours", Envelope, "", {**GRANT, "request": "@approved grant"}),
    "an envelope's bounds raised": Change(
        "frozen", Envelope, "envelope", {"bounds": lambda: {"max_notional": "9"}}
    ),
    "an envelope's count raised": Change("frozen", Envelope, "used envelope", {"count": 9}),
    "an envelope's runs given back": Change("frozen", Envelope, "used envelope", {"used": 0}),
    "an envelope extended": Change("frozen", Envelope, "envelope", {"expires_at": LATER}),
    "an envelope revived": Change("frozen", Envelope, "ended envelope", {"ended_at": None}),
    "an envelope removed": Change("append-only", Envelope, "envelope", removes=True),
    # people
    "a person comes in": Change(needs, user, "", {"username": "mallory"}),
    "staff comes in, inactive": Change(
        needs, user, "", {"username": "m", "is_active": False, "is_staff": True}
    ),
    "somebody who left comes back": Change(needs, user, "eve", {"is_active": True}),
    "somebody becomes staff": Change(needs, user, "eve", {"is_staff": True}),
    "a superuser": Change("nobody becomes a superuser", user, "alice", {"is_superuser": True}),
    "a superuser comes in": Change(
        "nobody becomes a superuser", user, "", {"username": "m", "is_superuser": True}
    ),
    "a person removed": Change("append-only|foreign key", user, "eve", removes=True),
    "a role": Change(needs, roles, "", {"user": "@victor", "group": "@operator"}),
    "a permission of one's own": Change(
        "not to a person directly", direct, "", {"user": "@victor", "permission_id": _permission}
    ),
    "an object permission": Change(needs, UserObjectPermission, "", {**OBJECT, "user": "@victor"}),
    "a role's object permission": Change(needs, GroupObjectPermission, "", {**OBJECT, "group": "@operator"}),
    "a password": Change("", user, "bob", {"password": "x"}, audit_is_enough=True),
    "an embargo lifted": Change("", user, "rita", {"no_vote_until": None}, audit_is_enough=True),
    "a second factor": Change("", SecondFactor, "factor", {"key": "mine"}, audit_is_enough=True),
    "a second factor removed": Change("", SecondFactor, "factor", removes=True, audit_is_enough=True),
    "a token's scopes": Change("", Token, "token", {"scopes": lambda: ["*"]}, audit_is_enough=True),
    "a token removed": Change("", Token, "token", removes=True, audit_is_enough=True),
    # what roles hold is the owner's
    "a role's permission": Change(
        "permission denied", Group.permissions.through, "", {"group": "@operator", "permission_id": 1}
    ),
    "a role renamed": Change("permission denied", Group, "operator", {"name": "viewer of all"}),
    "a role made": Change("permission denied", Group, "", {"name": "masters"}),
    "a permission made": Change(
        "permission denied", Permission, "", {"codename": "x", "name": "x", "content_type_id": _venue_type}
    ),
    # policies
    "a policy lowered": Change(needs, ApprovalPolicy, "@resume policy", {"quorum": 1}),
    "a policy's role": Change(needs, ApprovalPolicy, "@resume policy", {"vote_from": "viewer"}),
    "a policy for what is to come": Change(needs, ApprovalPolicy, "", {"action": "ops.later", "quorum": 1}),
    "a policy removed": Change("append-only", ApprovalPolicy, "@resume policy", removes=True),
    # votes
    "one's own vote": Change("vote_not_by_requester", Vote, "", {**BALLOT, "approver": "@alice"}),
    "one's own vote, as another's request": Change(
        "vote_on_the_frozen_request", Vote, "", {**BALLOT, "requested_by": "@carol", "approver": "@alice"}
    ),
    "a vote of somebody who left": Change("does not vote now", Vote, "", {**BALLOT, "approver": "@eve"}),
    "a vote under embargo": Change("does not vote now", Vote, "", {**BALLOT, "approver": "@rita"}),
    "a second vote": Change("vote_once_per_person", Vote, "", {**BALLOT, "approver": "@bob"}),
    "a vote on another digest": Change(
        "vote_on_the_frozen_request", Vote, "", {**BALLOT, "approver": "@carol", "digest": "0" * 64}
    ),
    "a vote on what was rejected": Change(
        "not open for votes",
        Vote,
        "",
        {**BALLOT, "request": "@rejected", "digest": "@rejected.digest", "approver": "@carol"},
    ),
    "a vote turned": Change("a vote is history", Vote, "vote", {"verdict": "reject"}),
    "a vote in another's name": Change("a vote is history", Vote, "vote", {"approver": "@carol"}),
    "a vote removed": Change("a vote is history", Vote, "vote", removes=True),
    # requests
    "approved without votes": Change("lacks votes", ApprovalRequest, "pending", {"state": "approved"}),
    "executed while pending": Change(
        "only an approved", ApprovalRequest, "pending", {"execution_state": "executed"}
    ),
    "executed twice": Change("once", ApprovalRequest, "used", {"execution_state": "not_run"}),
    "rejected, then approved": Change("does not go", ApprovalRequest, "rejected", {"state": "approved"}),
    "rejected, then pending": Change("does not go", ApprovalRequest, "rejected", {"state": "pending"}),
    "a quorum lowered": Change("frozen", ApprovalRequest, "pending", {"quorum": 1}),
    "another payload": Change(
        "frozen|foreign key", ApprovalRequest, "pending", {"payload": lambda: {"enabled": True}}
    ),
    "another requester": Change("frozen|foreign key", ApprovalRequest, "pending", {"requested_by": "@carol"}),
    "another digest": Change("frozen|foreign key", ApprovalRequest, "pending", {"digest": "0" * 64}),
    "another before-value": Change("frozen", ApprovalRequest, "pending", {"before": dict}),
    "another target": Change("frozen", ApprovalRequest, "pending", {"target": "elsewhere"}),
    "more time": Change("only approval changes", ApprovalRequest, "pending", {"expires_at": LATER}),
    "a request removed": Change(
        "never removed|foreign key|referenced", ApprovalRequest, "pending", removes=True
    ),
    # history
    "a configuration's text": Change("word for word", ConfigVersion, "@config", {"yaml": "control: {}"}),
    "a configuration removed": Change("append-only", ConfigVersion, "@config", removes=True),
    "a configuration set aside": Change(
        "", ConfigVersion, "@config", {"active": False}, audit_is_enough=True
    ),
    "an incident's facts": Change("frozen", Incident, "incident", {"severity": "P2"}),
    "an incident's way back": Change("does not go from", Incident, "incident", {"state": "open"}),
    "who acknowledged a root cause": Change(
        "is kept", Incident, "incident", {"root_cause_by_id": lambda: person("alice").pk}
    ),
    "an acknowledged root cause": Change("is kept", Incident, "incident", {"root_cause": "the moon"}),
    "an incident removed": Change("append-only|referenced", Incident, "incident", removes=True),
    "a line of a timeline": Change("permission denied", IncidentEvent, "event", {"text": "nothing"}),
    "a line of a timeline removed": Change("permission denied", IncidentEvent, "event", removes=True),
    "an audit entry": Change("permission denied", AuditEntry, "@entry", {"reason": "none"}),
    "an audit entry removed": Change("permission denied", AuditEntry, "@entry", removes=True),
    "the audit head set back": Change("audit head goes", AuditHead, "the", {"seq": 1}),
    "the audit head removed": Change("append-only", AuditHead, "the", removes=True),
}


@pytest.fixture
def change(request: pytest.FixtureRequest, attacked: None) -> Change:
    ROWS["resume policy"] = ApprovalPolicy.objects.get(action="ops.resume")
    ROWS["config"] = ConfigVersion.objects.get(active=True)
    ROWS["entry"] = AuditEntry.objects.earliest("seq")
    return GATES[request.param]


def rows(change: Change) -> list[dict[str, Any]]:
    return list(change.model._default_manager.order_by("pk").values())


def matrix() -> Iterator[Any]:
    for name, change in GATES.items():
        for way in WAYS:
            # gated by the audit log only: by name and on record it may be written
            if not (change.audit_is_enough and way is raw_with_an_entry_that_names_it):
                yield pytest.param(name, way, id=f"{name} / {way.__name__}")


@pytest.mark.parametrize(("change", "way"), list(matrix()), indirect=["change"])
def test_no_way_round_an_action(change: Change, way: Way) -> None:
    before = rows(change)
    says = change.says or None if way is raw_with_an_entry_that_names_it else DENIED.get(way)
    with pytest.raises(DatabaseError, match=says), transaction.atomic():
        way(change)
    assert rows(change) == before


@pytest.mark.parametrize("change", GATES, indirect=True)
def test_it_is_the_control_that_refuses_and_not_the_statement(change: Change) -> None:
    """The very statement, where no trigger runs, does change rows; or a constraint of the table says no."""
    before = rows(change)
    if change.says in {"vote_not_by_requester", "vote_once_per_person", "desk_state_one_row"}:
        with pytest.raises(IntegrityError, match=change.says), without_controls():
            change.sql()
        return
    with transaction.atomic():
        with without_controls():
            change.sql()
        assert rows(change) != before
        transaction.set_rollback(True)
    assert rows(change) == before


@pytest.mark.django_db  # pytest-django makes a database when a test asks for one by this mark
def test_every_control_table_is_in_the_matrix() -> None:
    attacked = {change.model._meta.db_table for change in GATES.values()}
    assert set(CONTROLS) - attacked == set()
