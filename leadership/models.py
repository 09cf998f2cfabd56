"""The lease, and the history of its terms. Written by `leadership.store` alone, in single statements."""

from django.db import models
from django.db.models import Q

from leadership.domain.lease import State


class Lease(models.Model):
    """One row, made by the migration, never deleted. expires_at NULL: the lock is off, it never lapses.

    `fence` is unique so that it is a key column: a claimer's FOR KEY SHARE lets renewals pass and makes a
    change of term wait.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    fence = models.BigIntegerField(default=1, unique=True)
    nonce = models.CharField(max_length=16, default="")
    owner = models.CharField(max_length=16, default="", help_text="Instance")
    host = models.CharField(max_length=80, default="", help_text="Where people find the owner")
    state = models.CharField(max_length=4, choices=[(s.value, s.value) for s in State], default=State.FREE)
    hb_seq = models.BigIntegerField(default=0)
    renewed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    draining_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=16, default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="lease_one_row")]

    def __str__(self) -> str:
        return f"{self.fence}-{self.nonce}"


class Term(models.Model):
    """One term of one instance; written in the statement that began or ended it.

    recorded_at: HOLD, voided approvals, audit and incident are written. settled_at: what the terms before
    left at the venues is settled; only then may the desk resume.
    """

    fence = models.BigIntegerField(primary_key=True)
    nonce = models.CharField(max_length=16)
    owner = models.CharField(max_length=16)
    host = models.CharField(max_length=80, blank=True)
    how = models.CharField(max_length=8, help_text="free, stale, forced, alone")
    began_at = models.DateTimeField()
    recorded_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    last_hb_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_why = models.CharField(max_length=160, blank=True)

    class Meta:
        ordering = ["-fence"]

    def __str__(self) -> str:
        return f"{self.fence}-{self.nonce} of {self.owner}"
