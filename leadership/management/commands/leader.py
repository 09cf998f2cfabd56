"""Who leads, and changing it. Exit codes of `status` and `wait`: 0 this instance leads, 1 it is a standby,
2 nobody leads, 3 cannot tell. Of the rest: 0 done, 1 refused, 3 waits for approval."""

import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import DatabaseError, connection

from leadership import handover, services, store
from ops.actions.base import Actor, Outcome, Refusal
from ops.api.json import dumps
from ops.management.person import ActionCommand

LEADER, STANDBY, NOBODY, CANNOT_TELL = range(4)
WORDS = ("this instance leads", "standby", "nobody leads", "cannot tell")
ACTIONS = {
    "release": "leadership.release",
    "acquire": "leadership.acquire",
    "steal": "leadership.steal",
}


class Command(ActionCommand):
    help = "status: who leads. wait: until this instance leads. release, acquire, steal: change it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("what", choices=["status", "wait", *ACTIONS])
        parser.add_argument("--timeout", type=float, default=90.0, help="wait, release: seconds")
        parser.add_argument(
            "--force", action="store_true", help="steal: though its holder is heard; two people"
        )
        parser.add_argument(
            "--accept-unknown", action="store_true", help="release: though orders are UNKNOWN"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Looking, and giving leadership away from the shell of its host, need no login."""
        if (
            not any(flag in argv for flag in ("--user", "--as-os"))
            and "-h" not in argv
            and "--help" not in argv
        ):
            argv = [*argv, "--as-os"]
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "status":
            sys.exit(self._status(options))
        if options["what"] == "wait":
            sys.exit(self._wait(options))
        super().handle(*args, **options)

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome | None:
        what = options["what"]
        if what == "steal" and not options["force"]:
            self._steal()
            return None
        texts = {"accept_unknown": "true"} if what == "release" and options["accept_unknown"] else {}
        outcome = self.submit(ACTIONS[what], texts, actor, options)
        if what == "release" and outcome is not None and "approval" not in outcome.body:
            self._see_it_through(options["timeout"])
        return outcome

    def _see_it_through(self, timeout: float) -> None:
        """The keeper frees the lease when it is drained; here it is only watched."""
        ends, said = time.monotonic() + timeout, ""
        while services.standing().leads:
            left = str(handover.work())
            if left != said:
                self.stderr.write(f"draining: {left}")
                said = left
            if time.monotonic() > ends:
                raise Refusal(
                    "leader.draining", f"not freed within {timeout:g} s: {left}; is the keeper running?"
                )
            time.sleep(0.2)
        self.stderr.write("released: this instance is a standby, in HOLD")

    def _steal(self) -> None:
        with connection.cursor() as cursor:
            seen = store.read(cursor)
            age, stale = seen.hb_age_sec, settings.ENV.stale_sec
            if services.leads_alone():
                raise Refusal("leader.no_lock", "FEATURE_LEADER_LOCK=0: this instance is its own leader")
            if seen.live or age <= stale:
                raise Refusal(
                    "leader.fresh",
                    f"{seen.owner} was heard {age:.1f} s ago: stale after {stale} s; "
                    f"earlier by two people, with --force",
                )
            store.begin_term(
                cursor,
                seen,
                me=settings.INSTANCE,
                host=services.host(),
                how="stale",
                ttl_sec=settings.ENV.leader_lock_ttl_sec,
            )

    def _status(self, options: dict[str, Any]) -> int:
        code, facts = look()
        if options["json"]:
            self.stdout.write(dumps({"status": WORDS[code], "exit": code, **facts}).decode())
            return code
        self.stdout.write(WORDS[code])
        for name, value in facts.items():
            self.stdout.write(f"  {name}: {value}")
        return code

    def _wait(self, options: dict[str, Any]) -> int:
        ends = time.monotonic() + options["timeout"]
        while (code := look()[0]) != LEADER and time.monotonic() < ends:
            time.sleep(0.2)
        return self._status(options) if code != LEADER else code


def look() -> tuple[int, dict[str, Any]]:
    """(exit code, what the lease row says)."""
    try:
        found = services.standing()
    except (DatabaseError, LookupError) as error:
        return CANNOT_TELL, {"error": str(error).splitlines()[0]}
    seen = found.seen
    facts = {
        "instance": settings.INSTANCE,
        "holder": seen.owner if seen.live else None,
        "fence": seen.fence,
        "fencing_id": seen.fencing_id if seen.live else None,
        "state": "draining" if seen.draining else seen.state.value,
        "hb_age_sec": round(seen.hb_age_sec, 3) if seen.hb_seq else None,
        "lock": settings.ENV.feature_leader_lock,
    }
    if found.leads:
        return LEADER, facts
    return (STANDBY if seen.live else NOBODY), facts
