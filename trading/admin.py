"""Orders and executions, read-only; what can be done to an execution is offered on its page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ops import access
from ops.admin_base import Journal, ReadOnly, WithRights
from ops.models import User
from trading import models
from trading.actions.rescue import RESCUABLE
from trading.domain.execution_state import FINAL, ExecutionState
from trading.panels import execution_now


@admin.register(models.Venue)
class VenueAdmin(WithRights):
    list_display = ("name", "enabled")
    fields = ("name", "enabled", "rights_on_it")


@admin.register(models.Preflight)
class PreflightAdmin(ReadOnly):
    list_display = ("at", "id", "requested_by", "viable", "executable")
    list_filter = ("viable", "executable")
    list_select_related = ("requested_by",)
    search_fields = ("id", "requested_by__username")
    date_hierarchy = "at"


@admin.register(models.Execution)
class ExecutionAdmin(ReadOnly):
    list_display = ("created_at", "symbol", "state", "dry_run", "policy", "requested_by", "id")
    list_filter = ("state", "dry_run", "symbol")
    list_select_related = ("requested_by",)
    search_fields = ("id", "plan_id", "plan_digest", "reason", "requested_by__username")
    date_hierarchy = "created_at"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["now", *super().get_fields(request, obj)]

    @admin.display(description=_("Now"))
    def now(self, obj: models.Execution) -> str:
        return "—" if obj.dry_run else execution_now(obj)

    def offers(self, obj: models.Execution, user: User) -> list[tuple[str, dict[str, Any]]]:
        if obj.dry_run or obj.state in FINAL:
            return []
        about = {"execution_id": str(obj.pk)}
        verbs = [("trading.close", about)]
        if obj.state in RESCUABLE:
            verbs.append(("trading.rescue", {**about, "way": "reverse"}))
        if obj.state == ExecutionState.RESIDUAL_HELD:
            verbs.append(("trading.assign_residual", about))
        return [verb for verb in verbs if access.may_somewhere(user, verb[0])]


@admin.register(models.ExecutionTransition)
class ExecutionTransitionAdmin(Journal):
    list_display = ("at", "execution", "before", "after", "detail")
    list_filter = ("after",)
    list_select_related = ("execution",)
    search_fields = ("execution__id", "detail")
    date_hierarchy = "at"


@admin.register(models.Leg)
class LegAdmin(Journal):
    list_display = ("execution", "index", "side", "target", "symbol", "venue", "plan_price")
    list_filter = ("venue", "symbol", "side")
    list_select_related = ("execution",)
    search_fields = ("execution__id",)


@admin.register(models.OrderIntent)
class OrderIntentAdmin(Journal):
    list_display = (
        "written_at",
        "client_order_id",
        "state",
        "side",
        "qty",
        "filled",
        "price",
        "symbol",
        "venue",
        "purpose",
    )
    list_filter = ("state", "venue", "symbol", "purpose")
    search_fields = ("client_order_id", "venue_order_id", "leg__execution__id", "refusal")
    date_hierarchy = "written_at"


@admin.register(models.Attempt)
class AttemptAdmin(Journal):
    list_display = ("at", "order", "kind", "outcome", "code", "took_ms")
    list_filter = ("kind", "outcome")
    list_select_related = ("order",)
    search_fields = ("order__client_order_id", "code", "detail")
    date_hierarchy = "at"


@admin.register(models.Fill)
class FillAdmin(Journal):
    list_display = ("at", "order", "side", "qty", "price", "fee", "fee_currency", "maker", "symbol", "venue")
    list_filter = ("venue", "symbol", "side", "maker")
    list_select_related = ("order",)
    search_fields = ("trade_id", "order__client_order_id", "order__venue_order_id")
    date_hierarchy = "at"


@admin.register(models.Position)
class PositionAdmin(ReadOnly):
    list_display = ("venue", "symbol", "net", "cost", "realised", "fees", "updated_at")
    list_filter = ("venue", "symbol")


@admin.register(models.FlattenJob)
class FlattenJobAdmin(ReadOnly):
    list_display = ("created_at", "state", "venue", "symbol", "requested_by", "finished_at", "id")
    list_filter = ("state",)
    list_select_related = ("requested_by",)
    search_fields = ("id", "reason", "requested_by__username")
    date_hierarchy = "created_at"


@admin.register(models.VenueBill)
class VenueBillAdmin(Journal):
    list_display = ("at", "venue", "kind", "symbol", "amount", "fee", "currency", "trade_id", "bill_id")
    list_filter = ("venue", "kind", "currency", "symbol")
    search_fields = ("bill_id", "trade_id")
    date_hierarchy = "at"


class LinesInline(admin.TabularInline):  # type: ignore[type-arg]
    model = models.LedgerLine
    fields = readonly_fields = ("venue", "account", "amount", "currency")
    extra = 0
    can_delete = False

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False


@admin.register(models.LedgerEntry)
class LedgerEntryAdmin(Journal):
    list_display = ("at", "kind", "venue", "symbol", "execution", "source", "detail")
    list_filter = ("kind", "venue", "symbol")
    list_select_related = ("execution",)
    search_fields = ("source", "execution__id", "detail")
    date_hierarchy = "at"
    inlines = (LinesInline,)


@admin.register(models.LedgerLine)
class LedgerLineAdmin(Journal):
    list_display = ("entry", "venue", "account", "amount", "currency")
    list_filter = ("venue", "account", "currency")
    list_select_related = ("entry",)
    search_fields = ("entry__source",)


@admin.register(models.FundingPayment)
class FundingPaymentAdmin(Journal):
    list_display = ("at", "execution", "venue", "symbol", "qty", "amount", "currency")
    list_filter = ("venue", "symbol")
    list_select_related = ("execution",)
    search_fields = ("execution__id",)
    date_hierarchy = "at"


@admin.register(models.Transfer)
class TransferAdmin(ReadOnly):
    list_display = (
        "created_at",
        "from_venue",
        "to_venue",
        "amount",
        "currency",
        "txid",
        "departed",
        "arrived",
    )
    list_filter = ("from_venue", "to_venue", "currency")
    search_fields = ("txid",)
    date_hierarchy = "created_at"

    @admin.display(boolean=True)
    def departed(self, obj: models.Transfer) -> bool:
        return obj.departure_id is not None

    @admin.display(boolean=True)
    def arrived(self, obj: models.Transfer) -> bool:
        return obj.arrival_id is not None


@admin.register(models.ReconciliationState)
class ReconciliationStateAdmin(ReadOnly):
    list_display = ("venue", "done_at", "money_at", "took_ms", "error")


@admin.register(models.ReconciliationBreak)
class ReconciliationBreakAdmin(ReadOnly):
    list_display = ("opened_at", "venue", "kind", "symbol", "amount", "closed_at", "accepted_at", "detail")
    list_filter = ("venue", "kind")
    search_fields = ("key", "detail")
    date_hierarchy = "opened_at"

    def offers(self, obj: models.ReconciliationBreak, user: User) -> list[tuple[str, dict[str, Any]]]:
        if obj.closed_at or obj.accepted_at or not access.may_somewhere(user, "trading.accept_break"):
            return []
        return [("trading.accept_break", {"break_id": str(obj.pk), "amount": str(obj.amount)})]
