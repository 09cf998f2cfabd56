"""YAML to typed sections, strictly: each error has line, column, path, what was found, what is accepted."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

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
        return f"line {self.line}, column {self.column}: {self.path}: {self.problem} (found {self.found})"


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
            sections[model] = model.model_validate(_plain(document[name]))
        except ValidationError as invalid:
            errors += [_error(document, (name, *fault["loc"]), fault["msg"]) for fault in invalid.errors()]
    if errors:
        raise BadConfig(errors)
    return LoadedConfig(version, hashlib.sha256(text.encode()).hexdigest(), sections)


def _read(text: str) -> CommentedMap:
    """YAML 1.2, duplicate keys refused, positions kept."""
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = (broken.problem or broken.context or "not YAML").split("\n")[0]
        raise BadConfig([ConfigError(line, column, "", "", problem)]) from None
    if not isinstance(document, CommentedMap):
        raise BadConfig([ConfigError(1, 1, "", type(document).__name__, "a mapping of sections is needed")])
    return document


def _plain(node: Any) -> Any:
    """Numbers as their own text: a YAML fraction must reach Decimal without passing through a float."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, float):
        return repr(float(node))
    return node


def _error(document: CommentedMap, path: tuple[Any, ...], problem: str) -> ConfigError:
    """Position of the deepest part of `path` that the document has."""
    node: Any = document
    line, column = 0, 0
    for step in path:
        try:
            position = node.lc.value(step) if isinstance(node, CommentedSeq) else node.lc.key(step)
            node = node[step]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
        line, column = position
    found = type(node).__name__ if isinstance(node, CommentedMap | CommentedSeq) else repr(node)
    return ConfigError(
        line + 1, column + 1, ".".join(map(str, path)), found, problem.removeprefix("Value error, ")
    )
