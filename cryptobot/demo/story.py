"""The whole story of a desk, told through REST alone, as two operators live it.

Each chapter checks what it claims and raises `Untrue` otherwise: the demo is also an acceptance test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cryptobot.demo.person import Answer, Person
from cryptobot.demo.venues import PaperVenue, cash_and_fees, until

Say = Callable[[str], None]
QUIET = {"FLAT_AFTER_RESCUE", "ABORTED_CLEAN", "SETTLED", "BALANCED", "RESIDUAL_HELD", "QUARANTINED"}
EDGE_BPS = 40


class Untrue(Exception):
    """The desk did something else than the story says."""


@dataclass
class Story:
    alice: Person
    bob: Person
    venues: dict[str, PaperVenue]
    say: Say

    def tell(self) -> None:
        for chapter in (
            self.leave_hold,
            self.make_an_edge,
            self.refuse_self_approval,
            self.execute,
            self.rescue,
            self.spread_closes,
            self.flatten,
            self.prove_it,
        ):
            self.say(f"\n— {(chapter.__doc__ or '').splitlines()[0]}")
            chapter()

    # --- chapters ---

    def leave_hold(self) -> None:
        """The desk starts in HOLD and SAFE_MODE. Alice asks, Bob approves."""
        state = self.alice.get("/api/ui/state").body
        self.say(f"mode {state['flags']['MODE']}, SAFE_MODE {state['flags']['SAFE_MODE']}")
        if state["flags"]["SAFE_MODE"]:
            asked = self.alice.post(
                "/api/v1/actions/ops.safe_mode", enabled=False, reason="demo: real orders on paper venues"
            )
            self.approve(asked)
        if state["flags"]["MODE"] == "HOLD":
            self.approve(self.alice.post("/api/ui/resume_request", reason="demo: the desk is ready"))
        flags = self.alice.get("/api/ui/state")["flags"]
        expect((flags["MODE"], flags["SAFE_MODE"]) == ("RUN", False), f"flags {flags}")
        self.say("mode RUN, SAFE_MODE False")

    def make_an_edge(self) -> None:
        """The paper market is moved apart, so that there is something to earn."""
        for name, bps in (("okx", EDGE_BPS), ("binanceusdm", 0)):
            self.venues[name].control("POST", "market", symbol=self.venues[name].btc, shift_bps=bps)
        preview = until("a preview that pays", self._paying_preview)
        plan = preview["plan"]
        self.say(
            f"buy on {plan['direction']['long']}, sell on {plan['direction']['short']}: "
            f"net {plan['edge']['net_bps']} bps after four fees, slippage and the expected exit"
        )
        red = [c["name"] for c in preview["checks"] if not c["ok"]]
        self.say(f"{len(preview['checks'])} checks, red: {', '.join(red) or 'none'}")

    def refuse_self_approval(self) -> None:
        """Alice asks to execute and tries to approve it herself."""
        self.asked = self._ask_to_execute()
        approval = self.asked["approval"]
        refused = self.alice.post(f"/api/ui/approvals/{approval['id']}/approve", digest=approval["digest"])
        expect(refused.status == 403 and refused["code"] == "vote.self", f"{refused.status} {refused.body}")
        self.say(f"{refused.status} {refused['code']}: {refused['detail']}")

    def execute(self) -> None:
        """Bob approves; the approving vote executes the plan."""
        row = self._run(self.asked)
        expect(row["state"] == "BALANCED", f"the pair ended {row['state']}")
        for leg in row["legs"]:
            self.say(
                f"  {leg['side']:4} {leg['filled']} {leg['symbol']} on {leg['venue']} at {leg['avg_price']}"
            )
        self.say(f"  {' → '.join(t['state'] for t in row['transitions'])}")

    def rescue(self) -> None:
        """OKX refuses a leg again and again. The filled leg is reversed, nothing stays naked."""
        self.venues["okx"].control("POST", "faults", effect="reject", kind="place", code="51000", count=None)
        row = self._run(self._ask_to_execute())
        self.venues["okx"].control("DELETE", "faults")
        expect(row["state"] == "FLAT_AFTER_RESCUE", f"the rescue ended {row['state']}")
        self.say(f"  {' → '.join(t['state'] for t in row['transitions'])}")
        self.say(f"  cost {row['pnl']['net']} USDT")
        incident = self.alice.get("/api/ui/incidents?state=open")["results"][0]
        expect(incident["source"] == f"execution.rescued:{row['id']}", str(incident))
        self.say(f"  incident {incident['severity']} {incident['code']} is open, for somebody to acknowledge")

    def spread_closes(self) -> None:
        """The venues' prices come together again: now the open pair has earned its edge."""
        for venue in self.venues.values():
            venue.control("DELETE", "market")

    def flatten(self) -> None:
        """Flatten: one person, one step, and a line read from the venues themselves."""
        job = self.alice.post("/api/hedge/flatten", reason="demo: going home")
        expect(job.status == 202, f"{job.status} {job.body}")
        done = until("the flatten", lambda: self._finished(job["location"]))
        expect(done["state"] == "done", str(done))
        self.say(f"  {done['result']['verification']}")
        expect(all(venue.flat() for venue in self.venues.values()), "a venue still holds a position")

    def prove_it(self) -> None:
        """The result, computed from the venues' own fill lists, and the audit chain."""
        ours = self.alice.get("/api/ui/positions")["pnl"]
        sums = [cash_and_fees(venue) for venue in self.venues.values()]
        cash, fees = (sum(column, Decimal(0)) for column in zip(*sums, strict=True))
        self.say(f"  the desk:   realised {ours['realised']}, fees {ours['fees']}, net {ours['net']}")
        self.say(f"  the venues: realised {cash.normalize():f}, fees {fees.normalize():f}")
        expect(Decimal(ours["realised"]) == cash and Decimal(ours["fees"]) == fees, "PnL differs")
        self.say("  equal to the last digit")
        lines = self.alice.get("/api/ui/resume_checklist")["lines"]
        chain = next(line for line in lines if line["name"] == "audit_chain")
        expect(chain["ok"], str(chain))
        self.say(f"  audit chain: {chain['detail']}")

    # --- how ---

    def approve(self, asked: Answer) -> Answer:
        expect(asked.status == 202, f"{asked.status} {asked.body}")
        approval = asked["approval"]
        self.say(f"alice asks: {approval['action']} ({approval['reason']})")
        done = self.bob.post(f"/api/ui/approvals/{approval['id']}/approve", digest=approval["digest"])
        expect(done.status in {200, 202}, f"{done.status} {done.body}")
        expect(done["approval"]["execution"]["state"] == "executed", str(done.body))
        self.say(f"bob approves digest {approval['digest'][:12]}…: {done['status']}")
        return done

    def _paying_preview(self) -> Any:
        body = self.alice.post("/api/arb/preview", symbol="BTCUSDT").body
        return body if body["viable"] and Decimal(body["plan"]["edge"]["net_bps"]) > 0 else None

    def _ask_to_execute(self) -> Answer:
        plan = until("a preview that pays", self._paying_preview)["plan"]
        asked = self.alice.post("/api/arb/execute", plan_id=plan["id"], digest=plan["digest"], reason="demo")
        expect(asked.status == 202 and asked["status"] == "pending_approval", f"{asked.status} {asked.body}")
        return asked

    def _run(self, asked: Answer) -> Any:
        done = self.approve(asked)
        return until("the execution", lambda: self._rested(done["location"]))

    def _rested(self, location: str) -> Any:
        row = self.alice.get(location).body
        return row if row["state"] in QUIET else None

    def _finished(self, location: str) -> Any:
        row = self.alice.get(location).body
        return row if row["state"] != "running" else None


def expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise Untrue(otherwise)
