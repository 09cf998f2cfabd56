"""Double entry: every change of money is lines that add up to zero in each currency.

An account is (venue, account, currency). WALLET is what the venue says we have, positive when we have
money; what we earn stands with a minus (REALISED, FUNDING, OTHER), what we pay with a plus (FEES). An open
position is kept twice against MARKET: its base coins, in the unit named by the instrument's symbol, and its
signed cost in quote currency, so that net, cost and realised profit all derive from the lines.

Quantities are base coin, money is Decimal, times are aware UTC.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trading.domain import pnl
from trading.domain.market import Side
from trading.domain.money import ZERO


class Account(StrEnum):
    WALLET = "wallet"
    OPENING = "opening"  # contra: what was in the wallet when the books were opened
    REALISED = "realised"
    FEES = "fees"
    FUNDING = "funding"
    ROUNDING = "rounding"  # the venue rounds its realised PnL, we do not
    TRANSIT = "transit"  # left one venue, not yet at the other
    ADJUSTMENT = "adjustment"  # accepted by two people
    OTHER = "other"  # insurance, ADL settlement, interest: whatever the venue booked by itself
    POSITION = "position"
    MARKET = "market"  # contra of POSITION


#: The accounts whose lines, with the sign turned, are profit.
PROFIT = (
    Account.REALISED,
    Account.FEES,
    Account.FUNDING,
    Account.ROUNDING,
    Account.ADJUSTMENT,
    Account.OTHER,
)


class EntryKind(StrEnum):
    OPENING = "opening"
    FILL = "fill"
    ROUNDING = "rounding"
    FUNDING = "funding"
    TRANSFER = "transfer"
    OTHER = "other"
    ADJUSTMENT = "adjustment"


class UnbalancedError(ValueError):
    """An entry whose lines do not add up to zero in some currency, or that has fewer than two."""


@dataclass(frozen=True, slots=True)
class Line:
    """currency: of money, its code; of base coins in POSITION and MARKET, the instrument's symbol."""

    venue: str
    account: Account
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """`source` is what it was made from, and unique: the same news twice is one entry.

    Raises:
        UnbalancedError: and nothing that does not balance ever becomes a row.
    """

    source: str
    kind: EntryKind
    at: datetime
    lines: tuple[Line, ...]
    venue: str = ""
    symbol: str = ""

    def __post_init__(self) -> None:
        if len(self.lines) < 2:
            raise UnbalancedError(f"{self.source}: {len(self.lines)} lines; accepted: 2 or more")
        for currency, total in sums(self.lines).items():
            if total:
                raise UnbalancedError(f"{self.source}: lines in {currency} add up to {total}, not 0")


Key = tuple[str, Account, str]


def sums(lines: Iterable[Line]) -> dict[str, Decimal]:
    """By currency."""
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for line in lines:
        found[line.currency] += line.amount
    return dict(found)


def balances(entries: Iterable[Entry]) -> dict[Key, Decimal]:
    """By (venue, account, currency); the order of the entries does not matter."""
    found: dict[Key, Decimal] = defaultdict(lambda: ZERO)
    for entry in entries:
        for line in entry.lines:
            found[line.venue, line.account, line.currency] += line.amount
    return dict(found)


def settlement(symbol: str) -> str:
    """The currency in which a unified swap symbol is settled: USDT of BTC/USDT:USDT.

    ValueError for a symbol that names none.
    """
    _, _, currency = symbol.partition(":")
    if not currency:
        raise ValueError(f"{symbol!r} names no settlement currency; accepted: BASE/QUOTE:SETTLEMENT")
    return currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill of ours and what it did to the position. qty > 0 base coin; fee > 0 paid, in fee_currency."""

    venue: str
    symbol: str
    trade_id: str
    side: Side
    qty: Decimal
    fee: Decimal
    fee_currency: str
    at: datetime
    before: pnl.Position
    after: pnl.Position

    @property
    def source(self) -> str:
        return fill_source(self.venue, self.symbol, self.trade_id)


def fill_source(venue: str, symbol: str, trade_id: str) -> str:
    """As unique as the fill's row: some venues number trades per instrument."""
    return f"fill:{venue}:{symbol}:{trade_id}"


def bill_source(venue: str, bill_id: str) -> str:
    return f"bill:{venue}:{bill_id}"


