"""What can go wrong on a stream and not in an answer; rules on the control endpoint, as for requests."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

KINDS = ("any", "public", "snapshot", "private")  # a whole book is public too
EFFECTS = ("gap", "duplicate", "reorder", "late", "hang_up", "half_open")


@dataclass(slots=True)
class StreamFault:
    """One rule for the next `count` frames of `kind` (None: until cleared), after `skip` others.

    gap: the frame is lost. duplicate: it comes twice. reorder: it comes after the next one.
    late: it comes `ms` later. hang_up: the connection ends with `code` (1006: without a goodbye).
    half_open: this frame and all after it never come, and the connection stays.
    """

    effect: str
    kind: str = "any"
    count: int | None = 1
    skip: int = 0
    ms: int = 0
    code: int = 1001
    id: int = 0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        for name, value, accepted in (("effect", self.effect, EFFECTS), ("kind", self.kind, KINDS)):
            if value not in accepted:
                raise ValueError(f"{name} {value!r}: accepted are {', '.join(accepted)}")

    def strikes(self, kind: str) -> bool:
        """Counts the frame when it is one of its kind."""
        concerned = self.kind in ("any", kind) or (self.kind, kind) == ("public", "snapshot")
        if not concerned or (self.count is not None and self.hits >= self.count):
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.hits += 1
        return True


class StreamFaults:
    """The rules of one venue, in order of entry; the first that strikes decides."""

    def __init__(self) -> None:
        self._rules: list[StreamFault] = []
        self._ids = itertools.count(1)

    def __iter__(self) -> Iterator[StreamFault]:
        return iter(self._rules)

    def add(self, fault: StreamFault) -> StreamFault:
        fault.id = next(self._ids)
        self._rules.append(fault)
        return fault

    def add_from(self, row: dict[str, Any]) -> StreamFault:
        """Raises ValueError naming what is unknown."""
        accepted = StreamFault.__dataclass_fields__.keys() - {"id", "hits", "seen"}
        if unknown := row.keys() - accepted:
            raise ValueError(
                f"unknown {', '.join(sorted(unknown))}: accepted are {', '.join(sorted(accepted))}"
            )
        if "effect" not in row:
            raise ValueError(f"effect: required, one of {', '.join(EFFECTS)}")
        return self.add(StreamFault(**row))

    def clear(self) -> None:
        self._rules = []

    def strike(self, kind: str) -> StreamFault | None:
        return next((fault for fault in self._rules if fault.strikes(kind)), None)
