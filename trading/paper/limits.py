"""Request limits as the venues count them. In memory only: a restarted gateway has forgotten."""

from collections import defaultdict, deque
from dataclasses import dataclass

BAN_AFTER = 10  # further requests within the minute after a 429
BAN_MS = 120_000  # the shortest ban that Binance documents


@dataclass(frozen=True, slots=True)
class Busy:
    """`banned` is Binance's 418. `retry_after` in whole seconds."""

    banned: bool
    retry_after: int


class WeightLimit:
    """Binance: weight per calendar minute and IP, orders per 10 s and per minute; who goes on is banned."""

    def __init__(self, *, weight_1m: int = 2400, orders_10s: int = 300, orders_1m: int = 1200) -> None:
        self.weight_1m, self.orders_10s, self.orders_1m = weight_1m, orders_10s, orders_1m
        self._used: dict[str, tuple[int, int]] = {}
        self._over = 0
        self._banned_until_ms = 0

    def used(self, name: str, window_ms: int, now_ms: int) -> int:
        window, count = self._used.get(name, (0, 0))
        return count if window == now_ms // window_ms else 0

    def _add(self, name: str, window_ms: int, now_ms: int, amount: int) -> int:
        count = self.used(name, window_ms, now_ms) + amount
        self._used[name] = (now_ms // window_ms, count)
        return count

    def charge(self, weight: int, now_ms: int) -> Busy | None:
        if now_ms < self._banned_until_ms:
            return Busy(banned=True, retry_after=-(-(self._banned_until_ms - now_ms) // 1000))
        if self._add("weight", 60_000, now_ms, weight) <= self.weight_1m:
            self._over = 0
            return None
        self._over += 1
        if self._over > BAN_AFTER:
            self._banned_until_ms = now_ms + BAN_MS
            return Busy(banned=True, retry_after=BAN_MS // 1000)
        return Busy(banned=False, retry_after=60 - now_ms // 1000 % 60)

    def order_fits(self, now_ms: int) -> bool:
        """Counts one order; False when it is one too many."""
        in_10s = self._add("orders_10s", 10_000, now_ms, 1)
        return self._add("orders_1m", 60_000, now_ms, 1) <= self.orders_1m and in_10s <= self.orders_10s


class WindowLimit:
    """So many requests in any `window_ms` for each key: OKX counts by endpoint (and instrument, where it says
    so) in 2 s, Bybit by endpoint in 1 s."""

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._at: defaultdict[str, deque[int]] = defaultdict(deque)

    def used(self, key: str, now_ms: int) -> int:
        times = self._at[key]
        while times and times[0] <= now_ms - self.window_ms:
            times.popleft()
        return len(times)

    def fits(self, key: str, allowed: int, now_ms: int) -> bool:
        """Counts the request, unless it is one too many."""
        if self.used(key, now_ms) >= allowed:
            return False
        self._at[key].append(now_ms)
        return True
