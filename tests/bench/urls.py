"""The desk's URLs and the references: views that do nothing, behind everything that every view has."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cryptobot.urls import handler404, handler500, urlpatterns

__all__ = ["handler404", "handler500", "urlpatterns"]


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", content_type="application/json")


def empty_with_session(request: HttpRequest) -> HttpResponse:
    """401 without a login, so that a bench which lost its session cannot look fast."""
    return HttpResponse(
        b"{}", content_type="application/json", status=200 if request.user.is_authenticated else 401
    )


class EmptyApiView(APIView):
    """What REST framework, login and permission cost before a view has done anything."""

    def get(self, request: Request) -> Response:
        return Response({})


urlpatterns = [
    path("bench/empty", empty),
    path("bench/empty/session", empty_with_session),
    path("bench/empty/api", EmptyApiView.as_view()),
    *urlpatterns,
]
