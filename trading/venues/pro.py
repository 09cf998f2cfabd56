"""ccxt.pro's clients: their sockets, logins, subscriptions and pings. Imported at the first watch: 30 MB.

What they make of a private message is floats; we take the message itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro as ccxt

from trading.venues.base import Wire


async def _forever(watch: Callable[[], Awaitable[Any]]) -> None:
    while True:
        await watch()


class Listening(Wire):
    """Mixed into a ccxt.pro class: every message is also `told` to us, as it came."""

    told: Callable[[dict[str, Any]], None]

    def handle_message(self, client: Any, message: Any) -> None:
        super().handle_message(client, message)  # type: ignore[misc]
        if isinstance(message, dict):
            self.told(message)

    async def private(self) -> None:
        """Subscribe to our orders and fills; ends only with an error."""
        await _forever(self.watch_orders)  # type: ignore[attr-defined]

    def forget_login(self) -> None:
        """After a failure: the next subscription proves itself anew."""


class BinanceUsdm(Listening, ccxt.binanceusdm):  # type: ignore[misc]
    def forget_login(self) -> None:
        """A listen key that the venue has forgotten would be used for another 20 minutes."""
        self.options["linear"] = {}


class Okx(Listening, ccxt.okx):  # type: ignore[misc]
    pass


class Bybit(Listening, ccxt.bybit):  # type: ignore[misc]
    """ccxt does not look at a book's update ids: a lost frame would leave the book wrong for good."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._updates: dict[str, int] = {}

    def handle_order_book(self, client: Any, message: dict[str, Any]) -> None:
        topic, update = message["topic"], int(message["data"]["u"])
        expected = self._updates.get(topic, 0) + 1
        if message["type"] != "snapshot" and update != expected:
            self._updates.pop(topic, None)
            lost = f"{topic}: update {update} where {expected} was due"
            client.on_error(ccxt.ChecksumError(f"{self.id} {lost}"))
            return
        self._updates[topic] = update
        super().handle_order_book(client, message)

    async def private(self) -> None:
        """Fills are a topic of their own."""
        topics = [
            asyncio.ensure_future(_forever(watch)) for watch in (self.watch_orders, self.watch_my_trades)
        ]
        try:
            await asyncio.gather(*topics)
        finally:
            for topic in topics:
                topic.cancel()


CLIENTS: dict[str, type[Listening]] = {"binanceusdm": BinanceUsdm, "okx": Okx, "bybit": Bybit}
