"""Prices to repair and close by: the fresh book, else the venue's mark, else the last mark heard (spec 4.7).

A way out must not wait for a book that has no buyers; the collar around a mark widens with each round.
"""

from trading.domain.market import Book, Level
from trading.domain.money import ZERO
from trading.venues import get_hub
from trading.venues.hub import Fact, FactKey

Keys = tuple[tuple[str, str], ...]
#: A mark older than this is no price at all.
LAST_KNOWN_MS = 60_000


def quotes(keys: Keys) -> dict[tuple[str, str], Book]:
    """A book per instrument whose venue answers, asked for now. Where a side is empty, the mark stands in for
    it, with no quantity: nothing may be sized by it. A venue that is silent is left out."""
    found = get_hub().books(keys, max_age_ms=0)
    heard = {key: book for key, book in found.items() if isinstance(book, Book)}
    return {key: whole for key, book in heard.items() if (whole := _whole(key, book))}


def _whole(key: tuple[str, str], book: Book) -> Book | None:
    if book.bids and book.asks:
        return book
    fact = get_hub().facts([FactKey("funding", *key)], max_age_ms=LAST_KNOWN_MS)[FactKey("funding", *key)]
    if not isinstance(fact, Fact):
        return None
    mark = (Level(fact.value.mark_price, ZERO),)
    return Book(
        book.venue, book.symbol, book.bids or mark, book.asks or mark, book.received_at, book.venue_at
    )
