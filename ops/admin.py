"""The frame's rows, read-only."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from ops import access, desk, hooks, models, second_factor, selectors
from ops.actions import approvals
from ops.admin_base import Journal, ReadOnly, WithRights, as_text
from ops.incidents import catalogue
from ops.incidents.timeline import timeline
from ops.models import User
from ops.selectors import holder_rights, rights_text


@admin.register(models.ApprovalRequest)
class ApprovalRequestAdmin(ReadOnly):
    list_display = (
        "created_at",
        "action",
        "target",
        "requested_by",
        "state",
        "execution_state",
        "expires_at",
    )
    list_filter = ("state", "execution_state", "action")
    list_select_related = ("requested_by",)
    search_fields = ("action", "target", "reason", "requested_by__username", "digest")
    date_hierarchy = "created_at"
    change_form_template = "admin/approval.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        row = self.get_object(request, object_id) if object_id else None
        context: dict[str, Any] = dict(extra_context or {})
        if row is not None:
            assert isinstance(request.user, User)
            context |= {
                "approval": approvals.as_dict(row),
                "second_factor": second_factor.enrolled(request.user),
                "possible": selectors.possible(row, request.user),
                "late": row.open and row.expires_at <= timezone.now(),
                "votes": row.votes.select_related("approver"),
                "before_json": as_text(row.before),
                "result_json": as_text(row.result),
            }
        return super().changeform_view(request, object_id, form_url, context)


@admin.register(models.Vote)
class VoteAdmin(Journal):
    list_display = ("at", "request", "approver", "verdict", "comment")
    list_filter = ("verdict",)
    list_select_related = ("request__requested_by", "approver")
    search_fields = ("approver__username", "comment", "digest")
    date_hierarchy = "at"


@admin.register(models.Envelope)
class EnvelopeAdmin(ReadOnly):
    list_display = ("created_at", "action", "used", "count", "expires_at", "ended_at", "ended_why")
    list_filter = ("action",)
    search_fields = ("request__requested_by__username", "ended_why")
    date_hierarchy = "created_at"

    def offers(self, obj: models.Envelope, user: User) -> list[tuple[str, dict[str, Any]]]:
        return [] if obj.ended_at else [("trading.revoke_envelope", {"envelope_id": str(obj.pk)})]


@admin.register(models.DeskState)
class DeskStateAdmin(ReadOnly):
    list_display = ("mode", "safe_mode", "post_only", "reduce_only", "version", "changed_at")

    def offers(self, obj: models.DeskState, user: User) -> list[tuple[str, dict[str, Any]]]:
        turn = ("ops.safe_mode", {"enabled": str(not obj.safe_mode).lower()})
        return [("ops.hold", {}) if desk.runs(obj, hooks.fence()) else ("ops.resume", {}), turn]


@admin.register(models.HoldCause)
class HoldCauseAdmin(ReadOnly):
    list_display = ("opened_at", "source", "reason", "scope_type", "scope_key", "state", "raised_by")
    list_filter = ("state", "scope_type", "source")
    list_select_related = ("raised_by",)
    search_fields = ("source", "reason", "raised_by__username")
    date_hierarchy = "opened_at"


@admin.register(models.Incident)
class IncidentAdmin(ReadOnly):
    list_display = (
        "opened_at",
        "severity",
        "code",
        "state",
        "summary",
        "owner",
        "occurrences",
        "last_seen_at",
        "shelved_until",
    )
    list_filter = ("state", "severity", "code", "component")
    list_select_related = ("owner",)
    search_fields = ("code", "source", "summary", "owner__username", "root_cause", "resolution")
    date_hierarchy = "opened_at"
    change_form_template = "admin/incident.html"

    def offers(self, obj: models.Incident, user: User) -> list[tuple[str, dict[str, Any]]]:
        return [(name, {"incident_id": str(obj.pk)}) for name in selectors.fitting(obj)]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        row = self.get_object(request, object_id) if object_id else None
        context: dict[str, Any] = dict(extra_context or {})
        if row is not None:
            alarm = catalogue.ALARMS.get(row.code)
            context |= {
                "incident": row,
                "alarm": alarm and catalogue.in_language(alarm, get_language() or "en"),
                "timeline": timeline(row),
                "exports": [("md", "en"), ("md", "ru"), ("json", "en")],
            }
        return super().changeform_view(request, object_id, form_url, context)


@admin.register(models.IncidentEvent)
class IncidentEventAdmin(Journal):
    list_display = ("at", "incident", "kind", "text", "actor_name", "audit_seq")
    list_filter = ("kind",)
    list_select_related = ("incident",)
    search_fields = ("text", "actor_name", "incident__source", "incident__summary")
    date_hierarchy = "at"


@admin.register(models.AuditEntry)
class AuditEntryAdmin(Journal):
    list_display = ("seq", "at", "actor_name", "source", "action", "target", "verdict", "code", "reason")
    list_filter = ("verdict", "source", "action")
    search_fields = ("actor_name", "action", "target", "reason", "code", "request_id", "correlation_id")
    date_hierarchy = "at"


@admin.register(models.ConfigVersion)
class ConfigVersionAdmin(ReadOnly):
    list_display = ("version", "active", "profile", "author", "created_at", "digest")
    list_select_related = ("author",)
    search_fields = ("digest", "yaml")


@admin.register(models.ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnly):
    list_display = ("role", "instance", "pid", "build", "at")
    list_filter = ("role", "instance")


@admin.register(User)
class UserAdmin(WithRights):
    """Without the password's hash. What is done to a person is an action."""

    list_display = ("username", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    search_fields = ("username", "first_name", "last_name", "email")
    fields = (
        "username",
        "first_name",
        "last_name",
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
        "groups",
        "user_permissions",
        "last_login",
        "date_joined",
        "no_vote_until",
        "must_change_password",
        "rights_held",
        "rights_on_it",
    )

    @admin.display(description=_("Rights on objects"))
    def rights_held(self, obj: User) -> str:
        return rights_text(holder_rights(obj)) or "—"

    def offers(self, obj: User, user: User) -> list[tuple[str, dict[str, Any]]]:
        who = {"username": obj.username}
        turn = "ops.deactivate_user" if obj.is_active else "ops.activate_user"
        names = [turn, "ops.grant_role", "ops.revoke_role", "ops.reset_password", "ops.reset_second_factor"]
        given = [(name, who) for name in names if access.may(user, name, [obj])]
        if access.may(user, "ops.grant_object_permission"):
            given.append(("ops.grant_object_permission", {"holder": f"user:{obj.username}"}))
        return given


@admin.register(models.ApprovalPolicy)
class ApprovalPolicyAdmin(WithRights):
    list_display = ("action", "quorum", "vote_from")
    search_fields = ("action",)
    fields = ("action", "quorum", "vote_from", "rights_on_it")

    def offers(self, obj: models.ApprovalPolicy, user: User) -> list[tuple[str, dict[str, Any]]]:
        own: list[tuple[str, dict[str, Any]]] = []
        if access.may(user, "ops.set_policy", [obj]):
            own = [("ops.set_policy", {"action": obj.pk})]
        return own + super().offers(obj, user)


@admin.register(Group)
class GroupAdmin(ReadOnly):
    list_display = ("name",)
    search_fields = ("name",)
    fields = ("name", "permissions", "rights_held")

    @admin.display(description=_("Rights on objects"))
    def rights_held(self, obj: Group) -> str:
        return rights_text(holder_rights(obj)) or "—"

    def offers(self, obj: Group, user: User) -> list[tuple[str, dict[str, Any]]]:
        if not access.may(user, "ops.grant_object_permission"):
            return []
        return [("ops.grant_object_permission", {"holder": f"role:{obj.name}"})]


@admin.register(models.Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("created_at", "route", "why", "title", "state", "attempts", "sent_at", "error")
    list_filter = ("state", "route", "why")
    search_fields = ("title", "incident__id")
    date_hierarchy = "created_at"
