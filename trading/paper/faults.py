"""Faults put in a venue's way: which requests, how often, and what happens to them."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

KINDS = ("any", "place", "cancel", "query", "book", "account", "public")
SAID = ("reject", "html", "throttle", "unknown")  # said instead of the venue's answer
SILENT = "half_open"
CONDITIONS = ("venue_down", "clock_skew", "stale_book", "price_gap", "funding_flip")  # hold until cleared
EFFECTS = (
    *SAID,
    SILENT,
    "partial",
    "delay",
    "invisible",
    "drop_answer_after_accept",
    "disconnect",
    "truncated",
    "slow",
    *CONDITIONS,
)


@dataclass(slots=True)
class Fault:
    """One rule. It lets the first `skip` matching requests pass and applies to the next `count` (None: until
    cleared); several rules may meet one request.

    Said instead of the answer, and nothing is done unless `after`:
    reject: the venue's `code`/`message` with HTTP `status` (and `retry_after` s); without code as html.
    html: a gateway's page, `status` 502 or another.
    throttle: too many requests: 429, or with `status` 418 a ban, as the venue says it, with Retry-After.
    unknown: the venue's own "may or may not have been executed".
    half_open: nothing at all, and the connection stays.

    Done, but:
    partial: an order fills at most `fraction` of its quantity at once.
    delay: `ms` pass before the venue does it, or (`after`) before it answers.
    invisible: for `ms` no query and no cancel finds the order, nor its fills.
    drop_answer_after_accept: the connection is reset without an answer.
    disconnect: it closes after `fraction` of the body.
    truncated: only `fraction` of the body is the answer.
    slow: the body takes `ms`, a few bytes at a time.

    Conditions, at once and until cleared:
    venue_down: every connection is reset.
    clock_skew: the venue's clock is `ms` ahead (negative: behind) of the real one.
    stale_book: whoever asks for a book gets the same answer again.
    price_gap: prices are `bps` (negative: down) from where they were.
    funding_flip: the funding rate has the other sign.
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
    skip: int = 0
    bps: Decimal = Decimal(0)
    id: int = 0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        for name, value, accepted in (("effect", self.effect, EFFECTS), ("kind", self.kind, KINDS)):
            if value not in accepted:
                raise ValueError(f"{name} {value!r}: accepted are {', '.join(accepted)}")
        self.fraction, self.bps = _number("fraction", self.fraction), _number("bps", self.bps)
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction}: accepted is 0 to 1")
        if self.status and self.status not in set(HTTPStatus):
            raise ValueError(f"status {self.status}: accepted are the statuses of HTTP")
        if self.ms < 0 and self.effect != "clock_skew":
            raise ValueError(f"ms {self.ms}: accepted is 0 or more")
        if self.effect in CONDITIONS:
            self.count = None
        if self.effect == "stale_book":
            self.kind = "book"

    def matches(self, *, kind: str, symbol: str, side: str) -> bool:
        return (
            self.kind in ("any", kind)
            and self.symbol in ("", symbol)
            and self.side in ("", side)
            and (self.count is None or self.hits < self.count)
        )

    def concerns(self, symbol: str) -> bool:
        return self.symbol in ("", symbol)


def _number(name: str, value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} {value!r}: accepted is a number") from None


class Faults:
    """The rules of one venue. `seed` decides the probabilistic ones; `changed` hears of every change."""

    def __init__(self, seed: int = 0, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._rules: list[Fault] = []
        self._ids = itertools.count(1)
        self._draw = random.Random(f"{seed}:faults")  # noqa: S311

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._rules)

    def add(self, fault: Fault) -> Fault:
        fault.id = next(self._ids)
        self._rules.append(fault)
        self._changed()
        return fault

    def add_from(self, row: dict[str, Any]) -> Fault:
        """Raises ValueError naming what is unknown or out of range."""
        accepted = Fault.__dataclass_fields__.keys() - {"id", "seen", "hits"}
        if unknown := row.keys() - accepted:
            raise ValueError(
                f"unknown {', '.join(sorted(unknown))}: accepted are {', '.join(sorted(accepted))}"
            )
        if "effect" not in row:
            raise ValueError(f"effect: required, one of {', '.join(EFFECTS)}")
        return self.add(Fault(**row))

    def clear(self, fault_id: int | None = None) -> None:
        self._rules = [f for f in self._rules if fault_id is not None and f.id != fault_id]
        self._changed()

    def of(self, effect: str, symbol: str = "") -> list[Fault]:
        """The rules of one effect; `symbol` leaves out those for others."""
        return [f for f in self._rules if f.effect == effect and (not symbol or f.concerns(symbol))]

    @property
    def down(self) -> bool:
        return bool(self.of("venue_down"))

    @property
    def skew_ms(self) -> int:
        return sum(f.ms for f in self.of("clock_skew"))

    def strike(self, *, kind: str, symbol: str, side: str) -> list[Fault]:
        """The faults that this request meets; each match is counted."""
        met = []
        for fault in self._rules:
            if not fault.matches(kind=kind, symbol=symbol, side=side):
                continue
            fault.seen += 1
            if fault.seen > fault.skip and (
                fault.probability >= 1 or self._draw.random() < fault.probability
            ):
                fault.hits += 1
                met.append(fault)
        return met
