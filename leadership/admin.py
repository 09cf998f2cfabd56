from django.contrib import admin

from leadership.models import Lease, Term
from ops.admin_base import ReadOnly


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    list_display = ("__str__", "state", "owner", "host", "renewed_at", "expires_at", "draining_at")


@admin.register(Term)
class TermAdmin(ReadOnly):
    list_display = ("__str__", "how", "host", "began_at", "settled_at", "ended_at", "ended_why")
    list_filter = ("how",)
