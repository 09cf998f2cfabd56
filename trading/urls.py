from django.urls import path

from ops.api.views import ActionView
from trading.api import views as v
from trading.api.reports import PnlReportView

urlpatterns = [
    path("api/arb/preview", v.PreviewView.as_view()),
    path("api/arb/edge", v.EdgeView.as_view()),
    path("api/arb/execute", ActionView.as_view(action="trading.execute")),
    path("api/hedge/flatten", ActionView.as_view(action="trading.flatten")),
    path("api/hedge/flatten/<uuid:job_id>", v.FlattenJobView.as_view()),
    path("api/hedge/kill", ActionView.as_view(action="trading.kill")),
    path("api/deriv/status", v.DerivStatusView.as_view()),
    path("api/deriv/setup", ActionView.as_view(action="trading.setup_venue")),
    path("api/deriv/positions", v.PositionsView.as_view()),
    path("api/ui/positions", v.PositionsView.as_view()),
    path("api/ui/executions", v.ExecutionsView.as_view()),
    path("api/ui/executions/<uuid:execution_id>", v.ExecutionView.as_view()),
    path("api/ui/orders", v.OrdersView.as_view()),
    path("api/ui/fills", v.FillsView.as_view()),
    path("api/reconciliation", v.ReconciliationView.as_view()),
    path("api/reports/pnl", PnlReportView.as_view()),
]
