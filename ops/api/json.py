"""JSON in and out: Decimals as strings, times in ISO 8601 with Z, numbers never through a float."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

import orjson
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from ops.actions.inputs import is_text

MAX_BODY = 1_000_000


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    raise TypeError(f"{type(value).__name__} is not JSON")


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_default, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


class OrjsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else dumps(data)


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class OrjsonParser(BaseParser):
    """Refuses what is not JSON, NaN and the like, a key named twice, text that no column can hold, and bodies
    above MAX_BODY bytes."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        raw = stream.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise BodyTooLarge(f"the body is larger than {MAX_BODY} bytes")
        if not raw.strip():
            return {}
        try:
            # The standard parser, since it alone hands over a number's own digits.
            found = json.loads(
                raw, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unambiguous
            )
            _storable(raw, found)
        except RecursionError:
            raise ParseError("the body is nested too deeply") from None
        except ValueError as error:
            raise ParseError(f"the body is not JSON that we accept: {error}") from None
        return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [ascii(name)[:80] for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        raise ValueError(f"named twice: {', '.join(twice[:10])}")
    return found


def _storable(raw: bytes, found: Any) -> None:
    """JSON can spell NUL and half a surrogate pair; PostgreSQL cannot store the one, UTF-8 not the other."""
    if b"\\u" in raw and any(
        not is_text(text, longest=MAX_BODY) for text in _texts(found)
    ):  # they can come in no other way
        raise ValueError("NUL or half a surrogate pair in a text; neither is a character")


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from found
        for value in found.values():
            yield from _texts(value)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value)
