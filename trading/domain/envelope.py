"""What an envelope of executions covers: pure."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """What one execution was asked for. notional: quote currency per leg, at most."""

    symbol: str
    venues: frozenset[str]
    notional: Decimal
    min_edge_bps: Decimal
    max_slippage_bps: Decimal


@dataclass(frozen=True, slots=True)
class EnvelopeBounds:
    """symbol: the unified one. venues: both legs must be on these, either way round."""

    symbol: str
    venues: tuple[str, ...]
    max_notional: Decimal
    min_edge_bps: Decimal
    max_slippage_bps: Decimal

    def covers(self, terms: Terms) -> bool:
        """Judged on the terms, which the plan itself is held to: a plan below its own `min_edge_bps`, or with
        a fill beyond its own slippage, is refused whatever covers it."""
        return (
            terms.symbol == self.symbol
            and len(terms.venues) == 2
            and terms.venues <= set(self.venues)
            and Decimal(0) < terms.notional <= self.max_notional
            and terms.min_edge_bps >= self.min_edge_bps
            and Decimal(0) <= terms.max_slippage_bps <= self.max_slippage_bps
        )
