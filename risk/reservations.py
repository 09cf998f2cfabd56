"""Reserving headroom, consuming it with fills, giving it back. Always inside the caller's transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from risk.models import Reservation


@dataclass(frozen=True, slots=True)
class LegReservation:
    """qty: base coin. price: the leg's limit price, quote currency."""

    leg: int
    venue: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal


def reserve(execution_id: UUID, legs: Iterable[LegReservation], *, levels: Iterable[str] = ()) -> None:
    """levels: what else the execution belongs to, as the gate was told."""
    shared = list(levels)
    Reservation.objects.bulk_create(
        Reservation(
            execution_id=execution_id,
            leg=leg.leg,
            venue=leg.venue,
            symbol=leg.symbol,
            side=leg.side,
            qty=leg.qty,
            remaining=leg.qty,
            price=leg.price,
            levels=shared,
        )
        for leg in legs
    )


def consume(execution_id: UUID, leg: int, qty: Decimal) -> None:
    """A fill of `qty` moved from working to position. A leg re-ordered by a rescue never goes below zero."""
    Reservation.objects.filter(execution_id=execution_id, leg=leg, released_at=None).update(
        remaining=Greatest(F("remaining") - qty, Decimal(0))
    )


def release(execution_id: UUID) -> None:
    """Nothing of this execution will be ordered any more: what is left is free again."""
    Reservation.objects.filter(execution_id=execution_id, released_at=None).update(released_at=timezone.now())
