"""Each kind of fault once; `make faults ROUNDS=200` plays as many as one likes and prints the totals."""

import os

import pytest

from tests.faults.play import play

KINDS = 10  # of faults
ROUNDS = int(os.environ.get("ROUNDS", str(KINDS)))


@pytest.mark.faults
def test_a_round_of_each_kind() -> None:
    assert "0 duplicates, 0 orders without a row, 0 unresolved" in play("tests.faults", ROUNDS)
