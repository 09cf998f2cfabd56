"""Headroom that is spoken for, limits and overrides, guards, and what the desk is worth.

A working order counts as its reservation and nothing else (spec 3.4).
"""

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


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
    levels = models.JSONField(
        default=list, help_text="What else it belongs to: operator:anna, strategy:capture"
    )
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


class RiskLimit(models.Model):
    """A cap at one level, set by an action; the lowest of environment, configuration and row counts."""

    level = models.CharField(max_length=120, help_text="desk, venue:okx, instrument:okx:BTC/USDT:USDT, ...")
    cap = models.CharField(max_length=40)
    value = models.DecimalField(max_digits=38, decimal_places=18)
    reason = models.TextField(blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    set_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["level", "cap"]
        constraints = [
            models.UniqueConstraint(fields=["level", "cap"], name="risk_limit_once"),
            models.CheckConstraint(condition=Q(value__gte=0), name="risk_limit_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.cap} {self.value.normalize():f} at {self.level}"


class RiskOverride(models.Model):
    """Two people let one order past one cap, once: up to this figure, for this pair, until then."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    symbol = models.CharField(max_length=40)
    level = models.CharField(max_length=120)
    cap = models.CharField(max_length=40)
    value = models.DecimalField(max_digits=38, decimal_places=18, help_text="The largest it lets through")
    approval = models.OneToOneField(
        "ops.ApprovalRequest", on_delete=models.PROTECT, related_name="risk_override"
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.cap} at {self.level} up to {self.value.normalize():f} for {self.symbol}"


class GuardState(models.Model):
    """One guard at one scope: what it last saw, and what is latched until a person clears it."""

    name = models.CharField(max_length=40)
    scope = models.CharField(max_length=80, blank=True, help_text="Empty: the desk; else a venue")
    level = models.CharField(max_length=8, default="UNKNOWN")
    seen = models.CharField(max_length=8, default="UNKNOWN", help_text="Of the last reading, under the latch")
    summary = models.TextField(blank=True)
    metrics = models.JSONField(default=dict)
    source_at = models.DateTimeField(null=True, help_text="When the last reading was true")
    evaluated_at = models.DateTimeField(null=True)
    since = models.DateTimeField(default=timezone.now)
    cleared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    clear_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["name", "scope"]
        constraints = [models.UniqueConstraint(fields=["name", "scope"], name="guard_once_per_scope")]

    def __str__(self) -> str:
        return f"{self.name}{'@' + self.scope if self.scope else ''} {self.level}"


class EquityMark(models.Model):
    """What the desk was worth at the start of its day: what the day's loss is counted from."""

    day = models.DateField(unique=True)
    equity = models.DecimalField(max_digits=38, decimal_places=18)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.day} {self.equity}"


class DeskFigures(models.Model):
    """One row: equity and loss of the day as last read from all venues. Old: not known."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    at = models.DateTimeField(null=True, help_text="The moment that all of it was true")
    equity = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    daily_loss = models.DecimalField(max_digits=38, decimal_places=18, null=True, help_text="> 0 lost")
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "desk figures"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="desk_figures_one_row")]

    def __str__(self) -> str:
        return f"equity {self.equity}, lost {self.daily_loss}"


class CancelClaim(models.Model):
    """One cancel that was about to be sent: what runaway guard v2 counts, whoever sends."""

    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    strategy = models.CharField(max_length=40, blank=True, help_text="Empty: an operator's or a rescue's")
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["venue", "symbol", "at"])]

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol} {self.strategy or 'desk'}"
