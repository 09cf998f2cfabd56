"""The lease, its keepers, and what a claimer does with an order; between any two steps anything may pause.

Times are whole ticks, relative to now, and cut off where more makes no difference: so the space is finite and
is explored to its end, without a horizon. A pause, a SIGSTOP and a crash are steps that are not taken while
`tick` is; a delayed request is a message that is not delivered; a wall clock that is off is a timestamp that
differs from now by up to `skew`. Fences are compared, never counted: a claim or a message is of the current
term or of an older one. What must never be: a message of an older term that the venue would still accept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

IDLE, BEGUN, CLAIMED, SIGNED, CHECKED, SENT = range(6)
NOBODY: tuple[int, ...] = (IDLE,)

#: (age of the heartbeat, held, owner, draining, since the owner's last claim, claimers of 0, claimers of 1)
State = tuple[int, int, int, int, int, tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Protocol:
    """Ticks. within: from claim to check. window: how long after its timestamp the venue takes a request."""

    ttl: int = 2
    within: int = 1
    window: int = 1
    skew: int = 1
    claimers: int = 1
    margin: int = 0
    fenced: bool = True
    checks: bool = True
    signs_first: bool = True
    drains: bool = True
    venue_expires: bool = True

    @property
    def stale(self) -> int:
        """As the start demands; `margin` shortens it in a test."""
        return self.ttl + self.window + self.skew + self.margin

    @property
    def drain(self) -> int:
        return self.within + self.window + self.skew

    def start(self) -> State:
        nobody = (NOBODY,) * self.claimers
        return 0, 1, 0, 0, self.drain + 1, nobody, nobody

    # -- steps: (name, state after) --

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        age, held, owner, draining, quiet, *sides = state
        yield "tick", self._tick(state)
        live = held and age < self.ttl
        if live and age:
            yield f"renew {owner}", (0, *state[1:])
        if live and not draining:
            yield f"drain {owner}", (age, held, owner, 1, quiet, *sides)  # type: ignore[misc]
        if live and draining and self._drained(quiet, sides[owner]):
            yield f"free {owner}", (age, 0, owner, 0, quiet, *sides)  # type: ignore[misc]
        for me in (0, 1):
            if not held or age > self.stale:
                older = tuple(tuple(sorted(_older(c) for c in side)) for side in sides)
                yield f"take {me}", (0, 1, me, 0, self.drain + 1, *older)  # type: ignore[misc]
            for index, claimer in enumerate(sides[me]):
                for name, after, claimed in self._claimer(me, claimer, state):
                    side = tuple(sorted((*sides[me][:index], after, *sides[me][index + 1 :])))
                    both = (side, sides[1]) if me == 0 else (sides[0], side)
                    since = 0 if claimed else quiet
                    yield f"{name} {me}", (age, held, owner, draining, since, *both)

    def _claimer(
        self, me: int, claimer: tuple[int, ...], state: State
    ) -> Iterator[tuple[str, tuple[int, ...], bool]]:
        """(step, the claimer after it, whether it was a claim)."""
        age, held, owner, draining = state[:4]
        match claimer:
            case (phase,) if phase == IDLE:
                if held and owner == me:
                    yield "begin", (BEGUN, 0), False
            case (phase, since) if phase == BEGUN:
                left = self.ttl - age
                mine = owner == me or not self.fenced  # unfenced: it led when it began, and asks no more
                if held and left > 0 and mine and not draining:
                    current = int(owner == me)
                    yield "claim", (CLAIMED, current, min(left - since, self.within)), True
                else:
                    yield "give up", NOBODY, False
            case (phase, current, left) if phase == CLAIMED:
                if self.signs_first:
                    for off in range(-self.skew, self.skew + 1):
                        yield f"sign{off:+d}", (SIGNED, current, left, off), False
                elif left > 0 or not self.checks:
                    yield "check", (CHECKED, current), False
                else:
                    yield "too late", NOBODY, False
            case (phase, current, left, stamp) if phase == SIGNED:
                if left > 0 or not self.checks:
                    yield "check", (CHECKED, current, stamp), False
                else:
                    yield "too late", NOBODY, False
            case (phase, current) if phase == CHECKED:
                for off in range(-self.skew, self.skew + 1):
                    yield f"sign{off:+d}", (SENT, current, off), False
            case (phase, current, stamp) if phase == CHECKED:
                yield "send", (SENT, current, stamp), False
            case (phase, *_) if phase == SENT:
                yield "deliver", NOBODY, False
                yield "lost", NOBODY, False

    def _tick(self, state: State) -> State:
        age, held, owner, draining, quiet, *sides = state
        later = tuple(tuple(sorted(self._later(c) for c in side)) for side in sides)
        return (  # type: ignore[return-value]
            min(age + 1, self.stale + 1),
            held,
            owner,
            draining,
            min(quiet + 1, self.drain + 1),
            *later,
        )

    def _later(self, claimer: tuple[int, ...]) -> tuple[int, ...]:
        oldest = -self.window - 1
        match claimer:
            case (phase, since) if phase == BEGUN:
                return BEGUN, min(since + 1, self.ttl)
            case (phase, current, left) if phase == CLAIMED:
                return CLAIMED, current, max(left - 1, 0)
            case (phase, current, left, stamp) if phase == SIGNED:
                return SIGNED, current, max(left - 1, 0), max(stamp - 1, oldest)
            case (phase, current, stamp) if phase == CHECKED:
                return CHECKED, current, max(stamp - 1, oldest)
            case (phase, current, stamp) if phase == SENT and self.venue_expires:
                return (SENT, current, stamp - 1) if stamp - 1 > oldest else NOBODY
            case _:
                return claimer

    def _drained(self, quiet: int, side: tuple[tuple[int, ...], ...]) -> bool:
        """Nothing SENDING, and what was claimed last can be accepted no more. A request without an answer is
        UNKNOWN, not SENDING: only the time covers it."""
        if not self.drains:
            return True
        return quiet > self.drain and not any(c[0] in (CLAIMED, SIGNED, CHECKED) for c in side)

    def violated(self, state: State) -> bool:
        """A request of an older term is at the venue's door, and its timestamp is still good."""
        return any(
            c[0] == SENT and not c[1] and (c[2] >= -self.window or not self.venue_expires)
            for side in state[5:]
            for c in side
        )


def _older(claimer: tuple[int, ...]) -> tuple[int, ...]:
    """Another term has begun."""
    if claimer[0] in (IDLE, BEGUN):
        return claimer
    return (claimer[0], 0, *claimer[2:])


BASE = Protocol()
#: Each weakened in one thing.
WEAKENED = {
    "no fence in the claim": replace(BASE, fenced=False),
    "no check after signing": replace(BASE, checks=False),
    "timestamp after the check": replace(BASE, signs_first=False),
    "STALE = TTL": replace(BASE, margin=-BASE.window - BASE.skew),
    "release without drain": replace(BASE, drains=False),
    "a venue without an expiry": replace(BASE, venue_expires=False),
}
