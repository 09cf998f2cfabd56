"""From what a person types in a form or at a command line to JSON data. Judging it is left to the parser."""

from collections.abc import Mapping
from typing import Any

from ops.actions.inputs import InputField, describe

_TRUTHS = {"true": True, "false": False}


def as_data(kind: type, texts: Mapping[str, str]) -> dict[str, Any]:
    """A text for each field of `kind`. Left empty, an optional field is not sent; what does not read as its
    type stays text, and unknown names stay in, so that the parser names them."""
    known = {field.name: field for field in describe(kind)}
    return {
        name: _value(known.get(name), text)
        for name, text in texts.items()
        if text or name not in known or known[name].required
    }


def _value(field: InputField | None, text: str) -> Any:
    if field is None:
        return text
    if field.kind is bool:
        return _TRUTHS.get(text.lower(), text)
    if field.kind is int:
        try:
            return int(text)
        except ValueError:
            return text
    return text
