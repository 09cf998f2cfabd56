"""Orders, fills, bills, and why an order is refused. Quantities in base coin, money in USDT."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

ZERO = Decimal(0)


class Side(Enum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(Enum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "POST_ONLY"


class Status(Enum):
    LIVE = "live"
    FILLED = "filled"
    CANCELED = "canceled"


class Ended(Enum):
    """Why an order is canceled."""

    USER = "user"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"
    SELF_TRADE = "self_trade"
    DEAD_MAN = "dead_man"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATED = "liquidated"


class Forced(Enum):
    """Why the venue itself closed a position; the value begins the client id that Binance gives its order."""

    LIQUIDATION = "autoclose-"
    ADL = "adl_autoclose-"

    @classmethod
    def of(cls, client_order_id: str) -> "Forced | None":
        return next((each for each in cls if client_order_id.startswith(each.value)), None)


def shown_id(client_order_id: str) -> str:
    """As OKX and Bybit show it: the venue's own orders have none."""
    return "" if Forced.of(client_order_id) else client_order_id


class Refused(Exception):
    """The venue says no; `reason` is what a dialect turns into its code and HTTP status."""

    def __init__(self, reason: "Reason", detail: str = "") -> None:
        super().__init__(f"{reason.name}: {detail}")
        self.reason, self.detail = reason, detail


class Reason(Enum):
    UNKNOWN_SYMBOL = "unknown symbol"
    MISSING = "a mandatory parameter is missing"
    BAD_VALUE = "a parameter has no acceptable value"
    TICK = "price is off the tick"
    PRICE_DECIMALS = "price has too many decimals"
    LOT = "quantity is off the lot"
    QTY_DECIMALS = "quantity has too many decimals"
    MIN_QTY = "quantity below the minimum"
    MAX_QTY = "quantity above the maximum"
    MIN_NOTIONAL = "notional below the minimum"
    PRICE_HIGH = "buy price above the band"
    PRICE_LOW = "sell price below the band"
    MARGIN = "insufficient margin"
    REDUCE_ONLY = "would not reduce"
    POST_ONLY = "would take liquidity"
    FOK = "cannot be filled whole"
    CLIENT_ID = "client id malformed"
    DUPLICATE = "client id already used"
    UNKNOWN_ORDER = "order does not exist"
    ALREADY_CANCELED = "order already canceled"
    ALREADY_FILLED = "order already filled"
    NO_CHANGE = "nothing to change"
    HAS_POSITION = "not while positions or orders are open"
    HEDGE_MODE = "only one-way mode here"
    LEVERAGE = "leverage out of range"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """`price` None is a market order."""

    base: str
    side: Side
    qty: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool
    client_order_id: str
    tag: str = ""


@dataclass(slots=True)
class Order:
    id: int
    client_order_id: str
    base: str
    side: Side
    qty: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool
    created_ms: int
    updated_ms: int
    tag: str = ""
    status: Status = Status.LIVE
    ended: Ended | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO  # Σ price · quantity, USDT
    fee: Decimal = ZERO  # positive is charged
    realised: Decimal = ZERO
    last_fill: int = 0

    @property
    def left(self) -> Decimal:
        return self.qty - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.filled if self.filled else ZERO

    @property
    def live(self) -> bool:
        return self.status is Status.LIVE


@dataclass(frozen=True, slots=True)
class Fill:
    id: int
    order_id: int
    client_order_id: str
    base: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal  # positive is charged
    realised: Decimal
    maker: bool
    at_ms: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """One change of the wallet. `amount` = realised − fee for a trade, the payment for funding."""

    id: int
    kind: str  # "trade" or "funding"
    base: str
    amount: Decimal
    fee: Decimal
    realised: Decimal
    wallet: Decimal  # after it
    qty: Decimal  # bought +, sold −; for funding the position
    price: Decimal
    fill_id: int
    order_id: int
    at_ms: int


@dataclass(slots=True)
class Changes:
    """What a call changed and a journal has to write before the venue answers."""

    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    account: bool = False

    def __bool__(self) -> bool:
        return bool(self.orders or self.fills or self.bills or self.account)
