"""The audit chain."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class AuditHead(models.Model):
    """The end of the chain. Locked last in every transaction that appends."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="audit_head_one_row")]

    def __str__(self) -> str:
        return f"audit head {self.seq}"


class AuditEntry(models.Model):
    """Append-only, gapless, chained: each hash is an HMAC over the entry and the hash before it."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    source = models.CharField(max_length=12)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=120, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    verdict = models.CharField(max_length=20)
    code = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    correlation_id = models.CharField(max_length=64, blank=True)
    touches = models.JSONField(
        default=list, help_text="Control rows written in the same transaction, as `table:key`"
    )
    txid = models.BigIntegerField(null=True, help_text="Written by the database, as is tx_at")
    tx_at = models.DateTimeField(null=True)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-seq"]
        indexes = [
            models.Index(fields=["action", "-seq"]),
            models.Index(fields=["actor_name", "-seq"]),
            models.Index(fields=["txid"]),
            models.Index(fields=["target"], name="audit_target"),
            models.Index(
                fields=["correlation_id"], condition=~Q(correlation_id=""), name="audit_correlation"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action} {self.verdict}"
