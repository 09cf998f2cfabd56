"""What is held and what was lately done, as the risk room needs to know it. Trading registers the sources:
risk imports no trading."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Holding:
    """net: signed base coin on one (venue, symbol), never 0. level: whose, as `operator:anna`; empty: the
    desk's own position, which its venue's and instrument's levels count too."""

    venue: str
    symbol: str
    net: Decimal
    level: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """Of the last minute, by level: orders and cancels sent, and how far the orders' limits reached beyond
    the mark together, bps."""

    orders: Mapping[str, int] = field(default_factory=dict)
    cancels: Mapping[str, int] = field(default_factory=dict)
    collar_bps: Mapping[str, Decimal] = field(default_factory=dict)


Source = Callable[[], Iterable[Holding]]
_sources: list[Source] = []
_flow: Callable[[], Flow] = Flow


def register(source: Source) -> None:
    if source not in _sources:
        _sources.append(source)


def register_flow(source: Callable[[], Flow]) -> None:
    global _flow
    _flow = source


def holdings() -> list[Holding]:
    return [holding for source in _sources for holding in source()]


def flow() -> Flow:
    return _flow()
