"""A leader that is stopped with a signed order in hand, and one that gives its lease away. More by hand:
`make faults ROUNDS=100`."""

import re

import pytest

from tests.faults.play import play


@pytest.mark.faults
def test_two_rounds() -> None:
    said = play("tests.faults.leadership", 2)
    assert "(released 1, stopped_after_sign 1)" in said
    assert "0 stale accepts, 0 duplicates, 0 orders without a row" in said
    assert re.search(r"[1-9]\d* orders held back after signing", said)  # the stop was where it matters
