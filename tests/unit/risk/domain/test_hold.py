"""What passes while the desk is stopped: a table, and a property over all quantities."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.gate import InstrumentState
from risk.domain.hold import Begun, Pass, Stop, may_pass


def state(net: str = "0", buying: str = "0", selling: str = "0") -> InstrumentState:
    return InstrumentState(net=Decimal(net), working_buy=Decimal(buying), working_sell=Decimal(selling))


@pytest.mark.parametrize(
    ("qty", "instrument", "verdict"),
    [
        ("-1", state("1"), Pass.REDUCES),
        ("-0.4", state("1"), Pass.REDUCES),
        ("-1.0001", state("1"), None),  # would flip it
        ("1", state("1"), None),  # adds
        ("1", state("-1"), Pass.REDUCES),
        ("-1", state(), None),  # opens
        ("-0.6", state("1", selling="0.5"), None),  # with what works already, it could flip
        ("-0.5", state("1", selling="0.5"), Pass.REDUCES),
        ("-1", state("1", buying="5"), Pass.REDUCES),  # a working buy may never fill: it gives no room
        ("0", state("1"), None),
    ],
)
@pytest.mark.parametrize("stop", list(Stop))
def test_reducing_is_judged_by_quantity(
    stop: Stop, qty: str, instrument: InstrumentState, verdict: Pass | None
) -> None:
    assert may_pass(Decimal(qty), instrument, begun=None, stop=stop) is verdict


@pytest.mark.parametrize(
    ("qty", "delta", "stop", "verdict"),
    [
        ("-1", "1", Stop.HOLD, Pass.HEDGES),
        ("-0.3", "1", Stop.HOLD, Pass.HEDGES),
        ("-1.1", "1", Stop.HOLD, None),  # changes the sign of the delta
        ("1", "1", Stop.HOLD, None),
        ("1", "-1", Stop.HOLD, Pass.HEDGES),
        ("1", "0", Stop.HOLD, None),  # balanced: nothing to hedge
        ("-1", "1", Stop.REDUCE_ONLY, None),
        ("-1", "1", Stop.KILL, None),
    ],
)
def test_an_execution_already_begun_is_hedged_in_hold_only(
    qty: str, delta: str, stop: Stop, verdict: Pass | None
) -> None:
    flat = state()
    assert may_pass(Decimal(qty), flat, begun=Begun(Decimal(delta)), stop=stop) is verdict


AMOUNT = st.decimals(-100, 100, places=3)
WORKING = st.decimals(0, 100, places=3)


@given(AMOUNT, AMOUNT, WORKING, WORKING, AMOUNT, st.sampled_from(list(Stop)))
def test_whatever_passes_brings_something_down(
    qty: Decimal, net: Decimal, buying: Decimal, selling: Decimal, delta: Decimal, stop: Stop
) -> None:
    """If everything on its side fills, |net| is smaller with the same sign; or the execution's delta is."""
    verdict = may_pass(qty, InstrumentState(net, buying, selling), begun=Begun(delta), stop=stop)
    if verdict is Pass.REDUCES:
        worst = net + qty + (buying if qty > 0 else -selling)
        assert worst * net >= 0
        assert abs(worst) < abs(net)
    if verdict is Pass.HEDGES:
        assert stop is Stop.HOLD
        assert abs(delta + qty) < abs(delta)
        assert (delta + qty) * delta >= 0
