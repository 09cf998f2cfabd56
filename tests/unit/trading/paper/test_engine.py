"""Matching, account and time of one venue, on a market whose every level is known."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.trading.paper.flat import RULES, START_MS, D, Desk
from trading.paper.engine import REFILL_MS
from trading.paper.market import FUNDING_MS
from trading.paper.orders import Ended, Forced, Order, Reason, Refused, Status, TimeInForce

IOC, FOK, POST_ONLY = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.POST_ONLY
ASYNC_RULES = replace(RULES, refuses_at_once=False, client_id_reusable=False)


def refused(desk: Desk, *args: object, **kwargs: object) -> Reason:
    """The reason why an order is refused, having checked that it left nothing behind."""
    wallet, net, orders = desk.engine.account.wallet, desk.net, len(desk.engine.orders)
    with pytest.raises(Refused) as caught:
        desk.place(*args, **kwargs)  # type: ignore[arg-type]
    assert (desk.engine.account.wallet, desk.net, len(desk.engine.orders)) == (wallet, net, orders)
    return caught.value.reason


def fills_of(desk: Desk, order: Order) -> list[tuple[Decimal, Decimal]]:
    return [(f.price, f.qty) for f in desk.engine.fills.values() if f.order_id == order.id]


# -- taking --


def test_an_order_walks_the_levels_with_one_trade_each() -> None:
    desk = Desk()
    order = desk.place("buy", "2.5", "60001.1", tif=IOC)
    assert fills_of(desk, order) == [(D("60000.1"), D(1)), (D("60001.1"), D("1.5"))]
    assert (order.status, order.average_price) == (Status.FILLED, D("60000.7"))


def test_an_ioc_takes_what_its_limit_reaches_and_ends() -> None:
    desk = Desk()
    order = desk.place("sell", "2", "60000", tif=IOC)
    assert (order.filled, order.status, order.ended) == (D(1), Status.CANCELED, Ended.IOC)
    assert desk.net == -1


def test_what_was_taken_is_gone_and_grows_back() -> None:
    desk = Desk()
    desk.place("buy", "1", "60000.1", tif=IOC)
    assert desk.place("buy", "1", "60000.1", tif=IOC).filled == 0
    desk.engine.advance(START_MS + REFILL_MS // 2)
    assert desk.engine.book("BTC")[1][0] == (D("60000.1"), D("0.5"))
    desk.engine.advance(START_MS + REFILL_MS)
    assert desk.engine.untouched("BTC")
    assert desk.engine.book("BTC")[1][0] == (D("60000.1"), D(1))


def test_a_market_order_takes_all_there_is_and_no_more() -> None:
    desk = Desk()
    order = desk.place("buy", "7")
    assert (order.filled, order.ended) == (D(6), Ended.IOC)


def test_fok_is_all_or_nothing() -> None:
    desk = Desk()
    assert desk.place("buy", "3", "60001.1", tif=FOK).status is Status.FILLED
    assert refused(Desk(), "buy", "3.001", "60001.1", tif=FOK) is Reason.FOK
    order = Desk(ASYNC_RULES).place("buy", "3.001", "60001.1", tif=FOK)
    assert (order.filled, order.ended) == (D(0), Ended.FOK)


def test_post_only_never_takes() -> None:
    assert refused(Desk(), "buy", "1", "60000.1", tif=POST_ONLY) is Reason.POST_ONLY
    order = Desk(ASYNC_RULES).place("buy", "1", "60000.1", tif=POST_ONLY)
    assert (order.filled, order.ended) == (D(0), Ended.POST_ONLY)
    assert Desk().place("buy", "1", "60000", tif=POST_ONLY).live


def test_a_fault_can_hold_back_part_of_a_fill() -> None:
    order = Desk().place("buy", "1", "60000.1", tif=IOC, fill_at_most=D("0.3333"))
    assert (order.filled, order.ended) == (D("0.333"), Ended.IOC)


# -- resting --


def test_own_orders_rest_in_the_book() -> None:
    desk = Desk()
    desk.place("buy", "0.4", "60000")
    desk.place("buy", "0.1", "59999.5")
    bids, _ = desk.engine.book("BTC")
    assert bids[:2] == ((D(60000), D("1.4")), (D("59999.5"), D("0.1")))


def test_resting_orders_are_filled_by_price_then_time_at_their_own_price() -> None:
    desk = Desk()
    late, early = desk.place("buy", "0.8", "59999.1"), desk.place("buy", "0.3", "59999.1")
    best = desk.place("buy", "0.5", "59999.2")
    desk.market_moves("-1")  # asks: 1 at 59999.1, 2 at 60000.1
    assert [f.order_id for f in desk.engine.fills.values()] == [best.id, late.id]
    assert (late.filled, early.filled) == (D("0.5"), D(0))
    assert fills_of(desk, best) == [(D("59999.2"), D("0.5"))]
    assert all(f.maker and f.fee == f.qty * f.price * D("0.0002") for f in desk.engine.fills.values())


def test_an_order_that_partly_fills_rests_with_what_is_left() -> None:
    desk = Desk()
    order = desk.place("buy", "1.5", "60000.1")
    assert (order.filled, order.left, order.status) == (D(1), D("0.5"), Status.LIVE)
    desk.engine.cancel(order)
    assert (order.status, order.filled) == (Status.CANCELED, D(1))


def test_we_do_not_trade_with_ourselves() -> None:
    desk = Desk()
    own = desk.place("sell", "1", "60000.5")
    taker = desk.place("buy", "2", "60001.1", tif=IOC)
    assert (own.ended, own.filled) == (Ended.SELF_TRADE, D(0))
    assert taker.filled == 2


def test_cancelling_twice_and_cancelling_the_filled_are_refused() -> None:
    desk = Desk()
    resting, filled = desk.place("buy", "1", "59990"), desk.place("buy", "1", "60000.1")
    desk.engine.cancel(resting)
    for order, reason in ((resting, Reason.ALREADY_CANCELED), (filled, Reason.ALREADY_FILLED)):
        with pytest.raises(Refused) as caught:
            desk.engine.cancel(order)
        assert caught.value.reason is reason


# -- what is refused --


@pytest.mark.parametrize(
    ("qty", "price", "reason"),
    [
        ("0.0015", "60000", Reason.QTY_DECIMALS),
        ("1000.001", "60000", Reason.MAX_QTY),
        ("1", "60000.05", Reason.TICK),
        ("1", "60000.001", Reason.PRICE_DECIMALS),
        ("0.001", "60000", Reason.MIN_NOTIONAL),
        ("1", "63000.1", Reason.PRICE_HIGH),
        ("20", "60000", Reason.MARGIN),
    ],
)
def test_filters(qty: str, price: str, reason: Reason) -> None:
    assert refused(Desk(), "buy", qty, price) is reason


def test_a_sell_far_below_the_mark_is_refused() -> None:
    assert refused(Desk(), "sell", "1", "56999.9") is Reason.PRICE_LOW


def test_a_client_id_is_unique_among_open_orders_or_for_ever() -> None:
    for rules, after_end in ((RULES, None), (ASYNC_RULES, Reason.DUPLICATE)):
        desk = Desk(rules)
        first = desk.place("buy", "1", "59990", client_order_id="mine")
        assert refused(desk, "buy", "1", "59990", client_order_id="mine") is Reason.DUPLICATE
        desk.engine.cancel(first)
        if after_end:
            assert refused(desk, "buy", "1", "59990", client_order_id="mine") is after_end
        else:
            assert desk.place("buy", "1", "59990", client_order_id="mine").live


def test_margin_is_taken_by_resting_orders_and_given_back() -> None:
    desk = Desk()
    desk.engine.set_leverage("BTC", 1)
    order = desk.place("buy", "1", "59990")
    assert desk.engine.used_margin() == 60000
    assert refused(desk, "buy", "1", "59990") is Reason.MARGIN
    desk.engine.cancel(order)
    assert desk.engine.available() == 100_000
    desk.place("sell", "1", "60010")


def test_closing_needs_no_margin() -> None:
    desk = Desk()
    desk.place("buy", "1", "60000.1", tif=IOC)
    desk.engine.account.wallet = D(1)
    assert refused(desk, "buy", "0.01", "60001.1", tif=IOC) is Reason.MARGIN
    assert desk.place("sell", "1", "59990", tif=IOC).status is Status.FILLED


# -- reduce only --


def test_reduce_only_needs_something_to_reduce_and_never_turns_it_over() -> None:
    desk = Desk()
    assert refused(desk, "sell", "1", "60000", tif=IOC, reduce_only=True) is Reason.REDUCE_ONLY
    desk.place("buy", "0.4", "60000.1", tif=IOC)
    assert refused(desk, "buy", "0.1", "60000.1", tif=IOC, reduce_only=True) is Reason.REDUCE_ONLY
    order = desk.place("sell", "1", "60000", tif=IOC, reduce_only=True)
    assert (order.filled, desk.net, order.ended) == (D("0.4"), D(0), Ended.IOC)


def test_a_fok_that_could_only_close_part_of_itself_is_not_filled_at_all() -> None:
    desk = Desk()
    desk.place("buy", "0.4", "60000.1", tif=IOC)
    assert refused(desk, "sell", "0.5", "60000", tif=FOK, reduce_only=True) is Reason.FOK
    assert desk.place("sell", "0.4", "60000", tif=FOK, reduce_only=True).status is Status.FILLED


def test_a_resting_reduce_only_order_goes_when_the_position_has_gone() -> None:
    desk = Desk()
    desk.place("buy", "0.4", "60000.1", tif=IOC)
    resting = desk.place("sell", "0.4", "60001", reduce_only=True)
    desk.place("sell", "0.4", "60000", tif=IOC)
    desk.market_moves("5")
    assert (resting.filled, resting.ended, desk.net) == (D(0), Ended.REDUCE_ONLY, D(0))


def test_small_reduce_only_orders_pass_below_the_minimum_notional() -> None:
    desk = Desk()
    desk.place("buy", "0.401", "60000.1", tif=IOC)
    assert desk.place("sell", "0.001", "60000", tif=IOC, reduce_only=True).status is Status.FILLED


# -- money --


def test_average_cost_realised_and_fees() -> None:
    desk = Desk()
    account = desk.engine.account
    desk.place("buy", "3", "60001.1", tif=IOC)  # 1 at 60000.1, 2 at 60001.1
    position = account.position("BTC")
    assert position.entry * 3 == pytest.approx(D("180002.3"))
    desk.market_moves("100")
    desk.place("sell", "1", "60100", tif=IOC)
    assert account.position("BTC").entry == position.entry
    assert account.realised == round(D(60100) - position.entry, 8)
    assert account.wallet == 100_000 + account.realised - account.fees_paid


def test_turning_over_opens_the_rest_at_the_new_price() -> None:
    desk = Desk()
    desk.place("buy", "1", "60000.1", tif=IOC)
    desk.place("sell", "3", "59999", tif=IOC)  # 1 at 60000, 2 at 59999
    position = desk.engine.account.position("BTC")
    assert (position.net, position.entry) == (D(-2), D(59999))
    assert desk.engine.account.realised == D("-0.1")


def test_funding_is_paid_at_each_instant_on_what_is_held_then() -> None:
    desk = Desk()
    desk.place("buy", "1", "60000.1", tif=IOC)
    before = desk.engine.account.wallet
    desk.engine.advance(START_MS + FUNDING_MS - 1)
    assert desk.engine.account.wallet == before
    desk.engine.advance(START_MS + 2 * FUNDING_MS)
    assert desk.engine.account.wallet == before - 2 * 6
    desk.place("sell", "1", "60000", tif=IOC)
    wallet = desk.engine.account.wallet
    desk.engine.advance(START_MS + 3 * FUNDING_MS)
    assert desk.engine.account.wallet == wallet
    assert [(b.at_ms, b.amount) for b in desk.engine.bills.values() if b.kind == "funding"] == [
        (START_MS + FUNDING_MS, D(-6)),
        (START_MS + 2 * FUNDING_MS, D(-6)),
    ]


def test_a_negative_rate_pays_the_long() -> None:
    desk = Desk()
    desk.market.rate = D("-0.0002")
    desk.place("sell", "1", "60000", tif=IOC)
    desk.engine.advance(START_MS + FUNDING_MS)
    assert desk.engine.account.funding == -12


# -- time --


def test_the_dead_man_switch_fires_unless_told_again() -> None:
    desk = Desk()
    order = desk.place("buy", "1", "59990")
    desk.engine.arm_dead_man("BTC", 1000)
    desk.engine.advance(START_MS + 900)
    desk.engine.arm_dead_man("BTC", 1000)
    desk.engine.advance(START_MS + 1800)
    assert order.live
    desk.engine.advance(START_MS + 1900)
    assert order.ended is Ended.DEAD_MAN


def test_a_disarmed_switch_stays_silent() -> None:
    desk = Desk()
    order = desk.place("buy", "1", "59990")
    desk.engine.arm_dead_man("", 1000)
    desk.engine.arm_dead_man("", 0)
    desk.engine.advance(START_MS + 60_000)
    assert order.live


def test_leverage_cannot_be_lowered_below_what_is_held() -> None:
    desk = Desk()
    desk.place("buy", "3", "60002.1", tif=IOC)
    with pytest.raises(Refused):
        desk.engine.set_leverage("BTC", 1)
    assert desk.engine.account.leverage_of("BTC") == 10


# -- the venue's own orders --


def test_an_account_that_does_not_cover_its_maintenance_is_liquidated() -> None:
    desk = Desk()
    desk.engine.account.wallet = D(7_000)
    desk.place("buy", "1", "60000.1", tif=IOC)
    resting = desk.place("sell", "0.1", "60500")
    desk.engine.account.wallet = D(1)
    desk.engine.advance(START_MS + 1)
    assert desk.net == 0
    assert (resting.status, resting.ended) == (Status.CANCELED, Ended.LIQUIDATED)
    (own,) = [o for o in desk.engine.orders.values() if Forced.of(o.client_order_id)]
    assert (own.client_order_id.startswith("autoclose-"), own.status) == (True, Status.FILLED)
    assert own.average_price % desk.engine.instruments["BTC"].tick == 0


def test_an_account_that_covers_it_is_left_alone() -> None:
    desk = Desk()
    desk.place("buy", "1", "60000.1", tif=IOC)
    desk.engine.advance(START_MS + 1)
    assert desk.net == 1


def test_a_part_of_a_position_is_taken_by_adl() -> None:
    desk = Desk()
    desk.place("sell", "1", "60000", tif=IOC)
    desk.engine.force_close("BTC", D("0.4"), Forced.ADL)
    assert desk.net == D("-0.6")
    with pytest.raises(Refused):
        desk.engine.force_close("BTC", D(1), Forced.ADL)


def test_bills_add_up_to_the_wallet_after_a_liquidation() -> None:
    desk = Desk()
    start = desk.engine.account.wallet
    desk.place("buy", "1", "60000.1", tif=IOC)
    desk.engine.force_close("BTC", D(1), Forced.LIQUIDATION)
    assert start + sum(b.amount for b in desk.engine.bills.values()) == desk.engine.account.wallet
