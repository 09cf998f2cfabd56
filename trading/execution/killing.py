"""The kill switch's first half: our orders off the venues' books, all venues at once, each told by itself."""

import time
from typing import Any

from trading import desk_config
from trading.models import FlattenJob
from trading.venues import get_hub
from trading.venues.cancel import cancel_ours
from trading.venues.interface import VenueError

TIMEOUT_SEC = 30.0


def cancel_all(job: FlattenJob) -> dict[str, Any]:
    """Ask for every cancel now. Returns what goes into the job's result: by venue how many were taken and
    what failed, and the time to the last answer."""
    hub, config = get_hub(), desk_config.active().trading
    venues = [job.venue] if job.venue else sorted(str(name) for name in config.venues)
    prefix = "" if job.include_foreign else config.execution.order_prefix
    began = time.monotonic()
    answers = hub.gather(
        *(
            cancel_ours(hub.venue(v), prefix, job.symbol or None, everybody=job.include_foreign)
            for v in venues
        ),
        timeout=TIMEOUT_SEC,
    )
    took_ms = round((time.monotonic() - began) * 1000)
    found = {}
    for venue, answer in zip(venues, answers, strict=True):
        taken, failures = ((), (answer,)) if isinstance(answer, VenueError) else answer
        found[venue] = {"taken": len(taken), "failed": [f"{f.code}: {f.detail}"[:200] for f in failures]}
    return {"cancelled": found, "last_cancel_ms": took_ms}


def complete(job: FlattenJob) -> bool:
    return not any(found["failed"] for found in job.result.get("cancelled", {}).values())


def words(job: FlattenJob) -> list[str]:
    """ "okx: 20/20 cancelled" per venue, for the verification line."""
    return [
        f"{venue}: {found['taken']}/{found['taken'] + len(found['failed'])} cancelled"
        for venue, found in job.result.get("cancelled", {}).items()
    ]
