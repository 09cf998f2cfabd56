"""What is held, as the risk room needs to know it. Trading registers the source: risk imports no trading."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Holding:
    """net: signed base coin on one (venue, symbol), never 0."""

    venue: str
    symbol: str
    net: Decimal


Source = Callable[[], Iterable[Holding]]
_sources: list[Source] = []


def register(source: Source) -> None:
    if source not in _sources:
        _sources.append(source)


def holdings() -> list[Holding]:
    return [holding for source in _sources for holding in source()]
