"""Typed inputs: one frozen dataclass per action is the form, the schema and the parser.

Strict: unknown fields, missing fields and wrong types are all reported at once; a Decimal comes from a string
or an integer, and a JSON fraction is taken by its own digits, never through a float.
"""

import re
from dataclasses import MISSING, Field, dataclass, field, fields
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints
from uuid import UUID

from ops.actions.base import Refusal

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
MAX_TEXT = 20_000
SHOWN = 120
SECRET = "(secret)"  # noqa: S105 (stands for one)


class InvalidInput(Refusal):
    """`input.invalid`, 422, with one line per field."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        detail = "; ".join(f"{e['field']}: {e['detail']}" for e in errors)
        super().__init__("input.invalid", detail, status=422, errors=errors)


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of an input, for every face. `kind` is one of str, int, bool, Decimal, UUID."""

    name: str
    kind: type
    required: bool
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    secret: bool = False


def arg(*, help: str, default: Any = MISSING, choices: tuple[str, ...] = (), secret: bool = False) -> Any:
    """A dataclass field with what a face needs to show it. secret: never shown again, never on record."""
    return field(default=default, metadata={"help": help, "choices": choices, "secret": secret})


def describe(kind: type) -> list[InputField]:
    hints = get_type_hints(kind)
    return [_describe(f, hints[f.name]) for f in fields(kind)]


def _describe(item: "Field[Any]", hint: Any) -> InputField:
    inner = hint
    if isinstance(hint, UnionType):
        inner = next(arg for arg in get_args(hint) if arg is not NoneType)
    return InputField(
        name=item.name,
        kind=inner,
        required=item.default is MISSING,
        optional=inner is not hint,
        default=None if item.default is MISSING else item.default,
        help=item.metadata.get("help", ""),
        choices=item.metadata.get("choices", ()),
        secret=item.metadata.get("secret", False),
    )


def without_secrets(kind: type, data: Any) -> Any:
    """What may be kept of an input, or of what was sent as one. Where a secret was to be sent, whatever else
    was sent may be that secret: under a mistyped name, or instead of the object."""
    known = describe(kind)
    if not any(item.secret for item in known):
        return data
    shown = {item.name for item in known if not item.secret}
    if not isinstance(data, dict):
        return SECRET
    return {name: value if name in shown else SECRET for name, value in data.items()}


def parse(kind: type, data: Any) -> Any:
    """An instance of `kind` from JSON data (a dict).

    Raises:
        InvalidInput: naming every field that does not fit, what was found and what is accepted.
    """
    known = describe(kind)
    if not isinstance(data, dict):
        found = _shown(without_secrets(kind, data))
        raise InvalidInput([{"field": "input", "detail": f"{found} is not a JSON object"}])
    names = {f.name for f in known}
    errors = [
        {
            "field": _shown(str(name)).strip("'"),
            "detail": f"unknown field; accepted: {', '.join(sorted(names)) or 'none'}",
        }
        for name in data
        if name not in names
    ]
    values: dict[str, Any] = {}
    for item in known:
        if item.name not in data:
            if item.required:
                errors.append({"field": item.name, "detail": "required"})
            continue
        try:
            values[item.name] = _value(item, data[item.name])
        except ValueError as fault:
            said = "accepted: a short text" if item.secret else str(fault)  # which names what it found
            errors.append({"field": item.name, "detail": said})
    if errors:
        raise InvalidInput(errors)
    return kind(**values)


def _value(item: InputField, found: Any) -> Any:
    if found is None:
        if item.optional:
            return None
        raise ValueError("null is not accepted")
    value = _READERS[item.kind](found)
    if item.choices and value not in item.choices:
        raise ValueError(f"{_shown(found)}; accepted: {', '.join(item.choices)}")
    return value


def _shown(found: Any) -> str:
    """What was found, for a person: short, and a number as it was typed."""
    text = str(found) if isinstance(found, Decimal) else repr(found)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def is_text(found: Any, *, longest: int = MAX_TEXT) -> bool:
    """A string that a database column and UTF-8 can hold: no NUL, no half of a surrogate pair."""
    if not isinstance(found, str) or len(found) > longest:
        return False
    return "\x00" not in found and not any("\ud800" <= character <= "\udfff" for character in found)


def read_text(found: Any) -> str:
    """A string as every text field accepts it; ValueError otherwise."""
    if not isinstance(found, str):
        raise ValueError(f"{_shown(found)} is not a string")
    if not is_text(found):
        raise ValueError(f"at most {MAX_TEXT} characters, none of them NUL or half a surrogate pair")
    return found


def _integer(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"{_shown(found)} is not a whole number")
    if not -(2**63) <= found < 2**63:
        raise ValueError("accepted: whole numbers of 64 bits")
    return found


def _boolean(found: Any) -> bool:
    if not isinstance(found, bool):
        raise ValueError(f"{_shown(found)} is not true or false")
    return found


def _decimal(found: Any) -> Decimal:
    """`repr` of a float is the shortest text that reads back the same: 0.1 is one tenth, as it was typed."""
    if isinstance(found, bool) or not isinstance(found, str | int | float | Decimal):
        raise ValueError(f"{_shown(found)} is not a decimal number")
    if isinstance(found, str) and not _NUMBER.fullmatch(found):  # Decimal itself takes " 1_000" and "１"
        raise ValueError(f"{_shown(found)} is not a decimal number")
    value = Decimal(repr(found) if isinstance(found, float) else found)
    # By its digits, never by arithmetic: 1e9999999 overflows the context of any operation.
    if not value.is_finite() or value.adjusted() >= 15 or -int(value.as_tuple().exponent) > 18:
        raise ValueError(f"{_shown(found)}: accepted: finite, below 10^15, at most 18 decimal places")
    return value


def _uuid(found: Any) -> UUID:
    try:
        return UUID(read_text(found))
    except ValueError:
        raise ValueError(f"{_shown(found)} is not a UUID") from None


_READERS = {str: read_text, int: _integer, bool: _boolean, Decimal: _decimal, UUID: _uuid}


def json_schema(kind: type) -> dict[str, Any]:
    """The input as JSON schema, for OpenAPI."""
    types = {
        str: {"type": "string"},
        int: {"type": "integer"},
        bool: {"type": "boolean"},
        Decimal: {"type": "string", "format": "decimal"},
        UUID: {"type": "string", "format": "uuid"},
    }
    properties: dict[str, Any] = {}
    for item in describe(kind):
        shape: dict[str, Any] = {**types[item.kind], "description": item.help}
        if item.choices:
            shape["enum"] = list(item.choices)
        if item.optional:
            shape["nullable"] = True
        properties[item.name] = shape
    required = [f.name for f in describe(kind) if f.required]
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
