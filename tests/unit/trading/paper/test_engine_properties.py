"""Whatever is ordered, the books of the account add up."""

from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trading.paper.flat import Desk
from trading.paper.orders import Refused, TimeInForce

D = Decimal
orders = st.tuples(
    st.just("order"),
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 5_000).map(lambda lots: D(lots) / 1000),
    st.integers(-40, 40).map(lambda ticks: D(60000) + D(ticks) / 10),
    st.sampled_from(TimeInForce),
    st.booleans(),
)
moves = st.tuples(st.just("move"), st.integers(-30, 30).map(lambda ticks: str(D(ticks) / 10)))
waits = st.tuples(st.just("wait"), st.integers(1, 20_000_000))
cancels = st.tuples(st.just("cancel"), st.integers(0, 5))
scripts = st.lists(st.one_of(orders, orders, moves, waits, cancels), max_size=25)


def play(script: list[tuple[object, ...]]) -> Desk:
    desk = Desk()
    for step in script:
        match step:
            case ("order", side, qty, price, tif, reduce_only):
                with suppress(Refused):
                    desk.place(side, qty, price, tif=tif, reduce_only=reduce_only)  # type: ignore[arg-type]
            case ("move", dollars):
                desk.market_moves(str(dollars))
            case ("wait", ms):
                desk.engine.advance(desk.engine.now_ms + int(str(ms)))
            case ("cancel", number):
                for order in desk.engine.working()[int(str(number)) : int(str(number)) + 1]:
                    desk.engine.cancel(order)
    return desk


@settings(deadline=None)
@given(scripts)
def test_the_account_adds_up(script: list[tuple[object, ...]]) -> None:
    engine = play(script).engine
    fills, bills, account = engine.fills.values(), engine.bills.values(), engine.account
    assert sum((f.qty * f.side.sign for f in fills), D(0)) == account.position("BTC").net
    assert account.wallet == 100_000 + account.realised - account.fees_paid + account.funding
    assert account.wallet == 100_000 + sum((b.amount for b in bills), D(0))
    assert account.fees_paid == sum((f.fee for f in fills), D(0))
    flat = account.position("BTC")
    mark = engine.mark("BTC")
    cash = sum((-f.qty * f.side.sign * f.price for f in fills), D(0))
    assert abs(account.realised + flat.unrealised(mark) - (cash + flat.net * mark)) < D("0.000001")


@settings(deadline=None)
@given(scripts)
def test_orders_agree_with_their_fills_and_limits(script: list[tuple[object, ...]]) -> None:
    engine = play(script).engine
    for order in engine.orders.values():
        own = [f for f in engine.fills.values() if f.order_id == order.id]
        assert sum((f.qty for f in own), D(0)) == order.filled <= order.qty
        assert all((f.price - order.price) * order.side.sign <= 0 for f in own if order.price is not None)
        assert order.live == (order.id in engine.live)
        assert order.time_in_force is not TimeInForce.FOK or order.filled in (0, order.qty)
        assert order.time_in_force is not TimeInForce.POST_ONLY or all(f.maker for f in own)
        assert not order.live or order.left > 0


@settings(deadline=None)
@given(scripts)
def test_reduce_only_fills_never_grow_or_turn_the_position(script: list[tuple[object, ...]]) -> None:
    engine = play(script).engine
    net = D(0)
    for fill in engine.fills.values():
        after = net + fill.qty * fill.side.sign
        if engine.orders[fill.order_id].reduce_only:
            assert abs(after) <= abs(net)
            assert after * net >= 0
        net = after


@settings(deadline=None)
@given(scripts)
def test_the_book_never_crosses_itself(script: list[tuple[object, ...]]) -> None:
    engine = play(script).engine
    engine.match_resting()
    bids, asks = engine.book("BTC")
    assert not bids or not asks or bids[0][0] < asks[0][0]
