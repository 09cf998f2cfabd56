"""The protocol holds in every state of a small space; each weakening of it fails in the same space."""

from dataclasses import replace

import pytest

from tests.leadership_model.explore import explore
from tests.leadership_model.model import BASE, WEAKENED, Protocol


def test_no_request_of_an_older_term_is_ever_accepted() -> None:
    found = explore(replace(BASE, ttl=3, claimers=1))
    assert found.trace is None
    assert found.states > 10_000
    # Not because nothing happens: terms end in every way, and requests arrive.
    assert {"take", "free", "renew", "claim", "check", "send", "deliver"} <= found.steps
    assert "too" in found.steps  # an order that was held up is held back


@pytest.mark.parametrize("name", WEAKENED)
def test_each_weakening_is_refuted(name: str) -> None:
    trace = explore(WEAKENED[name]).trace
    assert trace is not None
    assert any(step.startswith("take") for step in trace)


@pytest.mark.parametrize("wide", [BASE, replace(BASE, ttl=3, window=2), replace(BASE, skew=2)])
def test_the_rule_of_the_start_is_not_looser_than_it_must_be(wide: Protocol) -> None:
    """A check passes before TTL and a steal comes after STALE: a tick each. Less than that is too little."""
    assert explore(replace(wide, margin=-1)).trace is None
    assert explore(replace(wide, margin=-2)).trace is not None
