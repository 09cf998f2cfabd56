"""An account in hedge mode: preflight says so, and no plan is viable."""

from typing import Any

import pytest

from tests.integration.trading.execution.bench import A, B, Bench
from trading.services.answers import preview_json
from trading.services.preview import PreviewRequest, preview
from trading.venues import get_hub


def ask(venue: str) -> dict[str, Any]:
    """A preview without an answer of `venue` from before."""
    hub = get_hub()
    hub._facts.clear()
    vars(hub.venue(venue))["_answers"].clear()
    answer: dict[str, Any] = preview_json(preview(PreviewRequest(symbol="BTCUSDT", long_venue=A)))
    return answer


@pytest.mark.parametrize("venue", [A, B])
def test_preflight_names_the_position_mode_and_blocks(bench: Bench, venue: str) -> None:
    assert ask(venue)["viable"] is True
    bench.paper[venue].engine.set_hedge_mode(True)
    answer = ask(venue)
    red = {check["name"]: check["detail"] for check in answer["checks"] if not check["ok"]}
    assert answer["viable"] is False
    assert red == {f"position_mode.{venue}": "hedge, configured one_way", "approval": "needed"}
