"""One JSON text per value: what is digested and chained must read back equal."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def plain(value: object) -> Any:
    """JSON data. Decimals as plain text without trailing zeros, times in UTC. TypeError for floats."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> str | int | bool | None:
    match value:
        case Enum():
            return str(value.value)
        case Decimal():
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case datetime():
            return value.astimezone(UTC).isoformat()
        case UUID():
            return str(value)
        case None | bool() | int() | str():
            return value
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical_json(value: object) -> str:
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def short(value: object, length: int) -> str:
    """As much of its text as PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"<{type(value).__name__} without a text>"
    return text[:length].replace("\x00", "\ufffd").encode(errors="replace").decode()


def digest(value: object) -> str:
    """SHA-256 of the canonical text, hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
