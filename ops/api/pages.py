"""Cursor pagination: a page does not move when new rows arrive above it."""

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from ops.actions.base import Refusal
from ops.actions.inputs import is_text

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
    _check_limit(request.query_params.get(Pages.page_size_query_param))
    _check_cursor(request.query_params.get(Pages.cursor_query_param))
    pages = Pages()
    pages.ordering = order
    try:
        found = pages.paginate_queryset(rows, request) or []
    except (NotFound, ValueError, ValidationError):  # the latter: a position that is not of the column's type
        raise _bad_cursor() from None
    body = {
        "results": [shape(row) for row in found],
        "next": pages.get_next_link(),
        "previous": pages.get_previous_link(),
    }
    return Response(body)


def _check_cursor(asked: str | None) -> None:
    """Decoding would drop what is not base64, and a client would find itself on the first page again."""
    if asked and not re.fullmatch(r"[A-Za-z0-9+/]+=*", asked):
        raise _bad_cursor()


def _bad_cursor() -> Refusal:
    return Refusal("cursor.invalid", "cursor: not one of ours; start without it", status=422)


def _check_limit(asked: str | None) -> None:
    """DRF would silently take its default instead."""
    if asked is not None and not (asked.isdecimal() and 1 <= int(asked[:9]) <= Pages.max_page_size):
        detail = f"limit {asked[:20]!r}; accepted: 1 to {Pages.max_page_size}"
        raise Refusal("limit.invalid", detail, status=422)


def filters(request: Request, *names: str, states: Collection[str] = ()) -> dict[str, str]:
    """The query parameters among `names` that were given. `states`: what `state` may be."""
    found = {name: value for name in names if (value := request.query_params.get(name))}
    for name, value in found.items():
        if not is_text(value):
            raise Refusal("filter.invalid", f"{name}: NUL is not a character", status=422)
    if states and found.get("state", next(iter(states))) not in states:
        detail = f"state {found['state'][:40]!r}; accepted: {', '.join(states)}"
        raise Refusal("filter.invalid", detail, status=422)
    return found
