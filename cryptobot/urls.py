from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, include, path


def health(request: HttpRequest) -> JsonResponse:
    """This process answers; whether the desk is well is the overview's question."""
    return JsonResponse({"status": "ok"})


urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/health", health),
    path("", include("ops.urls")),
    path("", include("trading.urls")),
]
handler404 = "ops.api.problems.not_found"
handler500 = "ops.api.problems.server_error"
