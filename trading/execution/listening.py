"""Listening to the venues' private streams: what they tell of our orders is written down as it comes.

A stream is a faster way to the same facts, never the only one: news goes through `fills.record`, where twice,
late or out of order is harmless, and whatever was missed is still read over REST by the machine and by
reconciliation. A trade of ours that no order of ours explains is looked at by reconciliation at once.
"""

import asyncio
import queue
import threading
from concurrent.futures import Future
from datetime import datetime, timedelta

import structlog
from django.db import connection
from django.utils import timezone

from leadership import services as leadership
from trading import desk_config
from trading.domain.order_state import OrderState
from trading.execution.fills import Heard, record
from trading.execution.nudge import nudge
from trading.models import Execution, OrderIntent, ReconciliationState, StreamState
from trading.venues import get_hub
from trading.venues.interface import FillReport, OrderReport, VenueError
from trading.venues.streams import News

log = structlog.get_logger()
#: Pause before another try, doubled up to the last.
FIRST_PAUSE_SEC, LAST_PAUSE_SEC = 0.5, 8.0
LOOK_SEC = 2.0


class Listener:
    """One stream per enabled venue on the hub's loop, one thread that writes."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[News | None] = queue.SimpleQueue()
        self._streams: dict[str, Future[None]] = {}
        self._news_at: dict[str, datetime] = {}
        self._errors: dict[str, str] = {}
        self._stopping = threading.Event()
        self._writer = threading.Thread(target=self._write, name="listening", daemon=True)

    def start(self) -> "Listener":
        self._writer.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        for stream in self._streams.values():
            stream.cancel()
        self._inbox.put(None)
        self._writer.join()

    # -- on the hub's loop --

    async def _listen(self, venue: str) -> None:
        pause = FIRST_PAUSE_SEC
        while True:
            try:
                async for news in get_hub().venue(venue).watch_orders():
                    self._errors.pop(venue, None)
                    pause = FIRST_PAUSE_SEC
                    self._inbox.put(news)
            except VenueError as error:
                self._errors[venue] = f"{error.code}: {error.detail}"[:300]
                log.warning("stream.lost", venue=venue, error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_SEC)

    # -- in the thread --

    def _write(self) -> None:
        look = 0.0
        while not self._stopping.is_set():
            try:
                self._follow_config()
                news = self._next()
                if news is not None:
                    self._news_at[news.venue] = timezone.now()
                    hear(news)
                if timezone.now().timestamp() - look >= LOOK_SEC:
                    self._tell_state()
                    look = timezone.now().timestamp()
            except Exception as error:  # what was told is still to be had over REST
                log.exception("stream.news_lost", error=str(error))
            finally:
                connection.close()

    def _next(self) -> News | None:
        try:
            return self._inbox.get(timeout=LOOK_SEC)
        except queue.Empty:
            return None

    def _follow_config(self) -> None:
        """A stream for each enabled venue, none on a standby; one that ended by a bug begins again."""
        hub = get_hub()
        venues = desk_config.active().trading.venues.items() if leadership.on_duty() else ()
        wanted = {str(name) for name, v in venues if v.enabled}
        for venue in self._streams.keys() - wanted:
            self._streams.pop(venue).cancel()
        for venue in wanted:
            stream = self._streams.get(venue)
            if stream is None or stream.done():
                self._streams[venue] = hub.submit(self._listen(venue))

    def _tell_state(self) -> None:
        hub = get_hub()
        for venue in self._streams:
            connected = hub.venue(venue).listening
            error = "" if connected else self._errors.get(venue, "")
            StreamState.objects.update_or_create(
                venue=venue,
                defaults={"connected": connected, "error": error, "news_at": self._news_at.get(venue)},
            )


def hear(news: News) -> OrderState | None:
    """Write down one piece of news. Returns the order's state, None when it is of no order of ours."""
    known = OrderIntent.objects.filter(client_order_id=news.client_order_id).first() or _by_venue_id(news)
    if known is None:
        if isinstance(news, FillReport):
            _look_at(news.venue)
        return None
    before = OrderState(known.state)
    heard = Heard((), news) if isinstance(news, OrderReport) else Heard((), fills=(news,))
    window = desk_config.active().trading.acceptance_window(known.venue)
    after = record(known.pk, heard, acceptance_window=window)
    # Whoever sends an order waits for its answer and goes on from there; all others are woken.
    if after is not before and before is not OrderState.SENDING:
        _wake(known)
    return after


def _by_venue_id(news: News) -> OrderIntent | None:
    if not news.venue_order_id:
        return None
    return OrderIntent.objects.filter(venue=news.venue, venue_order_id=news.venue_order_id).first()


def _wake(order: OrderIntent) -> None:
    key = order.leg.execution_id
    if Execution.objects.filter(pk=key, next_at__isnull=False).update(next_at=timezone.now()):
        nudge("trading.drive", key)


def _look_at(venue: str) -> None:
    """Somebody else's trade, or the venue's own (liquidation, ADL): compared now, not at the next turn."""
    ReconciliationState.objects.filter(venue=venue).update(tried_at=timezone.now() - timedelta(days=1))
