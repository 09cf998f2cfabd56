"""Rounds of faults as a process of their own, from a test."""

import os
import subprocess
import sys

from cryptobot.env import BASE_DIR, Environment


def play(module: str, rounds: int) -> str:
    """What `python -m module` printed with ROUNDS; fails with its last words when it found a violation."""
    own = {n: v for n, v in os.environ.items() if n.lower() not in Environment.model_fields}
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=BASE_DIR,
        env=own | {"ROUNDS": str(rounds)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert f"{rounds} rounds" in done.stdout
    return done.stdout
