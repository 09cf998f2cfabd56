"""Who was told what, when, and how often it was tried."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from ops.models.incidents import Incident


class Delivery(models.Model):
    """One message to one route. Written with the incident itself; sent by whoever finds it due."""

    class State(models.TextChoices):
        DUE = "due"
        SENT = "sent"
        FAILED = "failed"

    incident = models.ForeignKey(Incident, null=True, on_delete=models.PROTECT, related_name="deliveries")
    route = models.CharField(max_length=40)
    why = models.CharField(max_length=12, help_text="raised, again, escalated or test")
    title = models.CharField(max_length=200)
    body = models.TextField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.DUE)
    attempts = models.SmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["next_at"], condition=Q(state="due"), name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.title} to {self.route}: {self.state}"
