"""The paper venues' own side: their control endpoint, and their own books of what was filled.

The demo and the journeys check the desk against this, not against itself.
"""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class PaperVenue:
    name: str
    base_url: str
    control_token: str

    def control(self, method: str, verb: str, **body: Any) -> Any:
        """One call of `/paper/control/<verb>` (docs/paper-venues.md)."""
        request = urllib.request.Request(  # noqa: S310 (loopback, from our own file)
            f"{self.base_url}/paper/control/{verb}",
            data=json.dumps(body).encode() if method != "GET" else None,
            method=method,
            headers={"X-Paper-Control": self.control_token, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
            return json.loads(reply.read())

    def state(self) -> Any:
        return self.control("GET", "state")

    @property
    def btc(self) -> str:
        """The venue's own name of the BTC contract."""
        return "BTC-USDT-SWAP" if self.name == "okx" else "BTCUSDT"

    def fills(self) -> list[dict[str, Any]]:
        return list(self.state()["fills"])

    def flat(self) -> bool:
        return not self.state()["positions"]


def paper_venues(data_dir: Path) -> dict[str, PaperVenue]:
    doc = json.loads((data_dir / "paper-venues.json").read_text())
    return {
        name: PaperVenue(name, venue["base_url"], doc["control_token"])
        for name, venue in doc["venues"].items()
    }


def cash_and_fees(venue: PaperVenue) -> tuple[Decimal, Decimal]:
    """Σ −sign · qty · price and Σ fees over the venue's own fills: its PnL when it is flat."""
    cash = fees = Decimal(0)
    for fill in venue.fills():
        sign = 1 if fill["side"] == "buy" else -1
        cash -= sign * Decimal(fill["qty"]) * Decimal(fill["price"])
        fees += Decimal(fill["fee"])
    return cash, fees


def until(what: str, probe: Callable[[], Any], *, timeout: float = 60) -> Any:
    """The first truthy answer of `probe`; TimeoutError, naming `what`, when there is none."""
    deadline = time.monotonic() + timeout
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up waiting for {what}")
        time.sleep(0.1)
    return found
