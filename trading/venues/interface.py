"""What the house asks of a venue. One implementation per venue, all in this package, all on ccxt.

Quantities are base coin, prices quote currency, times aware UTC. Every failure leaves as `VenueError` with
one of the `Verdict`s: a *definite* reject comes from an allow-list of the venue's codes; whatever is not on a
list is AMBIGUOUS, which on the order path means "may have happened" (spec 4.1, facts §5).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from trading.domain.market import Book, FeeTier, Funding, Instrument, Side, TimeInForce

#: No adapter waits longer for one answer; an order whose sender is silent beyond it has no sender left.
CLIENT_TIMEOUT_MS = 3_000


class Verdict(StrEnum):
    REJECTED = "rejected"  # definite: the venue refused, nothing rests, nothing filled
    RATE_LIMITED = "rate_limited"  # definite: not accepted, slow down
    NOT_FOUND = "not_found"  # the venue answered, and knows no such order (yet)
    AUTH = "auth"  # definite: key, signature or permission
    MAINTENANCE = "maintenance"  # definite: the venue says it is closed
    AMBIGUOUS = "ambiguous"  # time-out, 5xx, dropped connection, unknown code: may have happened

    @property
    def definite(self) -> bool:
        """True when an order that got this answer certainly does not exist at the venue."""
        return self in {Verdict.REJECTED, Verdict.RATE_LIMITED, Verdict.AUTH, Verdict.MAINTENANCE}


class VenueError(Exception):
    """A venue's refusal or silence, classified. `code` is the venue's own, or the ccxt class name."""

    def __init__(self, verdict: Verdict, *, venue: str, code: str, detail: str) -> None:
        super().__init__(f"{venue} {verdict} {code}: {detail}")
        self.verdict, self.venue, self.code, self.detail = verdict, venue, code, detail


@dataclass(frozen=True, slots=True)
class NewOrder:
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    client_order_id: str
    time_in_force: TimeInForce = TimeInForce.IOC
    post_only: bool = False
    reduce_only: bool = False

    @property
    def rests(self) -> bool:
        return self.post_only or self.time_in_force is TimeInForce.GTC


class OrderStatus(StrEnum):
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"  # includes expired IOC, possibly with filled > 0
    REJECTED = "rejected"

    @property
    def terminal(self) -> bool:
        return self in {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED}


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The venue's view of one order. `status` None: accepted, and the answer carries ids only (OKX)."""

    venue: str
    symbol: str
    client_order_id: str
    venue_order_id: str
    side: Side | None
    qty: Decimal | None
    filled: Decimal | None
    average_price: Decimal | None
    status: OrderStatus | None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FillReport:
    """One trade of ours. fee > 0: we paid; fee < 0: a rebate. fee_currency as the venue charged it."""

    venue: str
    symbol: str
    trade_id: str
    venue_order_id: str
    client_order_id: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """net > 0 long, < 0 short; never 0 (a flat instrument has no row)."""

    venue: str
    symbol: str
    net: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealised_pnl: Decimal
    liquidation_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Settlement currency of the account (USDT). free: available for new margin."""

    venue: str
    currency: str
    total: Decimal
    free: Decimal


@dataclass(frozen=True, slots=True)
class ClockSample:
    """offset_ms = venue − ours, at the middle of the round trip."""

    venue: str
    offset_ms: int
    round_trip_ms: int


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """How the account stands on one instrument; None where the venue does not say."""

    venue: str
    symbol: str
    position_mode: str  # "one_way" | "hedge"
    margin_mode: str  # "cross" | "isolated"
    leverage: int | None
    can_trade: bool
    can_withdraw: bool
    fees: FeeTier


@dataclass(frozen=True, slots=True)
class OrderOwner:
    """forced: the venue's own (liquidation, ADL, settlement). client_order_id "" where there is none."""

    client_order_id: str
    forced: bool


class BillKind(StrEnum):
    TRADE = "trade"  # realised PnL, fee, or both, of one fill
    FUNDING = "funding"
    TRANSFER = "transfer"  # in or out of this account
    OTHER = "other"  # insurance, ADL settlement, rebates, interest: never explained away


@dataclass(frozen=True, slots=True)
class BillReport:
    """One line of the venue's own statement: a change of the wallet. `amount` is signed, fee included.

    Binance writes PnL and commission of one fill as two lines, OKX and Bybit as one.
    """

    venue: str
    bill_id: str  # unique per venue; with a suffix where the venue numbers two lines alike
    kind: BillKind
    symbol: str  # "" when it concerns no instrument
    currency: str
    amount: Decimal
    fee: Decimal  # the part of it that is a fee; > 0 paid
    trade_id: str  # of the fill, "" when there is none
    at: datetime


