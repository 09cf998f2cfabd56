"""Signs of life."""

from django.db import models


class ProcessHeartbeat(models.Model):
    """The last sign of life of one process of one instance. A reading, not a journal."""

    instance = models.CharField(max_length=16)
    role = models.CharField(max_length=40)
    pid = models.IntegerField()
    build = models.CharField(max_length=64)
    config_version = models.IntegerField(default=0)
    health = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["instance", "role"]
        constraints = [models.UniqueConstraint(fields=["instance", "role"], name="heartbeat_once_per_role")]

    def __str__(self) -> str:
        return f"{self.role} on {self.instance}"


class ScheduleClaim(models.Model):
    """When a line of the beat table was last sent, by whichever instance's beat came first."""

    name = models.CharField(primary_key=True, max_length=80)
    instance = models.CharField(max_length=16)
    sent_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} by {self.instance}"
