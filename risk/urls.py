from django.urls import path

from risk.api import GuardsView, LimitsView

urlpatterns = [
    path("api/risk/limits", LimitsView.as_view()),
    path("api/risk/guards", GuardsView.as_view()),
]
