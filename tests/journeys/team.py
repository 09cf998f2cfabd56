"""The people of a running desk at their keyboards, and the venues' own books beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptobot.demo.person import Answer, Person
from cryptobot.demo.story import QUIET
from cryptobot.demo.venues import PaperVenue, paper_venues, until
from tests.desk import Desk

APPROVALS = "/api/ui/approvals"


class Team:
    def __init__(self, desk: Desk, *, venues: Path | None = None) -> None:
        """venues: DATA_DIR of the paper venues, where it is not the desk's."""
        self.desk, self.people = desk, desk.people()
        self.alice, self.bob, self.victor = (self.person(name) for name in ("alice", "bob", "victor"))
        self.anybody = Person(desk.base_url)
        self.venues: dict[str, PaperVenue] = paper_venues(venues or desk.data_dir)

    def person(self, name: str) -> Person:
        return Person(self.desk.base_url, name).login(self.people[name]["password"])

    def approve(self, asked: Answer) -> Answer:
        """Bob approves what alice asked for."""
        assert (asked.status, asked["status"]) == (202, "pending_approval"), asked.body
        request = asked["approval"]
        done = self.bob.post(f"{APPROVALS}/{request['id']}/approve", digest=request["digest"])
        assert done.status in {200, 202}, done.body
        return done

    def start_trading(self) -> None:
        """SAFE_MODE off and RUN, each asked by alice and approved by bob."""
        off = self.alice.post("/api/v1/actions/ops.safe_mode", enabled=False, reason="journey: real orders")
        assert self.approve(off)["approval"]["execution"]["state"] == "executed"
        resume = self.alice.post("/api/ui/resume_request", reason="journey: the checklist is green")
        assert self.approve(resume)["approval"]["execution"]["state"] == "executed"

    def stop_trading(self) -> None:
        """As every journey found the desk: flat, in HOLD and SAFE_MODE."""
        self.flatten()
        for venue in self.venues.values():
            venue.control("DELETE", "market")
            venue.control("DELETE", "faults")
        flags = self.alice.get("/api/ui/state")["flags"]
        if flags["MODE"] != "HOLD":
            assert self.alice.post("/api/ui/hold", reason="journey: over").status == 200
        if not flags["SAFE_MODE"]:
            on = self.alice.post("/api/v1/actions/ops.safe_mode", enabled=True, reason="journey: over")
            assert on.status == 200

    def viable(self, **asked: Any) -> Any:
        """A viable preview; there is none for half a minute around a funding instant, or on a stale book."""

        def look() -> Any:
            body = self.alice.post("/api/arb/preview", **{"symbol": "BTCUSDT"} | asked).body
            return body if body["viable"] else None

        return until("a viable preview", look, timeout=90)

    def execute(self, plan: dict[str, Any]) -> Any:
        """Alice asks, bob approves; the execution at rest."""
        body = {"plan_id": plan["id"], "digest": plan["digest"], "reason": "journey"}
        return self.rested(self.approve(self.alice.post("/api/arb/execute", **body))["location"])

    def rested(self, location: str) -> Any:
        def look() -> Any:
            row = self.alice.get(location).body
            return row if row["state"] in QUIET and not row["closing"] else None

        return until(f"{location} to rest", look)

    def flatten(self) -> Any:
        job = self.alice.post("/api/hedge/flatten", reason="journey")
        assert (job.status, job["status"]) == (202, "accepted"), job.body

        def look() -> Any:
            row = self.alice.get(job["location"]).body
            return row if row["state"] != "running" else None

        done = until("the flatten", look)
        assert done["state"] == "done", done
        return done

    def orders_at_venues(self) -> dict[str, int]:
        return {name: len(venue.state()["orders"]) for name, venue in self.venues.items()}


@contextmanager
def team(desk: Desk) -> Iterator[Team]:
    people = Team(desk)
    try:
        yield people
    finally:
        people.stop_trading()


def dec(text: Any) -> Decimal:
    assert isinstance(text, str), f"{text!r}: money travels as text"
    return Decimal(text)
