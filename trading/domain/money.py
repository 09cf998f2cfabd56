"""Decimal helpers. Money and quantities are Decimal end to end; nothing here ever sees a float."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import lcm

ZERO = Decimal(0)
BPS = Decimal(10_000)
CENT = Decimal("0.01")  # for show


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of `step` not above `value`. `step` > 0."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Smallest multiple of `step` not below `value`. `step` > 0."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def common_step(a: Decimal, b: Decimal) -> Decimal:
    """Smallest quantity that is a whole number of both steps (0.01 and 0.015 → 0.03)."""
    places = max(-int(a.as_tuple().exponent), -int(b.as_tuple().exponent), 0)
    scale = Decimal(10) ** places
    return Decimal(lcm(int(a * scale), int(b * scale))) / scale
