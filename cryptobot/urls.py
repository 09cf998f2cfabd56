from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("ops.urls")),
    path("", include("risk.urls")),
    path("", include("trading.urls")),
]
handler400 = "ops.api.problems.bad_request"
handler404 = "ops.api.problems.not_found"
handler500 = "ops.api.problems.server_error"
