import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import D
from trading.domain.canonical import canonical_json, decimal_text, decode, digest, encode, from_json


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    amount: Decimal


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    sure: bool
    at: datetime
    colour: Colour
    many: tuple[Inner, ...]
    two: tuple[int, str]
    maybe: Inner | None


WHOLE = Outer(
    name="ё",
    count=3,
    sure=True,
    at=datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))),
    colour=Colour.RED,
    many=(Inner(D("1.50")), Inner(D("-0"))),
    two=(1, "x"),
    maybe=None,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+2", "100"), ("1.500", "1.5"), ("-0", "0"), ("0E-8", "0"), ("1e-8", "0.00000001"), ("-2.0", "-2")],
)
def test_a_number_has_one_spelling(value: str, text: str) -> None:
    assert decimal_text(D(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_no_digit_is_lost(value: Decimal) -> None:
    assert Decimal(decimal_text(value)) == value


@pytest.mark.parametrize("value", ["NaN", "Infinity", "sNaN"])
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        decimal_text(D(value))


def test_a_value_reads_back_equal() -> None:
    text = canonical_json(WHOLE)
    assert from_json(Outer, text) == WHOLE
    assert canonical_json(from_json(Outer, text)) == text
    assert '"at":"2026-01-01T00:00:00+00:00"' in text


def test_equal_values_have_one_digest() -> None:
    assert digest({"b": D("1.0"), "a": 1}) == digest({"a": 1, "b": D("1")})
    assert digest(Inner(D("1"))) != digest(Inner(D("1.1")))


@pytest.mark.parametrize("value", [1.5, {1}, b"x", object()])
def test_a_float_never_gets_in(value: object) -> None:
    with pytest.raises(TypeError):
        encode({"x": [value]})


def test_a_time_without_zone_never_gets_in() -> None:
    with pytest.raises(ValueError, match="time zone"):
        encode(datetime(2026, 1, 1))
    assert encode(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": 1}, "Outer.name"),
        ({"count": "3"}, "Outer.count"),
        ({"count": True}, "Outer.count"),
        ({"at": "2026-01-01T00:00:00"}, "Outer.at"),
        ({"at": 5}, "Outer.at"),
        ({"colour": "blue"}, "Outer.colour"),
        ({"many": [{"amount": 1.5}]}, r"Outer.many\[0\].amount"),
        ({"many": [{"amount": "NaN"}]}, r"Outer.many\[0\].amount"),
        ({"many": [{"amount": "x"}]}, r"Outer.many\[0\].amount"),
        ({"many": {}}, "Outer.many"),
        ({"two": [1]}, "Outer.two"),
        ({"maybe": {"amount": "1", "more": 1}}, "Outer.maybe"),
        ({"maybe": 7}, "Outer.maybe"),
        ({"unknown": 1}, "Outer"),
    ],
)
def test_bad_input_is_named_by_its_path(change: dict[str, object], path: str) -> None:
    with pytest.raises(ValueError, match=rf"^{path}:"):
        decode(Outer, json.loads(canonical_json(WHOLE)) | change)
