"""What the venues say now, for screens: never an exception, always with ages, silence shown as silence."""

from decimal import Decimal
from typing import Any

from trading import desk_config, selectors
from trading.execution.dead_man import resting
from trading.models import Position
from trading.venues import get_hub
from trading.venues.hub import Fact, FactKey
from trading.venues.interface import VenueError, VenuePosition

#: A screen's reading; orders never rest on it.
SCREEN_AGE_MS = 1_000


def marks() -> dict[tuple[str, str], Decimal]:
    """Mark price per configured (venue, symbol) that answers."""
    config = desk_config.active().trading
    keys = [FactKey("funding", v, pair.symbol) for pair in config.pairs for v in pair.venues]
    found = get_hub().facts(keys, max_age_ms=config.preflight.facts_max_age_ms)
    return {
        (key.venue, key.symbol): fact.value.mark_price
        for key, fact in found.items()
        if isinstance(fact, Fact)
    }


def positions() -> dict[str, Any]:
    """Ours beside the venues' own, and the sums."""
    config = desk_config.active().trading
    found = get_hub().facts([FactKey("positions", v) for v in config.venues], max_age_ms=SCREEN_AGE_MS)
    theirs: dict[str, tuple[VenuePosition, ...] | None] = {
        key.venue: fact.value if isinstance(fact, Fact) else None for key, fact in found.items()
    }
    rows = selectors.positions(Position.objects.all(), theirs, marks())
    return {
        "positions": rows,
        "ages_ms": {k.venue: f.age_ms if isinstance(f, Fact) else None for k, f in found.items()},
        "unread": sorted(venue for venue, answer in theirs.items() if answer is None),
        "pnl": _sums(rows),
    }


def _sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Realised, fees, unrealised; unknown when one part is."""
    realised = sum((row["realised_pnl"] for row in rows), Decimal(0))
    fees = sum((row["fees"] for row in rows), Decimal(0))
    parts = [row["unrealised_pnl"] for row in rows]
    unrealised = None if None in parts else sum(parts, Decimal(0))
    net = None if unrealised is None else realised + unrealised - fees
    return {"realised": realised, "fees": fees, "unrealised": unrealised, "net": net}


def deriv_status() -> dict[str, Any]:
    """Per venue and instrument: connectivity, clock, modes, leverage, weight used (spec 4.1)."""
    config = desk_config.active().trading
    hub = get_hub()
    symbols = {venue: [p.symbol for p in config.pairs if venue in p.venues] for venue in config.venues}
    keys = [FactKey("clock", venue) for venue in symbols]
    keys += [FactKey("account", venue, symbol) for venue, mine in symbols.items() for symbol in mine]
    found = hub.facts(keys, max_age_ms=config.preflight.facts_max_age_ms)
    return {"venues": [_venue(venue, symbols[venue], found) for venue in sorted(symbols)]}


def _venue(venue: str, symbols: list[str], found: dict[FactKey, Fact[Any] | VenueError]) -> dict[str, Any]:
    wanted = desk_config.active().trading.setup_of(venue)
    clock = found[FactKey("clock", venue)]
    up = isinstance(clock, Fact)
    return {
        "venue": venue,
        "connected": up,
        "error": None if isinstance(clock, Fact) else f"{clock.code}: {clock.detail}",
        "clock_offset_ms": clock.value.offset_ms if isinstance(clock, Fact) else None,
        "round_trip_ms": clock.value.round_trip_ms if isinstance(clock, Fact) else None,
        "age_ms": clock.age_ms if isinstance(clock, Fact) else None,
        "weight_used": dict(get_hub().venue(venue).weight_used()) if up else {},
        "dead_man": _dead_man(venue),
        "wanted": wanted,
        "instruments": [
            _instrument(symbol, wanted, found[FactKey("account", venue, symbol)]) for symbol in symbols
        ],
    }


def _dead_man(venue: str) -> dict[str, Any]:
    """Only what may rest needs one; `resting`: orders of ours that do now."""
    switch = get_hub().venue(venue).dead_man
    count = resting().filter(venue=venue).count()
    return {"scope": switch.scope.value, "resting": count, "armed": bool(count)}


def _instrument(symbol: str, wanted: dict[str, object], account: Fact[Any] | VenueError) -> dict[str, Any]:
    """as_configured: nothing opens there unless it is (preflight); `trading.setup_venue` brings it there."""
    if not isinstance(account, Fact):
        return {"symbol": symbol, "error": f"{account.code}: {account.detail}", "as_configured": None}
    setup = account.value
    return {
        "symbol": symbol,
        "as_configured": all(getattr(setup, name) == value for name, value in wanted.items()),
        "position_mode": setup.position_mode,
        "margin_mode": setup.margin_mode,
        "leverage": setup.leverage,
        "can_trade": setup.can_trade,
        "can_withdraw": setup.can_withdraw,
        "taker_fee": setup.fees.taker,
        "maker_fee": setup.fees.maker,
        "age_ms": account.age_ms,
    }
