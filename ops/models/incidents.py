"""What went wrong, who has it, and how it was dealt with."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Incident(models.Model):
    """Opened by code or by hand. Closed is the end; the timeline beside it is append-only."""

    class Severity(models.TextChoices):
        P0 = "P0"
        P1 = "P1"
        P2 = "P2"

    class State(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        MITIGATED = "mitigated"
        RESOLVED = "resolved"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=64, help_text="Which alarm, from the catalogue; `manual` by hand")
    source = models.CharField(
        max_length=120, help_text="What raised it; the same source again joins its unclosed incident"
    )
    severity = models.CharField(max_length=2, choices=Severity.choices)
    component = models.CharField(max_length=64)
    summary = models.TextField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    opened_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    occurrences = models.IntegerField(default=1)
    acknowledged_at = models.DateTimeField(null=True)
    mitigated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    resolution = models.TextField(blank=True)
    root_cause = models.TextField(blank=True)
    root_cause_at = models.DateTimeField(null=True, help_text="When the root cause was acknowledged")
    root_cause_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    shelved_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"], condition=~Q(state="closed"), name="incident_one_unclosed_per_source"
            ),
            models.CheckConstraint(
                condition=Q(root_cause_at__isnull=True) | ~Q(root_cause=""),
                name="incident_root_cause_has_words",
            ),
        ]
        indexes = [models.Index(fields=["state", "-opened_at"])]

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.summary[:80]}"


class IncidentEvent(models.Model):
    """One line of a timeline. Append-only; each names its audit entry."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=24)
    text = models.TextField(blank=True)
    actor_name = models.CharField(max_length=150)
    data = models.JSONField(default=dict)
    audit_seq = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} by {self.actor_name}"
