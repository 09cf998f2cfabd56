"""A recorded market traded through the desk: what a preview says, what the venues fill and what it earned
are the recording's own figures. Skips where the recording is not; demanded by REQUIRE_RECORDINGS=1."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cryptobot.demo.venues import cash_and_fees, until
from cryptobot.embedded import throwaway
from tests.desk import Desk
from tests.journeys.team import Team, dec, team
from tests.unit.trading.paper.recordings import recording
from trading.paper.recording import MinuteEdge, Quote, edges, read_folder

pytestmark = [pytest.mark.desk, pytest.mark.xdist_group("a desk of its own")]
TAKER_FEE = Decimal("0.0005")


@pytest.fixture(scope="module")
def lean() -> Path:
    return recording("lean/cryptofuture")


@pytest.fixture(scope="module")
def us(lean: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    data_dir = tmp_path_factory.mktemp("recording")
    running = Desk(data_dir, PAPER_MARKET=f"recording:{lean}")
    try:
        with team(running.start()) as people:
            yield people
        assert running.stop() == 0, running.tail()
    finally:
        running.kill_if_running()
        throwaway.remove(data_dir)


def at_minute(us: Team, minute: int) -> None:
    """Step every venue to that recorded minute. It lasts 60 s from now."""
    assert us.venues["okx"].control("POST", "recording", minute=minute) == {"minute": minute}


def previewed(us: Team, found: MinuteEdge) -> Any:
    """The preview of that minute: its entry spread is the recording's edge, to the last of its digits."""
    wanted = found.sell_first_bps.quantize(Decimal("1e-8"))

    def look() -> Any:
        plan = us.viable(long_venue="okx", short_venue="binanceusdm")["plan"]
        return plan if abs(dec(plan["edge"]["entry_spread_bps"]) - wanted) <= Decimal("1e-8") else None

    return until(f"a preview of minute {found.minute}, edge {wanted}", look)


def fills(us: Team, execution: dict[str, Any]) -> list[dict[str, Any]]:
    rows = us.alice.get("/api/ui/fills?limit=500")["results"]
    return [row for row in rows if row["execution_id"] == execution["id"]]


def prices(rows: list[dict[str, Any]], side: str) -> set[Decimal]:
    return {dec(row["price"]) for row in rows if row["side"] == side}


def test_the_best_minute_is_traded_at_its_recorded_quotes(us: Team, lean: Path) -> None:
    first, second = read_folder(lean)  # they play binanceusdm and okx
    both = edges(first, second)
    best = max(both, key=lambda edge: edge.sell_first_bps)
    # Where leaving costs least: sold on okx's bid, bought back at binanceusdm's ask.
    exit_ = max((e for e in both if e.minute > best.minute), key=lambda edge: edge.sell_second_bps)
    us.start_trading()

    at_minute(us, best.minute)
    plan = previewed(us, best)
    assert plan["direction"] == {"long": "okx", "short": "binanceusdm"}
    opened = us.execute(plan)
    assert opened["state"] == "BALANCED", opened["transitions"]
    rows = fills(us, opened)
    assert prices(rows, "buy") == {second[best.minute].ask}
    assert prices(rows, "sell") == {first[best.minute].bid}
    qty = dec(plan["legs"][0]["qty"])
    assert {dec(leg["filled"]) for leg in opened["legs"]} == {qty}

    at_minute(us, exit_.minute)
    closed = us.alice.post("/api/v1/actions/trading.close", execution_id=opened["id"])
    assert (closed.status, closed["status"]) == (202, "accepted"), closed.body
    settled = us.rested(closed["location"])
    assert settled["state"] == "SETTLED", settled["transitions"]
    left = [row for row in fills(us, opened) if row not in rows]
    assert prices(left, "sell") == {second[exit_.minute].bid}
    assert prices(left, "buy") == {first[exit_.minute].ask}

    earned(
        us,
        settled,
        qty,
        (first[best.minute], second[best.minute]),
        (first[exit_.minute], second[exit_.minute]),
    )


def earned(
    us: Team, row: dict[str, Any], qty: Decimal, into: tuple[Quote, Quote], out: tuple[Quote, Quote]
) -> None:
    """PnL is the sum over the recorded quotes, is the sum over the fills, is what the venues say."""
    sold, bought = (into[0].bid, out[1].bid), (into[1].ask, out[0].ask)
    gross = qty * (sum(sold) - sum(bought))
    fees = qty * TAKER_FEE * sum((*sold, *bought))
    assert (dec(row["pnl"]["realised"]), dec(row["pnl"]["fees"])) == (gross, fees)
    assert dec(row["pnl"]["net"]) == gross - fees

    theirs = [cash_and_fees(venue) for venue in us.venues.values()]
    assert [sum(column) for column in zip(*theirs, strict=True)] == [gross, fees]
    us.flatten()
    assert all(venue.flat() for venue in us.venues.values())
    assert sum(len(venue.fills()) for venue in us.venues.values()) == len(fills(us, row))


def test_the_other_coins_go_on_being_generated(us: Team) -> None:
    """Or a desk with pairs in them could never resume."""
    pairs = {row["pair"] for row in us.alice.get("/api/arb/edge")["edges"] if row["edge"] is not None}
    assert pairs >= {"ETHUSDT", "SOLUSDT"}
