"""Every action by its name. Apps import their `actions` package when they are ready; that fills this."""

from typing import Any, TypeVar

from ops.actions.base import Action, Refusal

ActionT = TypeVar("ActionT", bound=type[Action[Any]])
_actions: dict[str, Action[Any]] = {}


def register(cls: ActionT) -> ActionT:
    if cls.name in _actions and type(_actions[cls.name]) is not cls:
        raise ValueError(f"two actions are called {cls.name}")
    _actions[cls.name] = cls()
    return cls


def get(name: str) -> Action[Any]:
    """Raises Refusal `action.unknown` (404)."""
    try:
        return _actions[name]
    except KeyError:
        raise Refusal("action.unknown", f"no action is called {name!r}", status=404) from None


def knows(name: str) -> bool:
    return name in _actions


def all_actions() -> list[Action[Any]]:
    return [_actions[name] for name in sorted(_actions)]
