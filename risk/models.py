"""Headroom that is spoken for. A working order counts as its reservation and nothing else (spec 3.4)."""

from decimal import Decimal

from django.db import models
from django.db.models import Q


class GateLock(models.Model):
    """One row, locked while the gate decides: two intents may never share the same headroom."""

    id = models.SmallIntegerField(primary_key=True, default=1)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="gate_lock_one_row")]

    def __str__(self) -> str:
        return "gate lock"


class Reservation(models.Model):
    """Remaining worst case of one leg: base quantity at the limit price. A fill moves it to the position."""

    execution_id = models.UUIDField()
    leg = models.SmallIntegerField()
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    qty = models.DecimalField(max_digits=38, decimal_places=18)
    remaining = models.DecimalField(max_digits=38, decimal_places=18)
    price = models.DecimalField(max_digits=38, decimal_places=18)
    created_at = models.DateTimeField(auto_now_add=True)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution_id", "leg"], name="reservation_leg_once"),
            models.CheckConstraint(condition=Q(remaining__gte=0), name="reservation_not_negative"),
            models.CheckConstraint(condition=Q(qty__gt=0, price__gt=0), name="reservation_positive"),
        ]
        indexes = [
            models.Index(fields=["released_at"], condition=Q(released_at=None), name="reservation_open")
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.remaining} {self.symbol} on {self.venue}"

    @property
    def notional(self) -> Decimal:
        return self.remaining * self.price
