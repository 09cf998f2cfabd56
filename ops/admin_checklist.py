"""Why can't I resume? The server's own list, line by line (spec 3.3)."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ops import checklist


def page(request: HttpRequest) -> HttpResponse:
    """Looks at the world now; changes nothing."""
    lines = checklist.evaluate(checklist.prepare())
    context = {
        **admin.site.each_context(request),
        "title": _("Resume checklist"),
        "lines": lines,
        "ready": all(line["ok"] for line in lines),
    }
    return TemplateResponse(request, "admin/checklist.html", context)
