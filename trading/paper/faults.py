"""Faults put in a venue's way: which requests, how often, and what happens to them."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

KINDS = ("any", "place", "cancel", "query", "book", "account", "public")
EFFECTS = ("reject", "partial", "delay", "drop_answer_after_accept", "venue_down")


@dataclass(slots=True)
class Fault:
    """One rule. It applies to the next `count` requests (None: until cleared) that match, in order of entry.

    reject: answer `code`/`message` with HTTP `status` (and `retry_after` s), do nothing.
    partial: an order fills at most `fraction` of its quantity at once.
    delay: `ms` pass before the venue does it (`after` = False) or before it answers (`after` = True).
    drop_answer_after_accept: it is done, the connection closes without an answer.
    venue_down: every connection is reset, until cleared.
    """

    effect: str
    kind: str = "any"
    symbol: str = ""  # the venue's own name
    side: str = ""  # buy or sell
    count: int | None = 1
    probability: float = 1.0
    code: str = ""
    message: str = ""
    status: int = 0
    retry_after: int = 0
    fraction: Decimal = Decimal("0.5")
    ms: int = 0
    after: bool = False
    id: int = 0
    hits: int = field(default=0)

    def __post_init__(self) -> None:
        for name, value, accepted in (("effect", self.effect, EFFECTS), ("kind", self.kind, KINDS)):
            if value not in accepted:
                raise ValueError(f"{name} {value!r}: accepted are {', '.join(accepted)}")
        self.fraction = Decimal(str(self.fraction))
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction}: accepted is 0 to 1")
        if self.effect == "venue_down":
            self.count = None

    def matches(self, *, kind: str, symbol: str, side: str) -> bool:
        return (
            self.kind in ("any", kind)
            and self.symbol in ("", symbol)
            and self.side in ("", side)
            and (self.count is None or self.hits < self.count)
        )


class Faults:
    """The rules of one venue. `seed` decides the probabilistic ones."""

    def __init__(self, seed: int = 0) -> None:
        self._rules: list[Fault] = []
        self._ids = itertools.count(1)
        self._draw = random.Random(f"{seed}:faults")  # noqa: S311

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._rules)

    def add(self, fault: Fault) -> Fault:
        fault.id = next(self._ids)
        self._rules.append(fault)
        return fault

    def add_from(self, row: dict[str, Any]) -> Fault:
        """Raises ValueError naming what is unknown or out of range."""
        accepted = Fault.__dataclass_fields__.keys() - {"id", "hits"}
        if unknown := row.keys() - accepted:
            raise ValueError(
                f"unknown {', '.join(sorted(unknown))}: accepted are {', '.join(sorted(accepted))}"
            )
        if "effect" not in row:
            raise ValueError(f"effect: required, one of {', '.join(EFFECTS)}")
        return self.add(Fault(**row))

    def clear(self, fault_id: int | None = None) -> None:
        self._rules = [f for f in self._rules if fault_id is not None and f.id != fault_id]

    @property
    def down(self) -> bool:
        return any(f.effect == "venue_down" for f in self._rules)

    def strike(self, *, kind: str, symbol: str, side: str) -> list[Fault]:
        """The faults that this request meets; each match is counted."""
        met = []
        for fault in self._rules:
            if fault.matches(kind=kind, symbol=symbol, side=side) and (
                fault.probability >= 1 or self._draw.random() < fault.probability
            ):
                fault.hits += 1
                met.append(fault)
        return met
