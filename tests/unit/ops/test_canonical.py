"""One text per value: what is digested, stored and read back must digest the same."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.canonical import canonical_json, digest, plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Point:
    x: Decimal
    y: Decimal | None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), '"1.5"'),
        (Decimal("1.00"), '"1"'),
        (Decimal("1E+3"), '"1000"'),
        (Decimal("1E-7"), '"0.0000001"'),
        (Decimal("100"), '"100"'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00+00:00"'),
        (datetime(2026, 1, 2, 6, tzinfo=timezone(timedelta(hours=3))), '"2026-01-02T03:00:00+00:00"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, '"red"'),
        (Point(Decimal("0.10"), None), '{"x":"0.1","y":null}'),
        ({"b": 1, "a": (True, None)}, '{"a":[true,null],"b":1}'),
        ("стоп", '"стоп"'),
    ],
)
def test_text(value: object, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize("value", [0.1, {"deep": [1.0]}, object(), {1, 2}, b"bytes"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        canonical_json(value)


def test_the_digest_is_that_of_the_text() -> None:
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": Decimal("1.0")}) == digest({"a": Decimal("1.00")})
    assert digest({"a": "1"}) != digest({"a": 1})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_what_is_stored_and_read_back_digests_the_same(value: object) -> None:
    stored = json.loads(json.dumps(plain(value)))
    assert digest(stored) == digest(value)
