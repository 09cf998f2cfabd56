"""Every adapter against the paper venues: what each method of the interface means, on each venue."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.trading.venues.paper import KINDS, Desk, Kind, trade
from tests.integration.trading.venues.scripted import SYMBOL
from trading.domain.market import Side, TimeInForce
from trading.domain.money import ZERO, floor_to
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.bybit import Bybit
from trading.venues.interface import OrderStatus, VenueError, Verdict
from trading.venues.okx import Okx

EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
QTY = Decimal("0.4")


async def refused(call: Awaitable[Any]) -> VenueError:
    with pytest.raises(VenueError) as caught:
        await call
    return caught.value


# -- what the venue says --


@EACH
def test_instruments_are_in_base_coin(kind: Kind) -> None:
    instrument = trade(kind, lambda desk: desk.venue.load())[SYMBOL]
    assert (instrument.base, instrument.quote, instrument.settle) == ("BTC", "USDT", "USDT")
    if kind is Okx:
        assert (instrument.contract_size, instrument.lot, instrument.min_notional) == (
            Decimal("0.01"),
            Decimal("0.0001"),
            ZERO,
        )
    else:
        assert (instrument.contract_size, instrument.lot, instrument.min_notional) == (
            Decimal(1),
            Decimal("0.001"),
            Decimal(100 if kind is BinanceUsdm else 5),
        )
    assert instrument.tick == Decimal("0.1")


@EACH
def test_a_book_is_best_first_in_exact_decimals_of_base_coin(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        return await desk.venue.book(SYMBOL, depth=10), (await desk.venue.load())[SYMBOL]

    book, instrument = trade(kind, go)
    assert 0 < len(book.bids) <= 10
    assert 0 < len(book.asks) <= 10
    assert [level.price for level in book.bids] == sorted((level.price for level in book.bids), reverse=True)
    assert [level.price for level in book.asks] == sorted(level.price for level in book.asks)
    assert book.bids[0].price < book.asks[0].price
    for level in (*book.bids, *book.asks):
        assert isinstance(level.price, Decimal)
        assert level.price % instrument.tick == 0
        assert level.qty % instrument.lot == 0


@EACH
def test_our_own_order_stands_in_the_book_with_its_own_quantity(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, QTY)
        await desk.venue.place(order)
        return order, await desk.venue.book(SYMBOL, depth=400), await desk.venue.positions()

    order, book, positions = trade(kind, go)
    assert [level.qty for level in book.bids if level.price == order.price] == [QTY]
    assert positions == ()  # Binance lists an instrument with an order and no position, with 0


@EACH
def test_the_clocks_offset_is_bounded_by_the_round_trip(kind: Kind) -> None:
    sample = trade(kind, lambda desk: desk.venue.clock())
    assert abs(sample.offset_ms) <= sample.round_trip_ms / 2 + 2


@EACH
def test_funding(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        return await desk.venue.funding(SYMBOL), await desk.venue.book(SYMBOL)

    funding, book = trade(kind, go)
    assert funding.next_at > book.venue_at
    assert funding.interval_hours == 8
    assert abs(funding.rate) < Decimal("0.05")
    assert abs(funding.mark_price / book.bids[0].price - 1) < Decimal("0.02")


@EACH
def test_balance_and_account(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        await desk.venue.set_position_mode(one_way=True)  # already so: no change is no error
        await desk.venue.set_leverage(SYMBOL, 7)
        return await desk.venue.balance(), await desk.venue.account(SYMBOL)

    balance, account = trade(kind, go)
    assert balance.currency == "USDT"
    assert balance.total >= balance.free > 0
    assert (account.position_mode, account.margin_mode, account.leverage) == ("one_way", "cross", 7)
    assert account.can_trade
    assert not account.can_withdraw
    assert ZERO < account.fees.maker < account.fees.taker < Decimal("0.01")


@EACH
def test_position_mode_is_set_both_ways(kind: Kind) -> None:
    async def go(desk: Desk) -> list[str]:
        modes = []
        for one_way in (False, True):
            await desk.venue.set_position_mode(one_way=one_way)
            modes.append((await desk.venue.account(SYMBOL)).position_mode)
        return modes

    assert trade(kind, go) == ["hedge", "one_way"]


@EACH
@pytest.mark.parametrize("reduce_only", [False, True])
def test_an_order_of_ours_in_hedge_mode_is_a_definite_reject(kind: Kind, reduce_only: bool) -> None:
    """It says nothing of a position side, and each venue has its own code for that."""

    async def go(desk: Desk) -> Any:
        await desk.venue.set_position_mode(one_way=False)
        error = await refused(desk.venue.place(await desk.crossing(Side.BUY, QTY, reduce_only=reduce_only)))
        return error, desk.paper.engine.orders

    error, orders = trade(kind, go)
    codes = {"binanceusdm": "-4061", "okx": "51000", "bybit": "10001"}
    assert (error.verdict, error.code, error.verdict.definite) == (Verdict.REJECTED, codes[kind.name], True)
    assert orders == {}


@EACH
def test_the_position_mode_stays_while_anything_is_open(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        await desk.venue.place(await desk.crossing(Side.BUY, QTY))
        error = await refused(desk.venue.set_position_mode(one_way=False))
        return error.verdict, (await desk.venue.account(SYMBOL)).position_mode

    assert trade(kind, go) == (Verdict.REJECTED, "one_way")


# -- orders --


@EACH
def test_an_ioc_fills_and_every_figure_agrees(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY)
        placed = await desk.venue.place(order)
        report = await desk.venue.order(SYMBOL, order.client_order_id)
        fills = await desk.venue.fills(SYMBOL, venue_order_id=placed.venue_order_id)
        account = await desk.venue.account(SYMBOL)
        return placed, report, fills, account, await desk.venue.positions()

    placed, report, fills, account, positions = trade(kind, go)
    assert placed.status is (OrderStatus.FILLED if kind is BinanceUsdm else None)  # ids only
    assert (report.status, report.side, report.qty, report.filled) == (OrderStatus.FILLED, Side.BUY, QTY, QTY)
    assert report.venue_order_id == placed.venue_order_id
    assert sum(fill.qty for fill in fills) == QTY
    cost = sum(fill.qty * fill.price for fill in fills)
    assert abs(cost / QTY - report.average_price) < Decimal("0.01")
    assert len({fill.trade_id for fill in fills}) == len(fills)
    for fill in fills:
        assert (fill.side, fill.maker, fill.fee_currency) == (Side.BUY, False, "USDT")
        assert abs(fill.fee - fill.qty * fill.price * account.fees.taker) < Decimal("0.0001")
        assert fill.fee > 0  # paid
    assert [(p.symbol, p.net) for p in positions] == [(SYMBOL, QTY)]
    assert abs(positions[0].entry_price - cost / QTY) < Decimal("0.01")
    assert positions[0].mark_price > 0


@EACH
def test_a_short_is_negative_and_reduce_only_closes_it(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        await desk.venue.place(await desk.crossing(Side.SELL, QTY))
        short = await desk.venue.positions()
        back = await desk.crossing(Side.BUY, QTY, reduce_only=True)
        await desk.venue.place(back)
        return short, await desk.venue.order(SYMBOL, back.client_order_id), await desk.venue.positions()

    short, back, flat = trade(kind, go)
    assert [position.net for position in short] == [-QTY]
    assert back.status is OrderStatus.FILLED
    assert flat == ()


@EACH
def test_an_ioc_that_finds_nothing_ends_canceled(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, QTY, time_in_force=IOC)
        await desk.venue.place(order)
        return await desk.venue.order(SYMBOL, order.client_order_id)

    report = trade(kind, go)
    assert (report.status, report.filled, report.average_price) == (OrderStatus.CANCELED, ZERO, None)


@EACH
def test_an_order_rests_is_listed_and_is_cancelled_once(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, QTY)
        await desk.venue.place(order)
        key = order.client_order_id
        listed = [await desk.venue.open_orders(), await desk.venue.open_orders(SYMBOL)]
        elsewhere = await desk.venue.open_orders("ETH/USDT:USDT")
        await desk.venue.cancel(SYMBOL, key)
        after = await desk.venue.order(SYMBOL, key), await desk.venue.open_orders()
        return order, listed, elsewhere, after, await refused(desk.venue.cancel(SYMBOL, key))

    order, listed, elsewhere, (report, left), again = trade(kind, go)
    for rows in listed:
        assert [(row.client_order_id, row.status, row.qty) for row in rows] == [
            (order.client_order_id, OrderStatus.OPEN, QTY)
        ]
    assert elsewhere == ()
    assert (report.status, report.filled, left) == (OrderStatus.CANCELED, ZERO, ())
    assert again.verdict is Verdict.NOT_FOUND


def test_binance_refuses_a_post_only_that_would_take() -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY, time_in_force=GTC, post_only=True)
        error = await refused(desk.venue.place(order))
        return error, await desk.venue.positions()

    error, positions = trade(BinanceUsdm, go)
    assert (error.verdict, error.code, positions) == (Verdict.REJECTED, "-5022", ())


@pytest.mark.parametrize("kind", [Okx, Bybit])
def test_a_post_only_that_would_take_is_accepted_and_then_cancelled(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY, time_in_force=GTC, post_only=True)
        placed = await desk.venue.place(order)
        return placed, await desk.venue.order(SYMBOL, order.client_order_id), await desk.venue.positions()

    placed, report, positions = trade(kind, go)
    assert placed.status is None
    assert (report.status, report.filled, positions) == (OrderStatus.CANCELED, ZERO, ())


@EACH
def test_a_post_only_that_rests_does(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.SELL, QTY, post_only=True)
        await desk.venue.place(order)
        return await desk.venue.order(SYMBOL, order.client_order_id)

    assert trade(kind, go).status is OrderStatus.OPEN


@EACH
def test_a_fill_or_kill_that_cannot_fill_takes_nothing(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, QTY, time_in_force=FOK)
        try:
            await desk.venue.place(order)
            outcome: Any = (await desk.venue.order(SYMBOL, order.client_order_id)).status
        except VenueError as error:
            outcome = error.code
        return outcome, await desk.venue.positions()

    assert trade(kind, go) == ("-5021" if kind is BinanceUsdm else OrderStatus.CANCELED, ())


# -- refusals --

Spoil = Callable[[Any], Any]
REFUSALS: list[tuple[str, dict[str, Any], dict[Kind, set[str]]]] = [
    (
        "off the tick",
        {"price": Decimal("0.05")},
        {BinanceUsdm: {"-4014", "-1111"}, Okx: {"51000", "51006"}, Bybit: {"10001"}},
    ),
    (
        "off the lot",
        {"qty": Decimal("0.40001")},
        {BinanceUsdm: {"-1111", "-4023"}, Okx: {"51121"}, Bybit: {"10001"}},
    ),
    (
        "no margin",
        {"qty": Decimal(900)},
        {BinanceUsdm: {"-2019", "-2027"}, Okx: {"51008", "51119", "51004"}, Bybit: {"110007"}},
    ),
    (
        "nothing to reduce",
        {"reduce_only": True},
        {BinanceUsdm: {"-2022"}, Okx: {"51169", "51170", "51112"}, Bybit: {"110017"}},
    ),
]


@EACH
@pytest.mark.parametrize(("what", "change", "codes"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refused_by_the_venue_and_nothing_rests(
    kind: Kind, what: str, change: dict[str, Any], codes: dict[Kind, set[str]]
) -> None:
    async def go(desk: Desk) -> Any:
        nudge = change.get("price", ZERO)
        fields = {name: value for name, value in change.items() if name != "price"}
        order = await desk.resting(Side.BUY, fields.pop("qty", QTY), nudge=nudge, **fields)
        error = await refused(desk.venue.place(order))
        unknown = await refused(desk.venue.order(SYMBOL, order.client_order_id))
        return error, unknown, await desk.venue.open_orders()

    error, unknown, left = trade(kind, go)
    assert error.verdict is Verdict.REJECTED, error
    assert error.code in codes[kind], error
    assert unknown.verdict is Verdict.NOT_FOUND
    assert left == ()


def test_binance_refuses_less_than_its_minimum_notional() -> None:
    async def go(desk: Desk) -> Any:
        return await refused(desk.venue.place(await desk.resting(Side.BUY, Decimal("0.001"))))

    assert trade(BinanceUsdm, go).code == "-4164"


@EACH
def test_one_client_id_is_one_order(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, QTY)
        await desk.venue.place(order)
        return await refused(desk.venue.place(order)), await desk.venue.open_orders()

    error, rows = trade(kind, go)
    codes: dict[Kind, str] = {BinanceUsdm: "-4116", Okx: "51016", Bybit: "110072"}
    assert (error.verdict, error.code) == (Verdict.REJECTED, codes[kind])
    assert len(rows) == 1


@EACH
def test_an_order_nobody_placed_is_not_found(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        return [
            await refused(desk.venue.order(SYMBOL, "nobody")),
            await refused(desk.venue.cancel(SYMBOL, "nobody")),
        ]

    assert [error.verdict for error in trade(kind, go)] == [Verdict.NOT_FOUND, Verdict.NOT_FOUND]


@EACH
def test_a_wrong_key_and_a_wrong_secret_are_auth(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        verdicts = []
        for name in ("apiKey", "secret"):
            right = getattr(desk.venue.orders, name)
            setattr(desk.venue.orders, name, "wrong")
            verdicts.append((await refused(desk.venue.positions())).verdict)
            setattr(desk.venue.orders, name, right)
        await desk.venue.positions()
        return verdicts

    assert trade(kind, go) == [Verdict.AUTH, Verdict.AUTH]


@EACH
def test_an_order_signed_ten_seconds_ago_is_refused_by_the_venue(kind: Kind) -> None:
    """The fence that the venue itself holds: recvWindow, and on OKX expTime (its timestamp allows 30 s)."""

    async def go(desk: Desk) -> Any:
        order, client = await desk.crossing(Side.BUY, QTY), desk.venue.orders
        now = client.milliseconds()
        client.milliseconds = lambda: now - 10_000
        error = await refused(desk.venue.place(order))
        client.milliseconds = type(client).milliseconds
        return error, await desk.venue.positions()

    error, positions = trade(kind, go)
    codes: dict[Kind, str] = {BinanceUsdm: "-1021", Okx: "50036", Bybit: "10002"}
    assert (error.verdict, error.code) == (Verdict.REJECTED, codes[kind])
    assert positions == ()


# -- a venue in trouble --


@EACH
def test_an_answer_dropped_after_the_fill_is_ambiguous_and_the_order_is_there(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(effect="drop_answer_after_accept", kind="place")
        error = await refused(desk.venue.place(order))
        return error, await desk.venue.order(SYMBOL, order.client_order_id), await desk.venue.positions()

    error, report, positions = trade(kind, go)
    assert error.verdict is Verdict.AMBIGUOUS
    assert (report.status, report.filled) == (OrderStatus.FILLED, QTY)
    assert [position.net for position in positions] == [QTY]  # once: nothing was sent again


@EACH
def test_a_venue_that_is_down_answers_nothing_and_later_knows_no_such_order(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(effect="venue_down")
        calls = (
            desk.venue.place(order),
            desk.venue.order(SYMBOL, order.client_order_id),
            desk.venue.book(SYMBOL),
        )
        errors = [await refused(call) for call in calls]
        desk.heal()
        return errors, await refused(desk.venue.order(SYMBOL, order.client_order_id))

    errors, later = trade(kind, go)
    assert {error.verdict for error in errors} == {Verdict.AMBIGUOUS}
    assert later.verdict is Verdict.NOT_FOUND


@EACH
def test_a_partial_ioc_ends_canceled_with_what_it_got(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(effect="partial", kind="place", fraction=Decimal("0.25"))
        placed = await desk.venue.place(order)
        report = await desk.venue.order(SYMBOL, order.client_order_id)
        return report, await desk.venue.fills(SYMBOL, venue_order_id=placed.venue_order_id)

    report, fills = trade(kind, go)
    assert (report.status, report.filled) == (OrderStatus.CANCELED, floor_to(QTY / 4, Decimal("0.001")))
    assert sum(fill.qty for fill in fills) == report.filled


# -- nothing leaves this machine --

_seen: list[Any] | None = None


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _seen is not None and event in ("socket.connect", "socket.getaddrinfo"):
        _seen.append(args[1] if event == "socket.connect" else args[0])


@pytest.fixture
def addresses() -> Iterator[list[Any]]:
    """Every address that this process connects to or looks up, as the interpreter itself reports it."""
    global _seen
    if not getattr(sys, "_venue_watch", False):
        sys.addaudithook(_watch)  # cannot be taken out again: once per process
        sys._venue_watch = True  # type: ignore[attr-defined]
    _seen = []
    yield _seen
    _seen = None


@EACH
def test_every_method_stays_on_loopback(kind: Kind, addresses: list[Any]) -> None:
    async def go(desk: Desk) -> None:
        order = await desk.resting(Side.BUY, QTY)
        await desk.venue.place(order)
        await desk.venue.cancel(SYMBOL, order.client_order_id)
        await desk.venue.set_position_mode(one_way=True)
        await desk.venue.set_leverage(SYMBOL, 5)
        await desk.venue.clock()
        await desk.venue.funding(SYMBOL)
        await desk.venue.balance()
        await desk.venue.account(SYMBOL)
        await desk.venue.positions()
        await desk.venue.open_orders()

    trade(kind, go)
    hosts = {address[0] if isinstance(address, tuple) else address for address in addresses}
    assert hosts
    assert hosts <= {"127.0.0.1", b"127.0.0.1", "localhost", "::1"}, hosts
