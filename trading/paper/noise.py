"""Random-access noise: the price at a moment as a function of (seed, time), so that nothing ticks while idle.

A sum of octaves. Each octave is a line through Gaussian points `period_ms` apart, drawn by hashing the seed
and the point's number; with amplitudes growing as a power of the period, increments grow as that power of the
time step, like a (fractional) Brownian path, and the sum stays within a few amplitudes of zero for ever.
"""

import hashlib
import math
from collections.abc import Sequence


def gaussian(key: str, number: int) -> float:
    """A standard normal variate that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{key}:{number}".encode(), digest_size=16).digest()
    first = (int.from_bytes(digest[:8], "big") + 1) / 2**64
    second = int.from_bytes(digest[8:], "big") / 2**64
    return math.sqrt(-2 * math.log(first)) * math.cos(2 * math.pi * second)


class Noise:
    """`octaves`: (period in ms, amplitude); amplitudes are in the unit that `at` answers in."""

    def __init__(self, key: str, octaves: Sequence[tuple[int, float]]) -> None:
        self._octaves = [(f"{key}:{period}", period, amplitude) for period, amplitude in octaves]
        self._ends: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(octaves)

    def at(self, ms: int) -> float:
        total = 0.0
        for index, (key, period, amplitude) in enumerate(self._octaves):
            number, within = divmod(ms, period)
            known, left, right = self._ends[index]
            if known != number:
                left, right = gaussian(key, number), gaussian(key, number + 1)
                self._ends[index] = (number, left, right)
            total += amplitude * (left + (right - left) * within / period)
        return total


def brownian(*, sd_1s: float, exponent: float, longest_ms: int) -> list[tuple[int, float]]:
    """Octaves whose increments over 1 s have standard deviation `sd_1s` and grow as time ** `exponent`."""
    octaves, period = [], 250
    while period <= longest_ms:
        octaves.append((period, 0.45 * sd_1s * (period / 1000) ** exponent))
        period *= 2
    return octaves
