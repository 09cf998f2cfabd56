"""Out, with nothing but the venues: no database, no broker, no leader (spec 3.1).

Keys come from the environment (or the paper venues' file), our orders are known by their prefix, positions by
what the venues say. Everything done is a line of a local log, each line sealed over the one before; the next
start of the desk takes them into the audit log, holds the desk and opens an incident.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.domain.market import Book, Side, TimeInForce
from trading.domain.money import BPS
from trading.venues.cancel import cancel_ours
from trading.venues.hub import VenueHub
from trading.venues.interface import NewOrder, VenueError, VenuePosition

LOG = "panic.log"
#: How far beyond the touch each round reaches; then the venue's own band, and a person.
COLLARS_BPS = (Decimal(20), Decimal(50), Decimal(100), Decimal(200))
GIVE_UP_SEC = 30.0
ID_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Journal:
    """Appends sealed lines; `say` hears each."""

    def __init__(self, path: Path, key: str, say: Callable[[str], None]) -> None:
        self._path, self._key, self._say = path, key.encode(), say
        self._seal = last_seal(path)

    def write(self, what: str, **facts: Any) -> None:
        row = {"at": datetime.now(UTC).isoformat(), "what": what, **facts}
        text = json.dumps(row, sort_keys=True, default=str)
        self._seal = seal(self._key, self._seal, text)
        with self._path.open("a") as log:
            log.write(f"{self._seal} {text}\n")
        self._say(f"{what}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


def seal(key: bytes, before: str, text: str) -> str:
    return hmac.new(key, f"{before}\n{text}".encode(), hashlib.sha256).hexdigest()


def last_seal(path: Path) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[-1].partition(" ")[0] if lines else ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log. holds: its seal is that of the line before it and of itself."""

    row: dict[str, Any]
    holds: bool


def read(path: Path, key: str) -> Iterator[Line]:
    before = ""
    for line in path.read_text().splitlines():
        sealed, _, text = line.partition(" ")
        holds = hmac.compare_digest(sealed, seal(key.encode(), before, text))
        before = sealed
        try:
            yield Line(json.loads(text), holds)
        except ValueError:
            yield Line({"what": "unreadable", "text": text[:200]}, holds=False)


def run(hub: VenueHub, venues: list[str], *, prefix: str, flatten: bool, journal: Journal) -> bool:
    """Cancel ours everywhere, then out of every position when `flatten`. True when the venues confirm it."""
    journal.write("panic", venues=" ".join(venues), flatten=flatten)
    confirmed = [_cancel(hub, venue, prefix, journal) for venue in venues]
    if flatten:
        confirmed += [_flatten(hub, venue, prefix, journal) for venue in venues]
    journal.write("end", confirmed=all(confirmed))
    return all(confirmed)


def _cancel(hub: VenueHub, venue: str, prefix: str, journal: Journal) -> bool:
    try:
        taken, failures = hub.call(cancel_ours(hub.venue(venue), prefix), timeout=GIVE_UP_SEC)
        left = [o for o in hub.call(hub.venue(venue).open_orders()) if o.client_order_id.startswith(prefix)]
    except VenueError as error:
        journal.write("cancel", venue=venue, failed=str(error))
        return False
    journal.write("cancel", venue=venue, taken=len(taken), failed=len(failures), left=len(left))
    return not left


def _flatten(hub: VenueHub, venue: str, prefix: str, journal: Journal) -> bool:
    """Round by round, each reaching further, until the venue says that nothing is held."""
    deadline = time.monotonic() + GIVE_UP_SEC
    for collar in (*COLLARS_BPS, *(COLLARS_BPS[-1],) * 10):
        try:
            held = hub.call(hub.venue(venue).positions())
        except VenueError as error:
            journal.write("positions", venue=venue, failed=str(error))
            held = None
        if held is not None and not held:
            journal.write("flat", venue=venue)
            return True
        for position in held or ():
            _reduce(hub, position, prefix, collar, journal)
        if time.monotonic() > deadline:
            break
    journal.write("not flat", venue=venue)
    return False


def _reduce(hub: VenueHub, held: VenuePosition, prefix: str, collar: Decimal, journal: Journal) -> None:
    venue, side = hub.venue(held.venue), Side.SELL if held.net > 0 else Side.BUY
    try:
        instrument = hub.call(venue.load())[held.symbol]
        book: Book = hub.call(venue.book(held.symbol))
        levels = book.opposite(side)
        touch = levels[0].price if levels else held.mark_price
        order = NewOrder(
            symbol=held.symbol,
            side=side,
            qty=abs(held.net),
            price=instrument.collar_price(touch * (1 + side.sign * collar / BPS), side),
            client_order_id=prefix + "p" + "".join(secrets.choice(ID_CHARS) for _ in range(20)),
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
        )
        journal.write(
            "order", venue=held.venue, id=order.client_order_id, side=side, qty=order.qty, price=order.price
        )
        hub.call(venue.place(order))
    except (VenueError, LookupError) as error:
        journal.write("order", venue=held.venue, symbol=held.symbol, failed=str(error))
