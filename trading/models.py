"""The desk's orders as rows. Every arrow of an order that crosses a process is a row first (spec 2.4).

Written only by `trading.execution`, `trading.ledger` and the actions; the admin and the API read. Quantities
are base coin. Journals (transitions, attempts, fills, the ledger) are append-only: the application role
cannot UPDATE or DELETE them.
"""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from trading.domain.execution_state import ExecutionState, Policy, Purpose
from trading.domain.ledger import Account, EntryKind
from trading.domain.market import Side, TimeInForce
from trading.domain.order_state import TERMINAL, OrderState
from trading.domain.reconcile import BreakKind
from trading.venues.interface import BillKind

ZERO = Decimal(0)


def _decimal(**options: object) -> models.DecimalField[Decimal, Decimal]:
    return models.DecimalField(max_digits=38, decimal_places=18, **options)  # type: ignore[arg-type]


def _decimal_or_none(**options: object) -> models.DecimalField[Decimal | None, Decimal | None]:
    return models.DecimalField(max_digits=38, decimal_places=18, null=True, **options)  # type: ignore[arg-type]


def _choices(enum: type) -> list[tuple[str, str]]:
    return [(member.value, member.value) for member in enum]  # type: ignore[attr-defined]


class Venue(models.Model):
    """A configured venue: what object permissions are given on. Rows follow the active config."""

    name = models.CharField(primary_key=True, max_length=32)
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class Preflight(models.Model):
    """A preflight that somebody asked to be recorded (POST preview)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    request = models.JSONField()
    result = models.JSONField()
    viable = models.BooleanField()
    executable = models.BooleanField()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"preflight {self.id}"


class Execution(models.Model):
    """One run of the state machine that trades one plan."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    plan_id = models.UUIDField(unique=True, editable=False, help_text="A plan is executed once")
    state = models.CharField(max_length=20, choices=_choices(ExecutionState))
    symbol = models.CharField(max_length=40)
    policy = models.CharField(max_length=20, choices=_choices(Policy))
    hard_leg = models.SmallIntegerField(default=0)
    dry_run = models.BooleanField(default=False)
    plan = models.JSONField()
    plan_digest = models.CharField(max_length=64)
    approval = models.OneToOneField(
        "ops.ApprovalRequest", null=True, on_delete=models.PROTECT, related_name="execution"
    )
    envelope = models.ForeignKey(
        "ops.Envelope",
        null=True,
        on_delete=models.PROTECT,
        related_name="executions",
        help_text="The approval for several executions of which this was one",
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    config_version = models.IntegerField()
    fence = models.BigIntegerField()
    closing = models.BooleanField(default=False)
    closing_to = _decimal(default=ZERO)
    close_min_exit_bps = _decimal_or_none(help_text="The close stops where the exit would bring less")
    close_forced = models.BooleanField(
        default=False, help_text="Told to close a leg even while the venue of the other cannot be reached"
    )
    since = models.DateTimeField(null=True, help_text="When the current repair or close began")
    naked_since = models.DateTimeField(
        null=True, help_text="Since when the two open quantities differ; empty while they are equal"
    )
    naked_ms = models.BigIntegerField(default=0, help_text="How long they differed in all, before that")
    naked_told = models.BooleanField(default=False, help_text="People were called: naked for too long")
    ordered = models.CharField(
        max_length=8, blank=True, help_text="What a person told the rescue to do: proceed or reverse"
    )
    ordered_max_loss = _decimal_or_none(help_text="The largest loss that person allowed, quote currency")
    residual_owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who looks after what is too small to trade",
    )
    residual_told = models.BooleanField(default=False, help_text="People were called: held for too long")
    next_at = models.DateTimeField(
        null=True, help_text="When the machine wants to look again; empty: it rests. The sweeper's only input"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state"]),
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="execution_due"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(closing_to__gte=0), name="execution_closing_to_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.state} {str(self.id)[:8]}"


class ExecutionTransition(models.Model):
    """Append-only: every state the execution was in, when and why."""

    execution = models.ForeignKey(Execution, on_delete=models.PROTECT, related_name="transitions")
    before = models.CharField(max_length=20, blank=True)
    after = models.CharField(max_length=20)
    detail = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"


class Leg(models.Model):
    """One side of a pair on one venue. `side` is the opening side; index 0 is the long leg."""

    execution = models.ForeignKey(Execution, on_delete=models.PROTECT, related_name="legs")
    index = models.SmallIntegerField()
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4, choices=_choices(Side))
    target = _decimal()
    lot = _decimal()
    min_qty = _decimal()
    tick = _decimal()
    plan_price = _decimal()

    class Meta:
        ordering = ["execution", "index"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "index"], name="leg_index_once"),
            models.CheckConstraint(condition=Q(index__in=[0, 1]), name="leg_index_0_or_1"),
            models.CheckConstraint(condition=Q(target__gt=0), name="leg_target_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.target} {self.symbol} on {self.venue}"


class OrderIntent(models.Model):
    """The outbox: written before anything is sent, claimed once, settled by the venue's word."""

    leg = models.ForeignKey(Leg, on_delete=models.PROTECT, related_name="orders")
    attempt = models.SmallIntegerField()
    purpose = models.CharField(max_length=8, choices=_choices(Purpose))
    client_order_id = models.CharField(max_length=32, unique=True)
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4, choices=_choices(Side))
    qty = _decimal()
    price = _decimal()
    time_in_force = models.CharField(max_length=3, choices=_choices(TimeInForce))
    post_only = models.BooleanField(default=False)
    reduce_only = models.BooleanField(default=False)
    state = models.CharField(max_length=20, choices=_choices(OrderState), default=OrderState.INTENT_WRITTEN)
    filled = _decimal(default=ZERO)
    quote_filled = _decimal(default=ZERO, help_text="Σ qty · price of the fills, quote currency")
    fee = _decimal(default=ZERO, help_text="Σ fees of the fills, settlement currency; > 0 paid")
    venue_order_id = models.CharField(max_length=64, blank=True)
    refusal = models.CharField(max_length=200, blank=True)
    observed = _decimal_or_none(
        help_text="In doubt: filled so far as the venue's position tells; hedged by, never booked"
    )
    observed_at = models.DateTimeField(null=True)
    fence = models.BigIntegerField()
    config_version = models.IntegerField()
    written_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    acked_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["venue", "venue_order_id"]),
            models.Index(fields=["fence"], name="order_intent_fence"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["leg", "attempt"], name="order_attempt_once"),
            models.UniqueConstraint(
                fields=["leg"],
                condition=~Q(state__in=sorted(TERMINAL)),
                name="order_one_open_attempt_per_leg",
            ),
            # Attribution: two executions in flight on one instrument could not be told apart on the venue.
            models.UniqueConstraint(
                fields=["venue", "symbol"],
                condition=Q(state__in=[OrderState.SENDING, OrderState.UNKNOWN]),
                name="order_one_in_doubt_per_instrument",
            ),
            models.CheckConstraint(condition=Q(qty__gt=0), name="order_qty_positive"),
            models.CheckConstraint(condition=Q(price__gt=0), name="order_price_positive"),
            models.CheckConstraint(
                condition=Q(filled__gte=0, filled__lte=F("qty")), name="order_filled_within_qty"
            ),
            models.CheckConstraint(
                condition=Q(sent_at__isnull=False)
                | Q(state__in=[OrderState.INTENT_WRITTEN, OrderState.DISCARDED]),
                name="order_sent_at_before_network",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client_order_id} {self.state}"


