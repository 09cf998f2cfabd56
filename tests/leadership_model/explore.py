"""Every reachable state, breadth first; the shortest way to the first one that must not be."""

import time
from dataclasses import dataclass

from tests.leadership_model.model import Protocol, State


@dataclass(frozen=True)
class Found:
    """trace: the steps to a violation, None when there is none. steps: names of all that were ever taken."""

    states: int
    seconds: float
    trace: list[str] | None
    steps: frozenset[str]


def explore(protocol: Protocol, *, at_most: int | None = None) -> Found:
    """To the end of the space, or of `at_most` states."""
    began, start = time.monotonic(), protocol.start()
    came: dict[State, tuple[State, str] | None] = {start: None}
    layer, names = [start], set()
    while layer:
        following = []
        for state in layer:
            for name, after in protocol.steps(state):
                names.add(name.split()[0])
                if after in came:
                    continue
                came[after] = (state, name)
                if protocol.violated(after):
                    return Found(len(came), time.monotonic() - began, _trace(came, after), frozenset(names))
                following.append(after)
        if at_most is not None and len(came) >= at_most:
            break
        layer = following
    return Found(len(came), time.monotonic() - began, None, frozenset(names))


def _trace(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps = []
    while (before := came[state]) is not None:
        state, name = before
        steps.append(name)
    return steps[::-1]
