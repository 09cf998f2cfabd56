"""How long a request travels: a lognormal round trip, half of it before the venue acts, half after."""

import math
import random

Z99 = 2.3263  # standard deviations from the median to the 99th percentile


class Latency:
    """Of one venue; off until set. The draws follow `seed` in order of arrival."""

    def __init__(self, seed: str, *, p50_ms: int = 0, p99_ms: int = 0) -> None:
        self._draw = random.Random(seed)  # noqa: S311
        self.p50_ms = self.p99_ms = 0
        self.set(p50_ms=p50_ms, p99_ms=p99_ms)

    def set(self, *, p50_ms: int, p99_ms: int) -> None:
        """Both 0 turn it off. Raises ValueError when they are no percentiles of one distribution."""
        if p50_ms < 0 or p99_ms < p50_ms or (p50_ms == 0 and p99_ms > 0):
            raise ValueError(f"p50_ms {p50_ms}, p99_ms {p99_ms}: accepted are 0, 0 or 0 < p50_ms <= p99_ms")
        self.p50_ms, self.p99_ms = p50_ms, p99_ms

    def round_trip_ms(self) -> int:
        if not self.p50_ms:
            return 0
        spread = math.log(self.p99_ms / self.p50_ms) / Z99
        return round(self.p50_ms * math.exp(spread * self._draw.gauss(0, 1)))
