"""Each kind of fault once; `make faults ROUNDS=200` plays as many as one likes and prints the totals."""

import os
import subprocess
import sys

import pytest

from cryptobot.env import BASE_DIR, Environment

KINDS = 10  # of faults
ROUNDS = int(os.environ.get("ROUNDS", str(KINDS)))


@pytest.mark.faults
def test_a_round_of_each_kind() -> None:
    own = {n: v for n, v in os.environ.items() if n.lower() not in Environment.model_fields}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults"],
        cwd=BASE_DIR,
        env=own | {"ROUNDS": str(ROUNDS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert f"{ROUNDS} rounds" in done.stdout
    assert "0 duplicates, 0 orders without a row, 0 unresolved" in done.stdout
