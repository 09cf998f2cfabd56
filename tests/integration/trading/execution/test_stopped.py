"""In HOLD the last look before a claim judges by quantity, whatever wrote the order."""

from dataclasses import replace
from typing import Any

import pytest

from ops import desk
from tests.integration.trading.execution.books import path, states
from trading.execution import intents, machine


@pytest.fixture
def held_when_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    visit = machine._visit

    def hold_then_visit(*args: Any, **more: Any) -> None:
        desk.raise_hold(source="test", reason="in mid-flight")
        visit(*args, **more)

    monkeypatch.setattr(machine, "_visit", hold_then_visit)


@pytest.mark.usefixtures("held_when_sent")
@pytest.mark.parametrize("wrong", ["too much", "the wrong side"])
def test_a_rescue_that_would_open_is_not_sent(
    bench: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A core gone mad: its rescue sells twice what was bought, or buys more."""
    write_repair = intents.write_repair

    def mad(execution: Any, leg: Any, write: Any, *rest: Any, **more: Any) -> Any:
        bad = (
            replace(write, qty=write.qty * 2)
            if wrong == "too much"
            else replace(write, side=write.side.opposite)
        )
        return write_repair(execution, leg, bad, *rest, **more)

    monkeypatch.setattr(intents, "write_repair", mad)
    row = bench.open()
    bench.reject("okx")
    bench.drive(row)
    assert path(row)[-1] == "QUARANTINED"
    assert states(row, "reverse") == ["DISCARDED"]
    assert len(bench.orders("binanceusdm")) == 1  # only the opening leg ever went out
    assert any(cause.source.startswith("execution.quarantined") for cause in desk.causes())
