"""The two-man rule as rows: what was asked, who said what, and what one approval is good for."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


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
    executed_txid = models.BigIntegerField(
        null=True, help_text="The transaction that used it; written by the database"
    )
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
    withdrawn_at = models.DateTimeField(null=True, help_text="Taken back while the request was pending")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["request", "approver"],
                condition=Q(withdrawn_at__isnull=True),
                name="vote_once_per_person",
            ),
            models.CheckConstraint(condition=~Q(approver=F("requested_by")), name="vote_not_by_requester"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.approver}"


class ApprovalPolicy(models.Model):
    """What one action needs, where it differs from the configuration. A row per action; object permissions
    on a row say who may change it."""

    action = models.CharField(primary_key=True, max_length=64)
    quorum = models.SmallIntegerField(
        null=True, help_text="People other than the requester; empty: the profile's"
    )
    vote_from = models.CharField(
        max_length=40, blank=True, help_text="A role of which at least one approver must be"
    )

    class Meta:
        ordering = ["action"]
        verbose_name_plural = "approval policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(quorum__isnull=True) | Q(quorum__gte=1), name="policy_quorum_at_least_one"
            ),
        ]

    def __str__(self) -> str:
        return self.action


class Envelope(models.Model):
    """One approval for several runs of one action inside stated bounds. Used up by count, time or a HOLD."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.OneToOneField(ApprovalRequest, on_delete=models.PROTECT, related_name="envelope")
    action = models.CharField(max_length=64)
    bounds = models.JSONField()
    count = models.IntegerField()
    used = models.IntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Voided or revoked")
    ended_why = models.CharField(max_length=160, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(count__gte=1, used__gte=0, used__lte=F("count")),
                name="envelope_used_within_count",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.used}/{self.count}"


class IdempotencyKey(models.Model):
    """The first answer to a command that carried an `Idempotency-Key`, written in the command's own
    transaction: there is no moment in which the effect is there and the answer is not."""

    actor_name = models.CharField(max_length=150)
    key = models.CharField(max_length=120)
    fingerprint = models.CharField(max_length=64)
    answer = models.JSONField()
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor_name", "key"], name="idempotency_once")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.key}"
