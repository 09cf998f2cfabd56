"""Our books against the venues' own, to the last digit: orders, fills, positions, PnL; and the journals."""

from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from risk.models import Reservation
from tests.database import without_controls
from tests.integration.trading.execution.bench import BTC, SOL, Bench
from trading import selectors
from trading.domain.execution_state import FINAL, LEGAL, RESTING, ExecutionState
from trading.domain.ledger import Account
from trading.domain.order_state import TERMINAL
from trading.domain.reconcile import BreakKind
from trading.ledger.posting import balance
from trading.models import Execution, Fill, LedgerEntry, OrderIntent, Position, ReconciliationBreak
from trading.paper import orders as paper
from trading.paper.dialects import bybit_shapes

SYMBOLS = {"BTC": BTC, "SOL": SOL, "ETH": "ETH/USDT:USDT"}
ZERO = Decimal(0)


def path(execution: Execution) -> list[str]:
    return [t.after for t in execution.transitions.order_by("id")][2:]


def states(execution: Execution, purpose: str = "open") -> list[str]:
    rows = OrderIntent.objects.filter(leg__execution=execution, purpose=purpose)
    return [row.state for row in rows.order_by("leg__index", "attempt")]


def assert_books_agree(bench: Bench) -> None:
    """After anything at all, once every execution rests."""
    for venue in bench.both:
        _orders(bench, venue)
        _fills(bench, venue)
        _positions(bench, venue)
        _ledger(venue)
    for execution in Execution.objects.filter(dry_run=False):
        _settled(execution)
        _journaled(execution)
        _pnl(bench, execution)


def assert_hedged(bench: Bench, qty: Decimal | None = None, base: str = "BTC") -> None:
    """Long on A what is short on B; `qty` None: whatever it is. The venues' own word."""
    long, short = (bench.net(venue, base) for venue in bench.both)
    assert long == -short, f"naked: {long} on {bench.long}, {short} on {bench.short}"
    assert qty is None or long == qty


def assert_flat(bench: Bench, base: str = "BTC") -> None:
    assert_hedged(bench, ZERO, base)


def _orders(bench: Bench, venue: str) -> None:
    """The venue has each of our ids once, knows no others, and every order is over."""
    theirs = bench.orders(venue)
    ids = [order.client_order_id for order in theirs]
    assert len(set(ids)) == len(ids), f"a client id twice on {venue}: {ids}"
    ours = {row.client_order_id: row for row in OrderIntent.objects.filter(venue=venue)}
    assert set(ids) <= ours.keys(), "the venue knows an order that no row intends"
    for order in theirs:
        row = ours[order.client_order_id]
        assert not order.live, f"{row} still rests on {venue}"
        assert (row.side, row.qty, row.reduce_only) == (order.side.value, order.qty, order.reduce_only)
        assert (row.filled, row.quote_filled, row.fee) == (order.filled, order.cost, order.fee)
        assert row.venue_order_id or not order.filled
    for row in ours.values():
        assert row.state in TERMINAL, f"{row} is not over"
        assert row.filled == ZERO or row.client_order_id in ids


def _fills(bench: Bench, venue: str) -> None:
    theirs = {
        (f.client_order_id, f.side.value, f.qty, f.price, f.fee, f.maker, _trade_id(venue, f))
        for f in bench.paper[venue].engine.fills.values()
    }
    ours = {
        (f.order.client_order_id, f.side, f.qty, f.price, f.fee, f.maker, f.trade_id)
        for f in Fill.objects.filter(venue=venue).select_related("order")
    }
    assert ours == theirs


def _trade_id(venue: str, fill: paper.Fill) -> str:
    """As the dialect shows it: Bybit's are UUIDs."""
    return str(UUID(int=bybit_shapes.FIRST_FILL + fill.id)) if venue == "bybit" else str(fill.id)


def _positions(bench: Bench, venue: str) -> None:
    """Net, and realised − cost = cash: with both, PnL is right at every mark."""
    for base, symbol in SYMBOLS.items():
        fills = [f for f in bench.paper[venue].engine.fills.values() if f.base == base]
        row = Position.objects.filter(venue=venue, symbol=symbol).first() or Position()
        assert row.net == bench.net(venue, base)
        assert row.realised - row.cost == _cash(fills)
        assert row.fees == sum((f.fee for f in fills), ZERO)
        assert row.net or row.cost == ZERO


def _ledger(venue: str) -> None:
    """Positions, realised profit and fees derive from the ledger."""
    rows = Position.objects.filter(venue=venue)
    for row in rows:
        assert balance(venue, Account.POSITION, row.symbol) == row.net
    for account, sign, name in (
        (Account.POSITION, 1, "cost"),
        (Account.REALISED, -1, "realised"),
        (Account.FEES, 1, "fees"),
    ):
        assert sign * balance(venue, account, "USDT") == sum((getattr(r, name) for r in rows), ZERO)
    assert (
        LedgerEntry.objects.filter(venue=venue, kind="fill").count()
        == Fill.objects.filter(venue=venue).count()
    )


def _settled(execution: Execution) -> None:
    state = ExecutionState(execution.state)
    if state in FINAL | RESTING:
        assert not Reservation.objects.filter(execution_id=execution.pk, released_at=None).exists()
        assert not execution.closing
        assert execution.next_at is None


def _journaled(execution: Execution) -> None:
    rows = list(execution.transitions.order_by("id"))
    assert [r.before for r in rows] == ["", *(r.after for r in rows[:-1])]
    assert rows[-1].after == execution.state
    for row in rows[1:]:
        assert row.after in LEGAL[ExecutionState(row.before)]
        assert row.detail


def _pnl(bench: Bench, execution: Execution) -> None:
    """What the face says of one execution against the venue's fills of its orders, at marks of ours."""
    marks = {(bench.long, s): Decimal("61234.5678") for s in SYMBOLS.values()}
    marks |= {(bench.short, s): Decimal("61299.123") for s in SYMBOLS.values()}
    ours = set(OrderIntent.objects.filter(leg__execution=execution).values_list("client_order_id", flat=True))
    gross = fees = ZERO
    for venue in bench.both:
        fills = [f for f in bench.paper[venue].engine.fills.values() if f.client_order_id in ours]
        gross += _cash(fills) + sum((f.side.sign * f.qty * marks[venue, BTC] for f in fills), ZERO)
        fees += sum((f.fee for f in fills), ZERO)
    said = selectors.execution_pnl(execution, marks=marks)
    assert said["realised"] + said["unrealised"] == gross
    assert (said["fees"], said["net"]) == (fees, gross - fees)


def _cash(fills: "list[paper.Fill]") -> Decimal:
    return -sum((f.side.sign * f.qty * f.price for f in fills), ZERO)


def accepted_break(venue: str, source: str) -> None:
    """What `trading.accept_break` leaves before it books the money of `source`."""
    now = timezone.now()
    with without_controls():
        ReconciliationBreak.objects.create(
            venue=venue,
            kind=BreakKind.MONEY,
            key=source,
            detail="explained",
            data={"source": source},
            opened_at=now,
            last_seen_at=now,
            accepted_at=now,
        )
