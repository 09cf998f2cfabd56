"""What an action's input accepts, as a table. Every refusal names the field and what is accepted."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ops.actions.inputs import InvalidInput, arg, describe, json_schema, parse


@dataclass(frozen=True, kw_only=True)
class Everything:
    text: str = arg(help="A text")
    word: str = arg(help="A word", default="a", choices=("a", "b"))
    count: int = arg(help="A number", default=1)
    yes: bool = arg(help="A truth", default=False)
    price: Decimal | None = arg(help="A price", default=None)
    key: UUID | None = arg(help="A key", default=None)


def test_defaults_fill_what_is_not_sent() -> None:
    assert parse(Everything, {"text": "t"}) == Everything(text="t")


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [
        ("text", "", ""),
        ("text", "Пауза 暂停 🛑", "Пауза 暂停 🛑"),
        ("text", "x" * 20_000, "x" * 20_000),
        ("word", "b", "b"),
        ("count", -3, -3),
        ("count", 2**63 - 1, 2**63 - 1),
        ("yes", True, True),
        ("price", None, None),
        ("price", "0.1", Decimal("0.1")),
        ("price", 0.1, Decimal("0.1")),
        ("price", Decimal("0.10"), Decimal("0.10")),
        ("price", 7, Decimal(7)),
        ("price", "-1.5e3", Decimal("-1500")),
        ("price", "999999999999999.999999999999999999", Decimal("999999999999999.999999999999999999")),
        ("key", "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
    ],
)
def test_accepted(field: str, sent: Any, read: Any) -> None:
    found = getattr(parse(Everything, {"text": "t", field: sent}), field)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("field", "sent", "says"),
    [
        ("text", None, "null"),
        ("text", 1, "not a string"),
        ("text", "a\x00b", "NUL"),
        ("text", "\ud800", "surrogate"),
        ("text", "x" * 20_001, "20000"),
        ("word", "c", "accepted: a, b"),
        ("word", "A", "accepted: a, b"),
        ("count", None, "null"),
        ("count", True, "whole number"),
        ("count", 1.0, "whole number"),
        ("count", "1", "whole number"),
        ("count", 2**63, "64 bits"),
        ("yes", 1, "true or false"),
        ("yes", "true", "true or false"),
        ("price", True, "decimal"),
        ("price", "", "decimal"),
        ("price", "abc", "decimal"),
        ("price", " 1", "decimal"),
        ("price", "1_000", "decimal"),
        ("price", "１", "decimal"),
        ("price", "1,5", "decimal"),
        ("price", "NaN", "decimal"),
        ("price", Decimal("NaN"), "finite"),
        ("price", Decimal("sNaN"), "finite"),
        ("price", float("inf"), "finite"),
        ("price", Decimal("1e9999999"), "10^15"),
        ("price", "1e15", "10^15"),
        ("price", 10**400, "10^15"),
        ("price", "1e-19", "18 decimal places"),
        ("price", [1], "decimal"),
        ("price", {"a": 1}, "decimal"),
        ("key", "no", "UUID"),
        ("key", 5, "UUID"),
    ],
)
def test_refused(field: str, sent: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(Everything, {"text": "t", field: sent})
    (error,) = caught.value.errors
    assert error["field"] == field
    assert says in error["detail"]
    assert len(error["detail"]) < 400


@pytest.mark.parametrize("sent", [None, [], "text", 5, True])
def test_an_input_is_an_object(sent: Any) -> None:
    with pytest.raises(InvalidInput, match="object"):
        parse(Everything, sent)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(Everything, {"txet": "t", "count": "x", "yes": None})
    assert {e["field"] for e in caught.value.errors} == {"txet", "text", "count", "yes"}
    assert (caught.value.code, caught.value.status) == ("input.invalid", 422)
    assert "accepted: count, key, price, text, word, yes" in caught.value.detail


def test_faces_are_told_all_of_it() -> None:
    by_name = {f.name: f for f in describe(Everything)}
    assert (by_name["text"].required, by_name["text"].optional) == (True, False)
    assert (by_name["price"].kind, by_name["price"].required, by_name["price"].optional) == (
        Decimal,
        False,
        True,
    )
    assert by_name["word"].choices == ("a", "b")
    schema = json_schema(Everything)
    assert schema["required"] == ["text"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["price"]["nullable"] is True
