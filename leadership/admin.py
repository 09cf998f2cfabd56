from django.contrib import admin

from leadership.models import Lease
from ops.admin_base import ReadOnly


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    list_display = ("__str__", "fence", "nonce")
