"""Configurations that ran."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class ConfigVersion(models.Model):
    """Every configuration that ever ran, word for word."""

    version = models.IntegerField(unique=True)
    profile = models.CharField(max_length=10)
    yaml = models.TextField()
    digest = models.CharField(max_length=64)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    active = models.BooleanField(default=False)

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["active"], condition=Q(active=True), name="config_one_active"),
        ]

    def __str__(self) -> str:
        return f"version {self.version}"