class DeadManScope(StrEnum):
    INSTRUMENT = "instrument"  # one timer per instrument (Binance)
    ACCOUNT = "account"  # one timer for everything (OKX)
    NONE = "none"  # no timer to be had (Bybit: only on loss of a stream, institutional clients)


@dataclass(frozen=True, slots=True)
class DeadMan:
    """What a venue's cancel-all timer really is; seconds it accepts."""

    scope: DeadManScope
    min_sec: int = 0
    max_sec: int = 0


@dataclass(frozen=True, slots=True)
class VenueEndpoint:
    """Where a venue is and who we are there. `base_url` None: the venue's own hosts (testnet, live)."""

    venue: str
    profile: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    api_passphrase: str = field(default="", repr=False)
    base_url: str | None = None


class Venue(Protocol):
    """All coroutines raise `VenueError` and nothing else that comes from the network."""

    name: str

    async def load(self) -> Mapping[str, Instrument]:
        """Instruments by unified symbol (`BTC/USDT:USDT`), linear USDT swaps; kept after the first call."""
        ...

    async def clock(self) -> ClockSample: ...
    async def book(self, symbol: str, *, depth: int = 20) -> Book: ...
    async def funding(self, symbol: str) -> Funding: ...
    async def balance(self) -> Balance: ...
    async def account(self, symbol: str) -> AccountSetup: ...
    async def positions(self) -> tuple[VenuePosition, ...]: ...
    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]: ...

    async def place(self, order: NewOrder) -> OrderReport:
        """One attempt, never retried. AMBIGUOUS means: query by client id, never send again."""
        ...

    async def order(self, symbol: str, client_order_id: str) -> OrderReport:
        """By client id; `VenueError(NOT_FOUND)` when the venue answers that it knows none."""
        ...

    async def fills(self, symbol: str, *, venue_order_id: str) -> tuple[FillReport, ...]:
        """All trades of one order, oldest first."""
        ...

    async def trades(self, symbol: str, *, since: datetime) -> tuple[FillReport, ...]:
        """All trades on the instrument since then, oldest first: also those of orders that are not ours
        (liquidation, ADL, somebody else's). `client_order_id` is "" where the venue does not say it."""
        ...

    async def owner(self, symbol: str, *, venue_order_id: str) -> OrderOwner:
        """Whose order it was; `VenueError(NOT_FOUND)` when the venue does not know it any more."""
        ...

    async def bills(self, *, since: datetime) -> tuple[BillReport, ...]:
        """The account's statement since then, oldest first, complete (all pages)."""
        ...

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Asks; the caller re-reads the order. NOT_FOUND when already terminal or never there."""
        ...

    def watch_orders(self) -> AsyncIterator[OrderReport | FillReport]:
        """Our orders and fills as the venue tells them by itself, perhaps late, twice or out of order. Ends
        with `VenueError` when the connection does; what was missed meanwhile is not told again."""
        ...

    @property
    def listening(self) -> bool:
        """Whether the connection of `watch_orders` stands. It may still be half-open."""
        ...

    def watch_book(self, symbol: str, *, depth: int = 50) -> AsyncIterator[Book]:
        """The book after each change; after a lost message only once there is a new snapshot. Ends like
        `watch_orders`. A connection that is silent is not noticed here: look at the book's age."""
        ...

    @property
    def gaps(self) -> Mapping[str, datetime]:
        """Books of `watch_book` that lost a message and have not been whole since: by symbol, since when."""
        ...

    @property
    def fenced(self) -> bool:
        """It refuses an order that comes later than we allowed when we signed it (spec 5)."""
        ...

    @property
    def dead_man(self) -> DeadMan: ...

    async def arm_dead_man(self, symbol: str, *, timeout_sec: int) -> None:
        """Cancel what rests in `timeout_sec` unless told again; 0 disarms. `symbol` is "" where the scope is
        the account. `VenueError` REJECTED `not_sent` where there is no timer or it is out of range."""
        ...

    async def set_leverage(self, symbol: str, leverage: int) -> None: ...
    async def set_position_mode(self, *, one_way: bool) -> None: ...

    def weight_used(self) -> Mapping[str, int]:
        """Request weight as the venue's last headers state it, by window; empty before the first answer."""
        ...

    async def close(self) -> None: ...