def of_fill(trade: Trade) -> Entry:
    """Coins and cost into the position, what was realised into the wallet, the fee out of it."""
    quote, venue, moved = settlement(trade.symbol), trade.venue, trade.side.sign * trade.qty
    realised = trade.after.realised - trade.before.realised
    cost = trade.after.cost - trade.before.cost
    pairs = (
        *_pair(venue, Account.POSITION, Account.MARKET, trade.symbol, moved),
        *_pair(venue, Account.POSITION, Account.MARKET, quote, cost),
        *_pair(venue, Account.WALLET, Account.REALISED, quote, realised),
        *_pair(venue, Account.FEES, Account.WALLET, trade.fee_currency, trade.fee),
    )
    return Entry(trade.source, EntryKind.FILL, trade.at, pairs, venue, trade.symbol)


def of_bill(
    kind: EntryKind,
    *,
    venue: str,
    bill_id: str,
    symbol: str,
    currency: str,
    amount: Decimal,
    fee: Decimal,
    at: datetime,
) -> Entry:
    """A change of the wallet that is no trade. amount: signed, fee included; fee > 0 paid.

    kind: FUNDING, TRANSFER (into or out of transit) or OTHER. UnbalancedError for a bill over nothing.
    """
    lines = (
        *_pair(venue, Account.WALLET, CONTRA[kind], currency, amount + fee),
        *_pair(venue, Account.FEES, Account.WALLET, currency, fee),
    )
    return Entry(bill_source(venue, bill_id), kind, at, lines, venue, symbol)


CONTRA = {
    EntryKind.FUNDING: Account.FUNDING,
    EntryKind.TRANSFER: Account.TRANSIT,
    EntryKind.OTHER: Account.OTHER,
}


def of_rounding(
    source: str, *, venue: str, symbol: str, currency: str, amount: Decimal, at: datetime
) -> Entry:
    """What the venue booked for a fill less what we did. amount: signed, as the wallet changes."""
    lines = _pair(venue, Account.WALLET, Account.ROUNDING, currency, amount)
    return Entry(source, EntryKind.ROUNDING, at, lines, venue, symbol)


def of_departure(source: str, *, venue: str, currency: str, amount: Decimal, at: datetime) -> Entry:
    """Out of the venue's wallet, into transit. amount > 0."""
    if amount <= 0:
        raise ValueError(f"{amount} cannot be sent; accepted: above 0")
    lines = _pair(venue, Account.TRANSIT, Account.WALLET, currency, amount)
    return Entry(source, EntryKind.TRANSFER, at, lines, venue)


def of_adjustment(source: str, *, venue: str, currency: str, amount: Decimal, at: datetime) -> Entry:
    """What two people accepted as unexplained. amount: signed, as the wallet changes."""
    lines = _pair(venue, Account.WALLET, Account.ADJUSTMENT, currency, amount)
    return Entry(source, EntryKind.ADJUSTMENT, at, lines, venue)


def of_opening(*, venue: str, currency: str, amount: Decimal, at: datetime) -> Entry:
    """What the wallet held when the books of the venue were opened."""
    lines = _pair(venue, Account.WALLET, Account.OPENING, currency, amount)
    return Entry(f"opening:{venue}:{currency}", EntryKind.OPENING, at, lines, venue)


def _pair(venue: str, to: Account, of: Account, currency: str, amount: Decimal) -> tuple[Line, ...]:
    """`amount` into one account out of the other; nothing for nothing."""
    if not amount:
        return ()
    return Line(venue, to, currency, amount), Line(venue, of, currency, -amount)


#: A share of a funding payment is cut here; the last one takes what is left.
SHARE_QUANTUM = Decimal("1e-12")


def shares(amount: Decimal, held: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """A funding payment by who held what: in proportion to signed quantity, the rest to the last one.

    held: signed base coin by execution, in order. A short pays less, not more, where the net is long: its
    share has the other sign. Empty when nothing was held, or when what was held cancels out.
    """
    net = sum(held.values(), ZERO)
    if not net:
        return {}
    found, left, last = {}, amount, list(held)[-1]
    for name, qty in held.items():
        found[name] = left if name == last else (amount * qty / net).quantize(SHARE_QUANTUM)
        left -= found[name]
    return found
