"""Cursor pagination: a page does not move when new rows arrive above it."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from ops.actions.base import Refusal

RowT = TypeVar("RowT", bound=Model)


class Pages(CursorPagination):
    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"


def page(
    request: Request,
    rows: "QuerySet[RowT]",
    shape: Callable[[RowT], dict[str, Any]],
    *,
    order: tuple[str, ...],
) -> Response:
    """`{"results": [...], "next": url or null, "previous": url or null}`, newest first by `order`."""
    pages = Pages()
    pages.ordering = order
    try:
        found = pages.paginate_queryset(rows, request) or []
    except NotFound:
        raise Refusal("cursor.invalid", "cursor: not one of ours; start without it", status=422) from None
    body = {
        "results": [shape(row) for row in found],
        "next": pages.get_next_link(),
        "previous": pages.get_previous_link(),
    }
    return Response(body)
