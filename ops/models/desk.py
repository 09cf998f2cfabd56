"""What the desk may do now, and why not more."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from ops.models.approvals import ApprovalRequest


class Mode(models.TextChoices):
    HOLD = "HOLD"
    RUN = "RUN"


class DeskState(models.Model):
    """One row: what the desk may do now. Its causes are `HoldCause` rows."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.HOLD)
    safe_mode = models.BooleanField(default=True)
    post_only = models.BooleanField(default=False)
    reduce_only = models.BooleanField(default=False)
    version = models.BigIntegerField(default=1)
    fence = models.BigIntegerField(default=0, help_text="The term that went to RUN: no other is in RUN by it")
    changed_at = models.DateTimeField(default=timezone.now)
    approval = models.ForeignKey(
        ApprovalRequest,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The approved request that allowed the last risk-increasing change",
    )

    class Meta:
        verbose_name_plural = "desk state"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="desk_state_one_row")]

    def __str__(self) -> str:
        return f"{self.mode}, SAFE_MODE {'on' if self.safe_mode else 'off'}"


class HoldCause(models.Model):
    """Why nothing new may open. Removing the cause resolves it; only `ops.resume` closes it."""

    class Scope(models.TextChoices):
        DESK = "desk"
        VENUE = "venue"
        INSTRUMENT = "instrument"
        STRATEGY = "strategy"

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.CharField(max_length=80)
    reason = models.TextField(blank=True)
    scope_type = models.CharField(max_length=10, choices=Scope.choices, default=Scope.DESK)
    scope_key = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    raised_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    manual = models.BooleanField(
        default=False,
        help_text="Raised by a person: the person's own word, in a resume request, is what removes it",
    )

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "scope_type", "scope_key"],
                condition=Q(state="open", manual=False),
                name="hold_cause_one_open_per_machine_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} ({self.state})"

    @property
    def scope(self) -> tuple[str, str]:
        return self.scope_type, self.scope_key
