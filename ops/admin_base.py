"""Every model in the admin is a window: nothing is added, changed or deleted but by an action."""

import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ops import access
from ops.actions import registry
from ops.models import User
from ops.selectors import object_rights, rights_text

if TYPE_CHECKING:  # Django's own classes take no type arguments when they run
    _Paginator = Paginator[Any]
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _Paginator, _ModelAdmin = Paginator, admin.ModelAdmin

COUNT_AT_MOST = 10_000


class CappedPaginator(_Paginator):
    """Counts no further than anybody leafs: a journal's count(*) costs more than the page."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows[:COUNT_AT_MOST].count()


class ReadOnly(_ModelAdmin):
    actions = None
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    view_on_site = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if self.fields is not None:
            return list(self.fields)
        return [_shown(field) for field in self.model._meta.concrete_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj)

    def offers(self, obj: Any, user: User) -> list[tuple[str, dict[str, Any]]]:
        """Actions for this object: (name, input to start with)."""
        return []

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        assert isinstance(request.user, User)
        obj = self.get_object(request, object_id) if object_id else None
        offers = self.offers(obj, request.user) if obj is not None else []
        times = Counter(name for name, _ in offers)
        linked = [
            (name, urlencode(data), " ".join(data.values()) if times[name] > 1 else "")
            for name, data in offers
        ]
        context = {"title": str(obj), "offers": linked, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)


class WithRights(ReadOnly):
    """An object on which rights are given: who holds which, and the actions that give and take them."""

    @admin.display(description=_("Rights on it"))
    def rights_on_it(self, obj: Any) -> str:
        return rights_text(object_rights(obj)) or "—"

    def offers(self, obj: Any, user: User) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        if access.may(user, "ops.grant_object_permission"):
            asked = sorted(a.permission for a in registry.all_actions() if a.model is self.model)
            found += [
                ("ops.grant_object_permission", {"permission": name, "object_id": obj.pk}) for name in asked
            ]
        if access.may(user, "ops.revoke_object_permission"):
            names = ("permission", "object_id", "holder")
            found += [
                ("ops.revoke_object_permission", dict(zip(names, right, strict=True)))
                for right in object_rights(obj)
            ]
        return found


class Journal(ReadOnly):
    """Rows that only ever grow in number."""

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-pk",)


def _shown(field: "models.Field[Any, Any]") -> str | Callable[[Any], SafeString]:
    """JSON is shown as people read it; everything else as Django does."""
    if not isinstance(field, models.JSONField):
        return field.name

    def pretty(obj: Any) -> SafeString:
        return format_html('<pre class="json">{}</pre>', as_text(getattr(obj, field.name)))

    pretty.short_description = field.verbose_name  # type: ignore[attr-defined]
    pretty.__name__ = f"{field.name}_pretty"
    return pretty


def as_text(value: Any) -> str:
    """JSON data, indented."""
    return "—" if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
