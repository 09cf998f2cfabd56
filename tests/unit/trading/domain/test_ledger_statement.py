"""A thousand random executions on the paper venues: our books are the venues' statements, to the last digit.

The engines are driven directly; ROUNDS of them.
"""

import os
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tests.unit.trading.paper.flat import Desk
from trading.domain import ledger, pnl
from trading.domain.attribution import LegFill, parts
from trading.domain.execution_state import Purpose
from trading.domain.ledger import Account, EntryKind
from trading.domain.market import Side
from trading.paper.account import START_WALLET
from trading.paper.engine import Rules
from trading.paper.market import FUNDING_MS
from trading.paper.orders import Bill, Fill

ROUNDS = int(os.environ.get("ROUNDS", "1000"))
A, B = "binanceusdm", "okx"
BTC = "BTC/USDT:USDT"
ZERO = Decimal(0)
ROUNDING = Decimal("1e-6")


@dataclass
class Run:
    """One execution: its fills, what of its legs is open, and its shares."""

    name: str
    qty: Decimal
    fills: list[LegFill] = field(default_factory=list)
    funding: Decimal = ZERO
    rounding: Decimal = ZERO

    def held(self, venue: str) -> Decimal:
        return sum((f.signed for f in self.fills if f.venue == venue), ZERO)


