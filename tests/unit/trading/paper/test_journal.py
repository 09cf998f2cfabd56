"""What the journal gives back is what the engine was."""

from pathlib import Path

from tests.unit.trading.paper.flat import START_MS, Desk
from trading.paper.engine import Engine
from trading.paper.journal import Journal
from trading.paper.market import FUNDING_MS
from trading.paper.orders import TimeInForce


def picture(engine: Engine) -> tuple[object, ...]:
    return (
        engine.orders,
        engine.live.keys(),
        engine.fills,
        engine.bills,
        engine.account,
        engine.by_client_id,
        (engine.last_id, engine.last_fill_id, engine.last_bill_id),
        (engine.now_ms, engine.funded_ms, engine.dead_man, engine.hedge_mode),
    )


def test_everything_comes_back_without_a_goodbye(tmp_path: Path) -> None:
    desk, journal = Desk(), Journal(tmp_path / "venue.sqlite3")
    desk.place("buy", "2.5", "60001.1", tif=TimeInForce.IOC)
    resting = desk.place("sell", "1", "60010")
    desk.engine.set_leverage("BTC", 20)
    desk.engine.arm_dead_man("", 10 * FUNDING_MS)
    journal.save(desk.engine)
    desk.engine.advance(START_MS + FUNDING_MS)
    desk.engine.cancel(resting)
    journal.save(desk.engine)
    again = Desk()  # the first journal is never closed, as after kill -9
    Journal(tmp_path / "venue.sqlite3").load(again.engine)
    assert picture(again.engine) == picture(desk.engine)


def test_nothing_changed_writes_nothing(tmp_path: Path) -> None:
    desk, journal = Desk(), Journal(tmp_path / "venue.sqlite3")
    desk.engine.advance(START_MS + 1000)
    journal.save(desk.engine)
    fresh = Desk()
    Journal(tmp_path / "venue.sqlite3").load(fresh.engine)
    assert fresh.engine.now_ms == START_MS
