"""The control frame's rows. Written only by the runner, the actions and the services of this app.

What a control rests on is enforced by the database as well: see `migrations/0002_controls.py`.
"""

import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class User(AbstractUser):
    """A person, or a program acting for one. Roles are groups (`ops.roles`)."""


class Mode(models.TextChoices):
    HOLD = "HOLD"
    RUN = "RUN"


class ApprovalRequest(models.Model):
    """What was asked for, frozen. Approval and execution are different columns: approved is not yet done."""

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        VOIDED = "voided"

    class ExecutionState(models.TextChoices):
        NOT_RUN = "not_run"
        EXECUTED = "executed"
        REFUSED = "refused"

    OPEN = (State.PENDING, State.APPROVED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    execution_state = models.CharField(
        max_length=10, choices=ExecutionState.choices, default=ExecutionState.NOT_RUN
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    payload = models.JSONField()
    before = models.JSONField()
    diff = models.JSONField()
    digest = models.CharField(max_length=64)
    config_version = models.IntegerField()
    fence = models.BigIntegerField()
    quorum = models.SmallIntegerField()
    policy = models.JSONField()
    source = models.CharField(max_length=12)
    request_id = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    executed_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    refusal = models.JSONField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(quorum__gte=1), name="approval_quorum_at_least_one"),
            models.UniqueConstraint(
                fields=["action", "target"],
                condition=Q(state__in=["pending", "approved"]) & Q(execution_state="not_run"),
                name="approval_one_open_per_target",
            ),
            # What a vote's composite foreign key points at: a vote on another payload has no target.
            models.UniqueConstraint(fields=["id", "requested_by", "digest"], name="approval_voted_on"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.requested_by} {self.state}"

    @property
    def open(self) -> bool:
        return self.state in self.OPEN and self.execution_state == self.ExecutionState.NOT_RUN


class Vote(models.Model):
    """One person's word on one digest. Repeats requester and digest so that the database can compare them."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="votes")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    comment = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["request", "approver"], name="vote_once_per_person"),
            models.CheckConstraint(condition=~Q(approver=F("requested_by")), name="vote_not_by_requester"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.approver}"


class DeskState(models.Model):
    """One row: what the desk may do now. Its causes are `HoldCause` rows."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.HOLD)
    safe_mode = models.BooleanField(default=True)
    post_only = models.BooleanField(default=False)
    reduce_only = models.BooleanField(default=False)
    version = models.BigIntegerField(default=1)
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

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "scope_type", "scope_key"],
                condition=Q(state="open", raised_by__isnull=True),
                name="hold_cause_one_open_per_machine_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} ({self.state})"

    @property
    def manual(self) -> bool:
        """Raised by a person: the person's own word, in a resume request, is what removes it."""
        return self.raised_by_id is not None


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
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-seq"]
        indexes = [models.Index(fields=["action", "-seq"]), models.Index(fields=["actor_name", "-seq"])]

    def __str__(self) -> str:
        return f"{self.seq} {self.action} {self.verdict}"


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
