"""Recorded data beside the project: there for those who have it, demanded where REQUIRE_RECORDINGS=1."""

import os
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[5] / "shared" / "data"


def recording(name: str) -> Path:
    """`../shared/data/<name>`; the test skips with one message where it is absent."""
    path = _FOLDER / name
    if not path.exists():
        message = f"no recording at ../shared/data/{name}"
        if os.environ.get("REQUIRE_RECORDINGS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path
