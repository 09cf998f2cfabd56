"""One JSON text per value: what is signed, digested and stored must read back equal, digit for digit.

Dataclasses, Decimals (as plain strings), aware datetimes, enums, tuples, optionals. Never a float.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decimal_text(value: Decimal) -> str:
    """The one spelling of a number: no exponent, no trailing zeros, no minus zero."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a number that can be written down")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def encode(value: object) -> Any:
    """`value` as JSON data (dict, list, str, int, bool, None). TypeError for anything else, floats first."""
    if isinstance(value, Decimal):  # most of what there is
        return decimal_text(value)
    if (names := _field_names(type(value))) is not None:  # type: ignore[arg-type]
        return {name: encode(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    return _encode_scalar(value)


@lru_cache(maxsize=256)
def _field_names(kind: type) -> tuple[str, ...] | None:
    """Of a dataclass; None for any other type."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None


def _encode_scalar(value: object) -> str | int | bool | None:
    match value:
        case Enum():
            return str(value.value)
        case datetime():
            return _utc(value).isoformat()
        case None | bool() | int() | str():
            return value
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical_json(value: object) -> str:
    """Sorted keys, no spaces, UTF-8 left alone."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical text, lower-case hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def decode(kind: type[T], data: Any) -> T:
    """The inverse of `encode` for the type `kind`. ValueError names the path of what does not fit."""
    result: T = _decode(kind, data, kind.__name__)
    return result


def from_json(kind: type[T], text: str) -> T:
    return decode(kind, json.loads(text, parse_float=Decimal))


def _decode(kind: Any, data: Any, path: str) -> Any:
    if get_origin(kind) is UnionType:
        inner = [arg for arg in get_args(kind) if arg is not NoneType]
        return None if data is None else _decode(inner[0], data, path)
    if get_origin(kind) is tuple:
        return _decode_tuple(get_args(kind), data, path)
    if is_dataclass(kind):
        return _decode_dataclass(kind, data, path)
    try:
        return _decode_scalar(kind, data)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {data!r} is not a {kind.__name__}") from error


def _decode_tuple(args: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"{path}: a list is needed, not {data!r}")
    kinds = [args[0]] * len(data) if args[-1] is Ellipsis else list(args)
    if len(kinds) != len(data):
        raise ValueError(f"{path}: {len(kinds)} items are needed, not {len(data)}")
    return tuple(
        _decode(k, item, f"{path}[{i}]") for i, (k, item) in enumerate(zip(kinds, data, strict=True))
    )


def _decode_dataclass(kind: Any, data: Any, path: str) -> Any:
    hints = get_type_hints(kind)
    names = {f.name for f in fields(kind)}
    if not isinstance(data, dict) or set(data) != names:
        found = sorted(data) if isinstance(data, dict) else data
        raise ValueError(f"{path}: exactly {sorted(names)} are needed, not {found!r}")
    return kind(**{name: _decode(hints[name], data[name], f"{path}.{name}") for name in names})


def _decode_scalar(kind: Any, data: Any) -> Any:
    if kind is Decimal:
        if not isinstance(data, str) or not (value := Decimal(data)).is_finite():
            raise ValueError(data)
        return value
    if kind is datetime:
        return _utc(datetime.fromisoformat(data))
    if issubclass(kind, Enum):
        return kind(data)
    if type(data) is not kind:
        raise TypeError(data)
    return data


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return value.astimezone(UTC)
