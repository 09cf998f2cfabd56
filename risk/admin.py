from django.contrib import admin

from ops.admin_base import Journal
from risk.models import Reservation


@admin.register(Reservation)
class ReservationAdmin(Journal):
    list_display = ("created_at", "venue", "symbol", "side", "qty", "remaining", "price", "released_at")
    list_filter = ("venue", "symbol", "side", ("released_at", admin.EmptyFieldListFilter))
    search_fields = ("execution_id",)
    date_hierarchy = "created_at"
