"""A venue's account is brought to what the configuration says; the venue itself is asked whether it is."""

from typing import Any

import pytest

from ops.actions.base import Refusal, Status
from ops.models import AuditEntry
from tests import factories
from tests.integration.trading.execution.bench import A, B, Bench
from trading.services import setup, venue_reads
from trading.venues import get_hub

VENUES = [A, B, "bybit"]


def shown(venue: str) -> dict[str, Any]:
    get_hub()._facts.clear()
    return next(row for row in venue_reads.deriv_status()["venues"] if row["venue"] == venue)


def as_configured(venue: str) -> set[bool]:
    return {row["as_configured"] for row in shown(venue)["instruments"]}


@pytest.mark.parametrize("venue", [A, B])
def test_an_account_that_stands_otherwise_is_brought_back(bench: Bench, venue: str) -> None:
    hub = get_hub()
    hub.call(hub.venue(venue).set_leverage("BTC/USDT:USDT", 3))
    hub.call(hub.venue(venue).set_position_mode(one_way=False))
    assert as_configured(venue) == {False}
    outcome = factories.submit("alice", "trading.setup_venue", venue=venue)
    assert outcome.status is Status.ACCEPTED
    assert setup.set_up(venue) == []
    assert as_configured(venue) == {True}
    assert setup.set_up(venue) == [], "twice is once"
    entry = AuditEntry.objects.filter(action="trading.setup_venue", source="system").latest("seq")
    assert (entry.verdict, entry.target) == ("done", venue)


@pytest.mark.parametrize("venue", [A, B])
def test_what_the_venue_refuses_is_on_record(bench: Bench, venue: str) -> None:
    bench.fault(venue, "venue_down", "any")
    refused = setup.set_up(venue)
    assert "one-way mode" in refused[0]
    assert len(refused) == 1 + len(shown(venue)["instruments"])
    entry = AuditEntry.objects.filter(action="trading.setup_venue", source="system").latest("seq")
    assert entry.verdict == "refused"


def test_an_unknown_venue(bench: Bench) -> None:
    with pytest.raises(Refusal, match="accepted: binanceusdm") as refused:
        factories.submit("alice", "trading.setup_venue", venue="mtgox")
    assert refused.value.status == 422
