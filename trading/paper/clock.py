"""What time it is at the venues, in milliseconds since the epoch (the unit that both venues speak)."""

import asyncio
import time
from typing import Protocol

VIRTUAL_START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z


class Clock(Protocol):
    def now_ms(self) -> int: ...

    async def sleep(self, ms: int) -> None: ...


class RealClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)


class VirtualClock:
    """Stands still until told to move. Shared by all venues of one process."""

    def __init__(self, start_ms: int = VIRTUAL_START_MS) -> None:
        self._now_ms = start_ms
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Raises ValueError when `now_ms` lies before the present."""
        if now_ms < self._now_ms:
            raise ValueError(f"the clock is at {self._now_ms} and cannot go back to {now_ms}")
        self._now_ms = now_ms
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, ms: int) -> None:
        until = self._now_ms + ms
        while self._now_ms < until:
            await self._moved.wait()
