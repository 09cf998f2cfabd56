"""An engine on a market that stands still: a few levels whose sizes a test can add up in its head."""

from collections.abc import Sequence
from decimal import Decimal

from trading.paper.engine import Engine, Rules
from trading.paper.instruments import BINANCE, Instrument
from trading.paper.market import FUNDING_MS, Ladder
from trading.paper.orders import NewOrder, Order, Side, TimeInForce

D = Decimal
START_MS = 200 * FUNDING_MS  # on a funding instant and on a step
RULES = Rules(maker_fee=D("0.0002"), taker_fee=D("0.0005"), refuses_at_once=True, client_id_reusable=True)


class FlatMarket:
    """BTC at 60000.0 / 60000.1, three levels of 1, 2 and 3 BTC a dollar apart; `move` shifts all of it."""

    def __init__(self) -> None:
        self.shift = D(0)
        self.rate = D("0.0001")

    def bases(self) -> Sequence[str]:
        return ("BTC",)

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        bid, ask = D("60000.0") + self.shift, D("60000.1") + self.shift
        return Ladder(
            bids=tuple((bid - n, D(n + 1)) for n in range(3)),
            asks=tuple((ask + n, D(n + 1)) for n in range(3)),
            mark=D(60000) + self.shift,
            index=D(60000),
        )

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        return self.rate


class Desk:
    """Shorthand for what the tests do with one engine."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.market = FlatMarket()
        self.engine = Engine("binanceusdm", rules, BINANCE, self.market, now_ms=START_MS)
        self._number = 0

    def place(
        self,
        side: str,
        qty: str | Decimal,
        price: str | Decimal | None = None,
        *,
        tif: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        client_order_id: str = "",
        fill_at_most: Decimal | None = None,
    ) -> Order:
        self._number += 1
        new = NewOrder(
            base="BTC",
            side=Side(side),
            qty=D(qty),
            price=None if price is None else D(price),
            time_in_force=tif,
            reduce_only=reduce_only,
            client_order_id=client_order_id or f"order{self._number}",
        )
        return self.engine.place(new, fill_at_most=fill_at_most)

    def market_moves(self, dollars: str) -> None:
        self.market.shift += D(dollars)
        self.engine.advance(self.engine.now_ms + 200)

    @property
    def net(self) -> Decimal:
        return self.engine.account.position("BTC").net
