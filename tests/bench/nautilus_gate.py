"""nautilus_trader's pre-trade check, timed: run by an interpreter that has it, as `make bench` does.

    python nautilus_gate.py ROUNDS      prints JSON lines {"account", "open", "p50_us", "p99_us"}

One limit order through `RiskEngine.execute` down to the point where it would go to the execution engine, with
0, 100 and 1,000 working orders in the cache; a margin and a cash account. Nothing of ours is imported here.
"""

import json
import sys
import time
from decimal import Decimal
from typing import Any

from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.config import RiskEngineConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OrderSide
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import AccountId, PositionId, StrategyId, TraderId
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.component import TestComponentStubs
from nautilus_trader.test_kit.stubs.events import TestEventStubs


class Bench:
    def __init__(self, account_type: AccountType, open_orders: int) -> None:
        self.clock, trader = TestClock(), TraderId("BENCH-1")
        self.bus = MessageBus(trader_id=trader, clock=self.clock)
        self.cache = TestComponentStubs.cache()
        self.portfolio = Portfolio(msgbus=self.bus, cache=self.cache, clock=self.clock)
        self.engine = RiskEngine(
            portfolio=self.portfolio,
            msgbus=self.bus,
            cache=self.cache,
            clock=self.clock,
            config=RiskEngineConfig(
                max_order_submit_rate="1000000/00:00:01",
                max_notional_per_order={"BTCUSDT-PERP.BINANCE": 1_000_000, "BTCUSDT.BINANCE": 1_000_000},
            ),
        )
        self.sent = 0
        self.bus.register(endpoint="ExecEngine.execute", handler=self._count)
        perpetual = account_type == AccountType.MARGIN
        provider = TestInstrumentProvider
        self.instrument = provider.btcusdt_perp_binance() if perpetual else provider.btcusdt_binance()
        self.cache.add_instrument(self.instrument)
        self._account(account_type)
        self._quote()
        self.factory = OrderFactory(trader_id=trader, strategy_id=StrategyId("S-1"), clock=self.clock)
        for _ in range(open_orders):
            self._working()

    def _count(self, _: object) -> None:
        self.sent += 1

    def _account(self, account_type: AccountType) -> None:
        usdt = self.instrument.quote_currency
        total = Money(10_000_000, usdt)
        event = AccountState(
            account_id=AccountId("BINANCE-1"),
            account_type=account_type,
            base_currency=None,
            reported=True,
            balances=[AccountBalance(total, Money(0, usdt), total)],
            margins=[],
            info={},
            event_id=UUID4(),
            ts_event=0,
            ts_init=0,
        )
        self.portfolio.update_account(event)

    def _quote(self) -> None:
        i = self.instrument
        bid, ask = Price(50_000, i.price_precision), Price(50_001, i.price_precision)
        size = Quantity(10, i.size_precision)
        self.cache.add_quote_tick(QuoteTick(i.id, bid, ask, size, size, 0, 0))

    def order(self) -> Any:
        i = self.instrument
        return self.factory.limit(
            i.id, OrderSide.BUY, Quantity(Decimal("0.01"), i.size_precision), Price(49_000, i.price_precision)
        )

    def _working(self) -> None:
        order = self.order()
        self.cache.add_order(order, PositionId("P-1"))
        account = AccountId("BINANCE-1")
        for event in (
            TestEventStubs.order_submitted(order, account_id=account),
            TestEventStubs.order_accepted(order, account_id=account),
        ):
            order.apply(event)
            self.cache.update_order(order)

    def time(self, rounds: int) -> list[int]:
        taken = []
        for _ in range(rounds):
            order = self.order()
            self.cache.add_order(order, PositionId("P-2"))
            command = SubmitOrder(
                trader_id=order.trader_id,
                strategy_id=order.strategy_id,
                position_id=None,
                order=order,
                command_id=UUID4(),
                ts_init=0,
            )
            began = time.perf_counter_ns()
            self.engine.execute(command)
            taken.append(time.perf_counter_ns() - began)
        assert self.sent == rounds, f"{rounds - self.sent} of {rounds} were denied"
        return sorted(taken)


def main() -> None:
    rounds = int(sys.argv[1])
    for account in (AccountType.MARGIN, AccountType.CASH):
        for count in (0, 100, 1_000):
            taken = Bench(account, count).time(rounds)
            row = {
                "account": account.name.lower(),
                "open": count,
                "p50_us": taken[len(taken) // 2] / 1000,
                "p99_us": taken[int(len(taken) * 0.99)] / 1000,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