@dataclass
class Books:
    """What `trading.ledger` does in rows, in memory."""

    desks: dict[str, Desk]
    runs: dict[str, Run] = field(default_factory=dict)
    open: list[Run] = field(default_factory=list)
    positions: dict[str, pnl.Position] = field(default_factory=lambda: defaultdict(pnl.Position))
    entries: list[ledger.Entry] = field(default_factory=list)
    wallet: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def trade(self, run: Run, venue: str, side: Side, qty: Decimal, purpose: Purpose) -> None:
        desk = self.desks[venue]
        desk.place(side.value, qty, reduce_only=purpose is not Purpose.OPEN, client_order_id="")
        self._read(venue, run, purpose)

    def pass_funding(self) -> None:
        for venue, desk in self.desks.items():
            desk.engine.advance((desk.engine.now_ms // FUNDING_MS + 1) * FUNDING_MS)
            self._read(venue, None, Purpose.OPEN)

    def _read(self, venue: str, run: Run | None, purpose: Purpose) -> None:
        changes = self.desks[venue].engine.drain()
        for fill in changes.fills:
            assert run is not None
            self._fill(venue, run, fill, purpose)
        for bill in changes.bills:
            self._bill(venue, run, bill)

    def _fill(self, venue: str, run: Run, fill: Fill, purpose: Purpose) -> None:
        side, before = Side(fill.side.value), self.positions[venue]
        after = pnl.apply_fill(before, side=side, qty=fill.qty, price=fill.price, fee=fill.fee)
        self.positions[venue] = after
        self.post(
            ledger.of_fill(
                ledger.Trade(
                    venue=venue,
                    symbol=BTC,
                    trade_id=str(fill.id),
                    side=side,
                    qty=fill.qty,
                    fee=fill.fee,
                    fee_currency="USDT",
                    at=moment(fill.at_ms),
                    before=before,
                    after=after,
                )
            )
        )
        run.fills.append(
            LegFill(
                venue=venue,
                symbol=BTC,
                purpose=purpose,
                leg_side=Side.BUY if venue == A else Side.SELL,
                plan_price=Decimal("60000.05"),
                side=side,
                qty=fill.qty,
                price=fill.price,
                fee=fill.fee,
                fee_currency="USDT",
            )
        )

    def _bill(self, venue: str, run: Run | None, bill: Bill) -> None:
        if bill.kind == "funding":
            self.post(
                ledger.of_bill(
                    EntryKind.FUNDING,
                    venue=venue,
                    bill_id=str(bill.id),
                    symbol=BTC,
                    currency="USDT",
                    amount=bill.amount,
                    fee=ZERO,
                    at=moment(bill.at_ms),
                )
            )
            held = {each.name: each.held(venue) for each in self.open if each.held(venue)}
            for name, share in ledger.shares(bill.amount, held).items():
                self.runs[name].funding += share
        else:
            assert run is not None
            booked = next(e for e in reversed(self.entries) if e.source.endswith(f":{bill.fill_id}"))
            lines = (line.amount for line in booked.lines if line.account is Account.WALLET)
            off = bill.amount - sum(lines, ZERO)
            assert abs(off) <= ROUNDING
            run.rounding += off
            if off:
                named = {"venue": venue, "symbol": BTC, "currency": "USDT"}
                self.post(ledger.of_rounding(f"r{bill.id}", amount=off, at=moment(bill.at_ms), **named))
        assert self.wallet[venue] == bill.wallet - START_WALLET, "the statement after this very line"

    def post(self, entry: ledger.Entry) -> None:
        self.entries.append(entry)
        for line in entry.lines:
            if line.account is Account.WALLET:
                self.wallet[line.venue] += line.amount


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def desk(fee: str) -> Desk:
    rate = Decimal(fee)
    return Desk(Rules(maker_fee=rate, taker_fee=rate, refuses_at_once=True, client_id_reusable=True))


def live(seed: int, rounds: int) -> Books:
    """Open, close in parts, reverse, all mixed, over moving markets and funding instants; flat at the end."""
    draw = random.Random(seed)
    books = Books({A: desk("0.00037"), B: desk("0.00051")})
    books.desks[B].market.rate = Decimal("-0.00013")
    started = 0
    while started < rounds or books.open:
        for each in books.desks.values():
            each.market_moves(str(draw.randrange(-90, 91)))
        if started < rounds and len(books.open) < 6 and draw.random() < 0.6:
            started += 1
            begin(books, draw, f"run{started}")
        elif books.open:
            go_on(books, draw, draw.choice(books.open))
        if draw.random() < 0.02:
            books.pass_funding()
    return books


def begin(books: Books, draw: random.Random, name: str) -> None:
    run = Run(name, Decimal(draw.randrange(2, 60)) / 1000)
    books.runs[name] = run
    books.open.append(run)
    books.trade(run, A, Side.BUY, run.qty, Purpose.OPEN)
    if draw.random() < 0.1:  # the other leg was refused
        books.trade(run, A, Side.SELL, run.qty, Purpose.REVERSE)
        books.open.remove(run)
    else:
        books.trade(run, B, Side.SELL, run.qty, Purpose.OPEN)


def go_on(books: Books, draw: random.Random, run: Run) -> None:
    left = run.held(A)
    qty = left if draw.random() < 0.5 else Decimal(draw.randrange(1, int(left * 1000) + 1)) / 1000
    books.trade(run, A, Side.SELL, qty, Purpose.CLOSE)
    books.trade(run, B, Side.BUY, qty, Purpose.CLOSE)
    if not run.held(A):
        books.open.remove(run)


def test_random_executions_equal_the_venues_statements() -> None:
    books = live(seed=4, rounds=ROUNDS)
    totals = ledger.balances(books.entries)
    for venue, each in books.desks.items():
        account = each.engine.account
        assert totals[venue, Account.WALLET, "USDT"] == account.wallet - START_WALLET
        assert totals[venue, Account.FEES, "USDT"] == account.fees_paid
        assert -totals[venue, Account.FUNDING, "USDT"] == account.funding
        rounding = totals[venue, Account.ROUNDING, "USDT"]
        assert rounding, "the venue rounds, or this shows nothing"
        assert account.funding
        assert -totals[venue, Account.REALISED, "USDT"] - rounding == account.realised
        assert totals[venue, Account.POSITION, "USDT"] == totals[venue, Account.POSITION, BTC] == ZERO


def test_the_parts_of_all_executions_are_the_venues_profit() -> None:
    books = live(seed=5, rounds=ROUNDS)
    told = [
        parts(r.fills, marks={}, quote="USDT", rates={}, funding=r.funding, rounding=r.rounding).net
        for r in books.runs.values()
    ]
    earned = sum((each.engine.account.wallet - START_WALLET for each in books.desks.values()), ZERO)
    assert None not in told
    assert sum((net for net in told if net is not None), ZERO) == earned
    assert len(told) == ROUNDS
    assert earned