class Attempt(models.Model):
    """Append-only: one exchange of words with a venue about one order, and what was heard."""

    class Kind(models.TextChoices):
        SUBMIT = "submit"
        QUERY = "query"
        CANCEL = "cancel"

    order = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="attempts")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    at = models.DateTimeField()
    took_ms = models.IntegerField()
    outcome = models.CharField(max_length=20, help_text="ok, or the verdict of the refusal")
    code = models.CharField(max_length=64, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"


class Fill(models.Model):
    """Append-only: one trade as the venue states it. Unique per venue, so the same news twice counts once."""

    order = models.ForeignKey(OrderIntent, on_delete=models.PROTECT, related_name="fills")
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    trade_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=_choices(Side))
    qty = _decimal()
    price = _decimal()
    fee = _decimal(help_text="> 0 paid")
    fee_currency = models.CharField(max_length=12)
    maker = models.BooleanField()
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["venue", "symbol", "trade_id"], name="fill_once"),
            models.CheckConstraint(condition=Q(qty__gt=0, price__gt=0), name="fill_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.qty} @ {self.price}"


class Position(models.Model):
    """Our own net per (venue, instrument), moved in the transaction that records a fill.

    `cost` is the signed notional of what is open; keeping it instead of an average price keeps PnL exact.
    """

    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    net = _decimal(default=ZERO)
    cost = _decimal(default=ZERO)
    realised = _decimal(default=ZERO)
    fees = _decimal(default=ZERO)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["venue", "symbol"]
        constraints = [models.UniqueConstraint(fields=["venue", "symbol"], name="position_once")]

    def __str__(self) -> str:
        return f"{self.net} {self.symbol} on {self.venue}"


class FlattenJob(models.Model):
    """A flatten under way. Its result ends in a verification line read from the venues themselves."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        UNVERIFIED = "unverified"

    class Kind(models.TextChoices):
        FLATTEN = "flatten"
        KILL = "kill"
        CANCEL = "cancel"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(
        max_length=8,
        choices=Kind.choices,
        default=Kind.FLATTEN,
        help_text="kill: orders are cancelled first; cancel: that and nothing more",
    )
    include_foreign = models.BooleanField(default=False, help_text="Cancel everybody's orders there")
    venue = models.CharField(max_length=32, blank=True)
    symbol = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    forced = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=State.choices, default=State.RUNNING)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    next_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"flatten {self.state} {str(self.id)[:8]}"


class VenueBill(models.Model):
    """Append-only: one line of a venue's own statement, as read. What the ledger is checked against."""

    venue = models.CharField(max_length=32)
    bill_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, choices=_choices(BillKind))
    symbol = models.CharField(max_length=40, blank=True)
    currency = models.CharField(max_length=12)
    amount = _decimal(help_text="Change of the wallet, fee included")
    fee = _decimal(default=ZERO, help_text="> 0 paid")
    trade_id = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["venue", "at"]),
            models.Index(fields=["venue", "symbol", "trade_id"]),
        ]
        constraints = [models.UniqueConstraint(fields=["venue", "bill_id"], name="bill_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.currency} on {self.venue}"


class LedgerEntry(models.Model):
    """Append-only: one event of money. `source` names the fill, bill, transfer or adjustment behind it."""

    source = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=12, choices=_choices(EntryKind))
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40, blank=True)
    execution = models.ForeignKey(Execution, null=True, on_delete=models.PROTECT, related_name="entries")
    detail = models.TextField(blank=True)
    at = models.DateTimeField(help_text="When it happened, by the venue's clock")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["at"])]

    def __str__(self) -> str:
        return self.source


