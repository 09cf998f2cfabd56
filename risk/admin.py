from typing import Any

from django.contrib import admin

from ops import access
from ops.admin_base import Journal, ReadOnly
from ops.models import User
from risk import models
from risk.domain.guards import Level


@admin.register(models.Reservation)
class ReservationAdmin(Journal):
    list_display = ("created_at", "venue", "symbol", "side", "qty", "remaining", "price", "released_at")
    list_filter = ("venue", "symbol", "side", ("released_at", admin.EmptyFieldListFilter))
    search_fields = ("execution_id",)
    date_hierarchy = "created_at"


@admin.register(models.GuardState)
class GuardStateAdmin(ReadOnly):
    list_display = ("name", "scope", "level", "seen", "summary", "since", "evaluated_at", "cleared_by")
    list_filter = ("level", "name", "scope")
    list_select_related = ("cleared_by",)

    def offers(self, obj: models.GuardState, user: User) -> list[tuple[str, dict[str, Any]]]:
        tripped = Level(obj.level).tripped and access.may(user, "risk.clear_guard")
        return [("risk.clear_guard", {"guard": obj.name, "scope": obj.scope})] if tripped else []


@admin.register(models.RiskLimit)
class RiskLimitAdmin(ReadOnly):
    list_display = ("level", "cap", "value", "reason", "set_by", "set_at")
    list_filter = ("cap",)
    list_select_related = ("set_by",)
    search_fields = ("level", "cap")

    def offers(self, obj: models.RiskLimit, user: User) -> list[tuple[str, dict[str, Any]]]:
        about = {"level": obj.level, "cap": obj.cap, "value": f"{obj.value.normalize():f}"}
        return [("risk.set_limit", about)] if access.may(user, "risk.set_limit") else []


@admin.register(models.RiskOverride)
class RiskOverrideAdmin(ReadOnly):
    list_display = ("created_at", "symbol", "level", "cap", "value", "expires_at", "used_at")
    list_filter = ("cap",)


@admin.register(models.EquityMark)
class EquityMarkAdmin(ReadOnly):
    list_display = ("day", "equity", "at")


@admin.register(models.DeskFigures)
class DeskFiguresAdmin(ReadOnly):
    list_display = ("at", "equity", "daily_loss", "error")


@admin.register(models.CancelClaim)
class CancelClaimAdmin(Journal):
    list_display = ("at", "venue", "symbol", "strategy")
    list_filter = ("venue", "symbol", "strategy")
