from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from ops.api import audit, auth
from ops.api import incidents as i
from ops.api import views as v
from ops.api.status import STATUS_URLS

urlpatterns = [
    *STATUS_URLS,
    path("api/auth/login", auth.LoginView.as_view()),
    path("api/auth/logout", auth.LogoutView.as_view()),
    path("api/auth/me", auth.MeView.as_view()),
    path("api/auth/password", auth.PasswordView.as_view()),
    path("api/auth/second_factor", auth.SecondFactorView.as_view()),
    path("api/auth/secrets/<uuid:secret_id>/open", auth.SecretView.as_view()),
    path("api/v1/actions", v.ActionsView.as_view()),
    path("api/v1/actions/<str:name>", v.AnyActionView.as_view()),
    path("api/ui/hold", v.ActionView.as_view(action="ops.hold")),
    path("api/ui/resume_request", v.ActionView.as_view(action="ops.resume")),
    path("api/ui/resume_checklist", v.ChecklistView.as_view()),
    path("api/ui/approvals", v.ApprovalsView.as_view()),
    path("api/ui/approvals/<uuid:request_id>", v.ApprovalView.as_view()),
    path("api/ui/approvals/<uuid:request_id>/approve", v.VoteView.as_view(verdict="approve")),
    path("api/ui/approvals/<uuid:request_id>/reject", v.VoteView.as_view(verdict="reject")),
    *(
        path(f"api/ui/approvals/<uuid:request_id>/{verb}", v.RequestVerbView.as_view(verb=verb))
        for verb in ("apply", "cancel", "withdraw")
    ),
    path("api/ui/envelopes", v.EnvelopesView.as_view()),
    path("api/ui/incidents", i.IncidentsView.as_view()),
    path("api/ui/incidents/<uuid:incident_id>", i.IncidentView.as_view()),
    path("api/ui/incidents/<uuid:incident_id>/export", i.IncidentExportView.as_view()),
    *(
        path(f"api/ui/incidents/<uuid:incident_id>/{verb}", i.IncidentActionView.as_view(verb=verb))
        for verb in i.VERBS
    ),
    path("api/ui/audit", audit.AuditView.as_view()),
    path("api/ui/audit/export", audit.AuditExportView.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