class LedgerLine(models.Model):
    """Append-only. The lines of an entry add up to zero per currency: the database refuses others."""

    entry = models.ForeignKey(LedgerEntry, on_delete=models.PROTECT, related_name="lines")
    venue = models.CharField(max_length=32)
    account = models.CharField(max_length=12, choices=_choices(Account))
    currency = models.CharField(max_length=40, help_text="Of base coins: the instrument's symbol")
    amount = _decimal()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["venue", "account", "currency"])]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="ledger_line_not_zero")]

    def __str__(self) -> str:
        return f"{self.venue} {self.account} {self.amount} {self.currency}"


class FundingPayment(models.Model):
    """Append-only: the part of a funding bill that belongs to one execution; the parts sum to the bill.

    Without an execution: nothing of ours was open at that instant.
    """

    entry = models.ForeignKey(LedgerEntry, on_delete=models.PROTECT, related_name="funding")
    execution = models.ForeignKey(Execution, null=True, on_delete=models.PROTECT, related_name="funding")
    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=40)
    currency = models.CharField(max_length=12)
    qty = _decimal(default=ZERO, help_text="Held at that instant, base coin, signed")
    amount = _decimal(help_text="> 0 received")
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["entry", "execution"], nulls_distinct=False, name="funding_share_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} on {self.venue} {self.symbol}"


class Transfer(models.Model):
    """Money on its way from one venue to another: in transit until its arrival is on a venue's statement."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    from_venue = models.CharField(max_length=32)
    to_venue = models.CharField(max_length=32)
    currency = models.CharField(max_length=12)
    amount = _decimal()
    txid = models.CharField(max_length=128, unique=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    departure = models.OneToOneField(VenueBill, null=True, on_delete=models.PROTECT, related_name="departed")
    arrival = models.OneToOneField(VenueBill, null=True, on_delete=models.PROTECT, related_name="arrived")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="transfer_amount_positive"),
            models.CheckConstraint(condition=~Q(from_venue=F("to_venue")), name="transfer_between_two"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} {self.from_venue} → {self.to_venue}"


class StreamState(models.Model):
    """How the private stream of a venue is, as the process that listens last saw it. A reading."""

    venue = models.CharField(primary_key=True, max_length=32)
    connected = models.BooleanField(default=False)
    error = models.CharField(max_length=300, blank=True)
    news_at = models.DateTimeField(null=True, help_text="The last word about an order")
    at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.venue} {self.error or ('connected' if self.connected else 'not connected')}"


class ReconciliationState(models.Model):
    """When each venue was last compared with our books, and with what success."""

    venue = models.CharField(primary_key=True, max_length=32)
    claimed_until = models.DateTimeField(help_text="One process compares at a time")
    tried_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True, help_text="The last time that the venue could be read whole")
    money_at = models.DateTimeField(null=True, help_text="The last time that statement and balance were, too")
    error = models.CharField(max_length=300, blank=True)
    took_ms = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.venue} {self.error or 'compared'}"


class ReconciliationBreak(models.Model):
    """Something that our books and a venue do not agree on. It closes by itself when they do again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    venue = models.CharField(max_length=32)
    kind = models.CharField(max_length=20, choices=_choices(BreakKind))
    symbol = models.CharField(max_length=40, blank=True)
    key = models.CharField(max_length=120, help_text="What it is about: an order, a trade, an instrument")
    amount = _decimal(default=ZERO)
    detail = models.TextField()
    data = models.JSONField(default=dict)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    held_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True, help_text="Two people live with it, at this very amount")
    accepted_why = models.TextField(blank=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["venue", "kind", "symbol", "key"],
                condition=Q(closed_at__isnull=True),
                name="break_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.symbol} on {self.venue}"
