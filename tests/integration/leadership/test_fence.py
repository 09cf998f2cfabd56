"""What an older term may not do: open, run, raise. What anybody may do: stop."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from leadership import services, terms
from leadership.clock import boottime
from leadership.models import Lease, Term
from ops import checklist, desk
from ops.actions.base import Refusal
from ops.models import ApprovalRequest, DeskState
from tests import factories
from tests.database import without_controls
from tests.integration.ops.test_database_controls import execution, order
from tests.integration.trading.execution.bench import A, B, Bench
from trading import takeover
from trading.domain.execution_state import Rest
from trading.execution import flatten, machine, sweep
from trading.models import Execution, FlattenJob, OrderIntent


def another_leads(fence: int | None = None) -> None:
    """As after a steal by somebody else."""
    with without_controls():
        Lease.objects.update(
            owner="another",
            fence=fence or Lease.objects.get().fence + 1,
            expires_at=timezone.now() + timedelta(seconds=20),
            renewed_at=timezone.now(),
            hb_seq=9,
        )


def we_lead_anew() -> None:
    """Our own next term, settled."""
    with without_controls():
        Lease.objects.update(owner=settings.INSTANCE, fence=Lease.objects.get().fence + 1)


def nobody_leads() -> None:
    with without_controls():
        Lease.objects.update(state="FREE")


# --- the database --------------------------------------------------------------------------


@pytest.mark.parametrize(("purpose", "refused"), [("open", True), ("proceed", True), ("reverse", False)])
@pytest.mark.usefixtures("house")
def test_the_database_refuses_a_claim_of_an_older_term(purpose: str, refused: bool) -> None:
    row = order(execution(), purpose=purpose, fence=1)
    we_lead_anew()
    claim = OrderIntent.objects.filter(pk=row.pk)
    if not refused:
        assert claim.update(state="SENDING", sent_at=timezone.now()) == 1
        return
    with pytest.raises(IntegrityError, match="term 1 does not lead"), transaction.atomic():
        claim.update(state="SENDING", sent_at=timezone.now())


@pytest.mark.usefixtures("house", "own_checklist")
def test_the_database_refuses_run_of_an_older_term() -> None:
    factories.resume()
    with pytest.raises(IntegrityError, match="HOLD first"), transaction.atomic():
        connection.cursor().execute("UPDATE ops_deskstate SET fence = 2")
    factories.submit("alice", "ops.hold")
    request = factories.ask("alice", "ops.resume")
    we_lead_anew()
    factories.vote("bob", request)
    request.refresh_from_db()
    assert request.state == "voided"  # of another term than now
    assert DeskState.objects.get().mode == "HOLD"


@pytest.mark.usefixtures("house", "own_checklist")
def test_a_takeover_is_hold_before_anybody_has_written_it() -> None:
    factories.resume()
    assert desk.runs(desk.get_state(), services.current())
    we_lead_anew()
    assert DeskState.objects.get().mode == "RUN"  # the row, for a moment more
    assert not desk.runs(desk.get_state(), services.current())


# --- actions -------------------------------------------------------------------------------


@pytest.mark.usefixtures("house", "own_checklist")
def test_a_standby_stops_and_nothing_else() -> None:
    another_leads()
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "ops.safe_mode", enabled=False)
    assert refused.value.code == "leader.not_here"
    factories.submit("alice", "ops.hold")
    factories.submit("alice", "ops.reduce_only", enabled=True)


@pytest.mark.usefixtures("house", "own_checklist")
def test_what_was_approved_under_the_old_term_is_void() -> None:
    asked = [factories.ask("alice", "ops.launch", at="start"), factories.ask("alice", "ops.resume")]
    with without_controls():
        Lease.objects.update(fence=2)
    Term.objects.create(fence=2, nonce="n", owner="another", how="stale", began_at=timezone.now())
    assert terms.record(2)
    assert not terms.record(2)
    states = {r.state for r in ApprovalRequest.objects.filter(pk__in=[r.pk for r in asked])}
    assert states == {"voided"}


# --- executions ----------------------------------------------------------------------------


def test_a_standby_drives_nothing(bench: Bench) -> None:
    row = bench.open()
    before = Execution.objects.values().get(pk=row.pk)
    another_leads()
    assert isinstance(machine.step(row.pk, {}), Rest)
    assert Execution.objects.values().get(pk=row.pk) == before
    Execution.objects.update(next_at=timezone.now() - timedelta(seconds=9))
    sweeper = sweep.Sweeper()
    assert sweep.late()
    assert sweeper.sweep() == 0
    sweeper.close()
    assert not bench.orders(A) + bench.orders(B)


def test_what_an_older_term_wrote_and_did_not_send_is_never_sent(bench: Bench) -> None:
    row = bench.open()
    we_lead_anew()
    bench.drive(row)
    assert row.state == "ABORTED_CLEAN"
    assert set(OrderIntent.objects.values_list("state", flat=True)) == {"DISCARDED"}
    assert not bench.orders(A) + bench.orders(B)


def test_a_repair_is_of_the_term_that_writes_it(bench: Bench) -> None:
    row = bench.open()
    bench.reject(B)
    following = machine.step(row.pk, {})
    assert isinstance(following, machine.Claimed)
    machine._visit(following.orders, leaves_by=following.leaves_by)
    we_lead_anew()
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"
    fences = dict(OrderIntent.objects.values_list("purpose", "fence").distinct())
    assert fences == {"open": 1, "reverse": 2}


def test_while_nobody_leads_anybody_gets_out_and_nobody_in(bench: Bench) -> None:
    opened = bench.drive(bench.open())
    second = bench.open("SOLUSDT")
    nobody_leads()
    bench.drive(second)
    assert second.state == "ABORTED_CLEAN"
    nobody_leads()
    with pytest.raises(Refusal, match="does not lead"):
        bench.ask("ETHUSDT")
    factories.submit("alice", "trading.flatten")
    job = FlattenJob.objects.latest("created_at")
    for _ in range(40):
        if flatten.advance(job.pk) is None:
            break
        bench.drive(opened)
    opened.refresh_from_db()
    assert opened.state == "SETTLED"
    assert not bench.net(A)
    assert not bench.net(B)


def test_an_order_leaves_within_its_term_or_not_at_all(bench: Bench) -> None:
    """The lease has less left than an order may take: its deadline is the lease's."""
    row = bench.open()
    with without_controls():
        Lease.objects.update(expires_at=timezone.now() + timedelta(seconds=0.9))
    began = boottime()
    following = machine.step(row.pk, {})
    assert isinstance(following, machine.Claimed)
    assert following.leaves_by < began + 0.9
    while boottime() <= following.leaves_by:  # SIGSTOP here, for as long as it takes
        pass
    machine._visit(following.orders, leaves_by=following.leaves_by)
    assert not bench.orders(A) + bench.orders(B)
    refusals = set(OrderIntent.objects.values_list("state", "refusal"))
    assert all(state == "REJECTED_DEFINITE" and "too late" in why for state, why in refusals), refusals


# --- the takeover --------------------------------------------------------------------------


def test_a_new_leader_settles_what_the_old_one_left(bench: Bench, later: Callable[[float], None]) -> None:
    def line() -> dict[str, Any]:
        return next(each for each in checklist.evaluate(checklist.prepare()) if each["name"] == "leader")

    row = bench.open(post_only=True)
    following = machine.step(row.pk, {})
    assert isinstance(following, machine.Claimed)
    machine._visit(following.orders, leaves_by=following.leaves_by)
    assert bench.paper[A].engine.live
    we_lead_anew()
    fence = Lease.objects.get().fence
    Term.objects.create(fence=fence, nonce="n", owner=settings.INSTANCE, how="stale", began_at=timezone.now())
    assert takeover.left_by_older_terms(fence).count() == 2
    assert not line()["ok"]
    bench.fault(B, "venue_down", "any")
    assert not takeover.settle()
    assert not bench.paper[A].engine.live  # cancelled at the venue that answers
    bench.heal()
    for _ in range(20):
        later(1)
        bench.drive(row)
        if takeover.settle():
            break
    assert Term.objects.get(pk=fence).settled_at is not None
    assert line()["ok"]
    assert not bench.paper[B].engine.live
