"""The admin of a desk: its state on every page, queues on the first, actions as forms."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from ops import desk, hooks, logins, overview, selectors
from ops.actions.base import Refusal, Source
from ops.admin_base import ReadOnly
from ops.api.throttling import LoginThrottle
from ops.models import User

REQUEST = "ops/approvalrequest"


class LoginForm(AdminAuthenticationForm):
    """Name, password, and the code of the second factor where there is one."""

    totp = forms.CharField(required=False, max_length=6, label=_("Code of your second factor"))

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if self.request and not LoginThrottle().allow_request(self.request, None):
            raise forms.ValidationError("too many tries from here: slow down", code="throttled")
        try:
            self.user_cache = logins.come_in(
                self.request or HttpRequest(),
                name=given.get("username", ""),
                password=given.get("password", ""),
                totp=given.get("totp", ""),
                source=Source.ADMIN,
            )
        except Refusal as no:
            raise forms.ValidationError(no.detail, code=no.code) from None
        self.confirm_login_allowed(self.user_cache)
        return given


class DeskAdminSite(admin.AdminSite):
    login_form = LoginForm
    login_template = "admin/desk_login.html"
    site_header = "cryptobot"
    site_title = "cryptobot"
    index_title = _("Desk")
    site_url = None
    enable_nav_sidebar = False  # journals are wide

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Only windows: other people's apps register editable pages, and nothing here is edited past an
        action."""
        if admin_class is not None and issubclass(admin_class, ReadOnly):
            super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from ops import admin_checklist, admin_views

        def page(view: Any) -> Any:
            return self.admin_view(view)

        own = [path("act/<str:name>/", page(admin_views.act), name="act")]
        own += [path("checklist/", page(admin_checklist.page), name="checklist")]
        own += [path("me/", page(admin_views.me), name="me")]
        own += [path("me/secret/<uuid:secret_id>/", page(admin_views.open_secret), name="open_secret")]
        own += [
            path(f"{REQUEST}/<uuid:request_id>/{verb}/", page(admin_views.decide), {"verb": verb}, name=verb)
            for verb in ("approve", "reject", "apply", "cancel", "withdraw")
        ]
        return [*own, *super().get_urls()]

    def each_context(self, request: Any) -> dict[str, Any]:
        context = super().each_context(request)
        return {**context, "desk": SimpleLazyObject(banner), "now": timezone.now()}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        assert isinstance(request.user, User)
        queues = {
            "waiting": selectors.waiting_for(request.user),
            "asked": selectors.asked_by(request.user),
            "doable": selectors.doable(request.user),
        }
        return super().index(request, {**queues, **(extra_context or {})})

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own page would write past the runner."""
        return HttpResponseRedirect(reverse("admin:me"))


def banner() -> dict[str, Any]:
    """What the desk may do now and why not more."""
    from django.conf import settings

    state, term = desk.get_state(), hooks.fence()
    return {
        "profile": settings.ENV.exchange_profile,
        "state": state,
        "mode": overview.effective_mode(state, term),
        "term": term,
        "lock": settings.ENV.feature_leader_lock,
        "lease": hooks.fact("lease") if settings.ENV.feature_leader_lock else None,
        "causes": list(desk.causes()),
        "dry_run": settings.ENV.dry_run,
    }
