"""The lease: one row, never deleted. With the lock off its one holder is this instance, term 1."""

from django.db import models
from django.db.models import Q


class Lease(models.Model):
    id = models.SmallIntegerField(primary_key=True, default=1)
    fence = models.BigIntegerField(default=1)
    nonce = models.CharField(max_length=16, default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="lease_one_row")]

    def __str__(self) -> str:
        return f"{self.fence}-{self.nonce}"
