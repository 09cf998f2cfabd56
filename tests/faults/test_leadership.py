"""A leader that is stopped with a signed order in hand, and one that gives its lease away. More by hand:
`ROUNDS=100 python -m tests.faults.leadership`, or `make faults`."""

import os
import re
import subprocess
import sys

import pytest

from cryptobot.env import BASE_DIR, Environment

ROUNDS = 2


@pytest.mark.faults
def test_two_rounds() -> None:
    own = {n: v for n, v in os.environ.items() if n.lower() not in Environment.model_fields}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.leadership"],
        cwd=BASE_DIR,
        env=own | {"ROUNDS": str(ROUNDS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert f"{ROUNDS} rounds (released 1, stopped_after_sign 1)" in done.stdout
    assert "0 stale accepts, 0 duplicates, 0 orders without a row" in done.stdout
    assert re.search(r"[1-9]\d* orders held back after signing", done.stdout)  # the stop was where it matters
