"""Whether to take, keep or leave the lease (spec 5). Pure: the row on the database's clock, and who asks.

A row that lapsed is never revived under its fence: whoever lost it begins a new term as everybody else does,
after STALE. What is between TTL and STALE is the drain in which the old term's last orders end at the venues.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    FREE = "FREE"
    HELD = "HELD"


@dataclass(frozen=True, slots=True)
class Seen:
    """The lease row at one moment of the database's clock.

    hb_age_sec: since the holder's last renewal. left_sec: until it lapses; None: never, the lock is off.
    draining: its holder is giving it away. released_by: who gave it away, and waits for another to take it.
    host: where people find the owner.
    """

    owner: str
    fence: int
    nonce: str
    state: State
    hb_seq: int
    hb_age_sec: float
    left_sec: float | None
    draining: bool = False
    released_by: str = ""
    host: str = ""

    @property
    def live(self) -> bool:
        """Somebody holds it and it has not lapsed."""
        return self.state is State.HELD and (self.left_sec is None or self.left_sec > 0)

    @property
    def fencing_id(self) -> str:
        return f"{self.fence}-{self.nonce}"


@dataclass(frozen=True, slots=True)
class Acquire:
    """how: `free`, `stale`: what the history of terms says."""

    how: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Still ours. `fence` is adopted by a keeper that was started again."""

    fence: int


@dataclass(frozen=True, slots=True)
class Wait:
    why: str


@dataclass(frozen=True, slots=True)
class StepDown:
    """We led and do not any more."""

    why: str


Decision = Acquire | Renew | Wait | StepDown


def decide(seen: Seen, me: str, *, leading: int | None, stale_sec: float) -> Decision:
    """What the keeper of instance `me` does now.

    Args:
        leading: the fence under which it believed to lead until now, None for a standby.
        stale_sec: the age of the holder's heartbeat from which anybody may take the lease.
    """
    if seen.live and seen.owner == me and leading in (None, seen.fence):
        return Renew(seen.fence)
    if leading is not None:
        if seen.fence != leading:
            return StepDown(f"term {seen.fence} of {seen.owner} has begun")
        return StepDown("given away" if seen.state is State.FREE else "lapsed before it was renewed")
    return _standby(seen, me, stale_sec)


def _standby(seen: Seen, me: str, stale_sec: float) -> Acquire | Wait:
    if seen.state is State.FREE:
        if seen.released_by == me:
            return Wait("given away by this instance: another one takes it, or a person does here")
        return Acquire("free")
    if seen.left_sec is None:
        return Wait(f"{seen.owner} holds it without a lock")
    if seen.hb_age_sec > stale_sec:
        return Acquire("stale")
    return Wait(f"held by {seen.owner}, heard {seen.hb_age_sec:.1f} s ago; stale after {stale_sec:g} s")


def timing_problem(
    *, ttl_sec: float, stale_sec: float, window_sec: float, offset_sec: float, margin_sec: float
) -> str | None:
    """Why these timings could let two terms' orders be accepted side by side; None when they cannot.

    window_sec: the longest time after signing in which a venue still takes an order. offset_sec: how far a
    venue's clock may be from ours.
    """
    needed = ttl_sec + window_sec + offset_sec + margin_sec
    if stale_sec >= needed:
        return None
    return (
        f"LEADER_LOCK_STALE_SEC={stale_sec:g}: accepted: at least {needed:g} "
        f"(TTL {ttl_sec:g} + acceptance window {window_sec:g} + clock offset {offset_sec:g} "
        f"+ margin {margin_sec:g})"
    )
