"""YAML to typed sections, strictly: each error has line, column, path, what was found, what is accepted."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

SectionT = TypeVar("SectionT", bound=BaseModel)
_sections: dict[str, type[BaseModel]] = {}


def register_section(name: str, model: type[BaseModel]) -> None:
    _sections[name] = model


@dataclass(frozen=True, slots=True)
class ConfigError:
    line: int
    column: int
    path: str
    found: str
    problem: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: "
        path = f"{self.path}: " if self.path else ""
        return where + path + self.problem + (f" (found {self.found})" if self.found else "")


class BadConfig(Exception):
    """Everything that is wrong with a document."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """version 0: parsed, not stored."""

    version: int
    digest: str
    sections: Mapping[type[BaseModel], BaseModel]

    def section(self, model: type[SectionT]) -> SectionT:
        found = self.sections[model]
        assert isinstance(found, model)
        return found


def parse(text: str, *, version: int = 0) -> LoadedConfig:
    """Every registered section must be there, nothing else may be.

    Raises:
        BadConfig: with all errors of the document.
    """
    document = _read(text)
    errors = [
        _error(document, (name,), f"unknown section; accepted: {', '.join(sorted(_sections))}")
        for name in document
        if name not in _sections
    ]
    sections: dict[type[BaseModel], BaseModel] = {}
    for name, model in _sections.items():
        if name not in document:
            errors.append(ConfigError(1, 1, name, "nothing", "required section is missing"))
            continue
        try:
            sections[model] = _validated(model, _plain(document[name]))
        except ValidationError as invalid:
            errors += [_error(document, (name, *fault["loc"]), _problem(fault)) for fault in invalid.errors()]
    if errors:
        raise BadConfig(errors)
    return LoadedConfig(version, hashlib.sha256(text.encode()).hexdigest(), sections)


def _validated(model: type[SectionT], data: Any) -> SectionT:
    """Twice, because each mode forgives something: here a fraction is no text, there `true` and "8" are no
    number (strict) while a list may still be a tuple and a word an enum (JSON)."""
    model.model_validate(data)
    return model.model_validate_json(json.dumps(data, default=str), strict=True)


class _Constructor(RoundTripConstructor):
    """A fraction becomes a Decimal of its own digits: through a float, the 18th would be lost."""

    def construct_fraction(self, node: Any) -> Decimal:
        text = node.value.replace("_", "").lower()
        return Decimal(text.replace(".inf", "Infinity").replace(".nan", "NaN"))


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_fraction)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    return yaml


def _read(text: str) -> CommentedMap:
    """YAML 1.2; duplicate keys and aliases refused, positions kept."""
    try:
        for event in _yaml().parse(text):
            if isinstance(event, AliasEvent):  # an alias of aliases is a document of any size
                raise _at(event.start_mark, "aliases (*name) are not accepted: write the value out")
        document = _yaml().load(text)
    except MarkedYAMLError as broken:
        words = [text.strip().split("\n")[0] for text in (broken.context, broken.problem) if text]
        raise _at(broken.problem_mark or broken.context_mark, ", ".join(words)) from None
    except (YAMLError, ValueError) as broken:  # characters that YAML does not know, dates that never were
        raise _at(None, str(broken).strip().split("\n")[0]) from None
    if not isinstance(document, CommentedMap):
        raise BadConfig([ConfigError(1, 1, "", type(document).__name__, "a mapping of sections is needed")])
    return document


def _at(mark: Any, problem: str) -> BadConfig:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return BadConfig([ConfigError(line, column, "", "", problem)])


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    return node


def _problem(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] == "missing":
        return "required key is missing"
    return str(fault["msg"]).removeprefix("Value error, ")


def _error(document: CommentedMap, path: tuple[Any, ...], problem: str) -> ConfigError:
    """Position of the deepest part of `path` that the document has."""
    node: Any = document
    line, column = 0, 0
    found = ""
    for step in path:
        try:
            position = node.lc.item(step) if isinstance(node, CommentedSeq) else node.lc.key(step)
            node = node[step]
        except (KeyError, IndexError, TypeError, AttributeError):
            found = "nothing"
            break
        line, column = position
    return ConfigError(line + 1, column + 1, ".".join(map(str, path)), found or _found(node), problem)


def _found(node: Any) -> str:
    if isinstance(node, CommentedMap | CommentedSeq):
        return "a mapping" if isinstance(node, CommentedMap) else "a list"
    text = str(node) if isinstance(node, Decimal) else repr(node)
    return text if len(text) <= 80 else f"{text[:80]}…"
