"""Who writes what actions own; and that frozen copies are copies."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from cryptobot.env import BASE_DIR
from tests.architecture.test_contracts import APPS, sources
from trading.domain import execution_state, order_state

OWNED = {
    "ops": {
        "ApprovalRequest",
        "AuditEntry",
        "AuditHead",
        "ConfigVersion",
        "DeskState",
        "HoldCause",
        "Vote",
    },
    "trading": {
        "Attempt",
        "Execution",
        "ExecutionTransition",
        "Fill",
        "FlattenJob",
        "Leg",
        "OrderIntent",
        "Position",
    },
    "risk": {"GateLock", "Reservation"},
    "leadership": {"Lease"},
}
NAMES = {name for names in OWNED.values() for name in names}
WRITES = {
    "bulk_create",
    "bulk_update",
    "create",
    "delete",
    "get_or_create",
    "save",
    "update",
    "update_or_create",
    "asave",
    "acreate",
    "aupdate",
    "adelete",
}
#: Where writing is somebody's business: the actions, the services they call, the workers.
WRITERS = (
    "ops/actions/",
    "ops/audit.py",
    "ops/desk.py",
    "ops/config/versions.py",
    "trading/actions/",
    "trading/execution/",
    "risk/reservations.py",
)


def writes(tree: ast.AST) -> Iterator[int]:
    """Lines that write a row of an owned model: `Model.objects…update()`, `Model(…).save()`, or `.save()` and
    the like on anything in a module that imports one."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".models")
        for alias in node.names
        if alias.name in NAMES
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in WRITES:
            continue
        names = {n.id for n in ast.walk(node.func) if isinstance(n, ast.Name)}
        attributes = {n.attr for n in ast.walk(node.func) if isinstance(n, ast.Attribute)}
        texts = {n.value for n in ast.walk(node.func) if isinstance(n, ast.Constant)}
        by_model = bool((names | attributes | texts) & NAMES)
        by_instance = bool(imported) and node.func.attr in {"save", "delete", "asave", "adelete"}
        if by_model or by_instance:
            yield node.lineno


def offenders(root: Path, *folders: str) -> list[str]:
    found = []
    for folder in folders:
        for path in (root / folder).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if not name.startswith(WRITERS) and "/migrations/" not in name:
                found += [f"{name}:{line}" for line in writes(ast.parse(path.read_text()))]
    return found


# Rows that must always be there, made after every migrate and by nobody else (spec 7.3).
BIRTHS = {"ops/apps.py", "risk/apps.py", "leadership/apps.py"}


def test_only_actions_and_their_services_write_what_actions_own() -> None:
    assert [o for o in offenders(BASE_DIR, *APPS) if o.split(":")[0] not in BIRTHS] == []


@pytest.mark.parametrize(
    "line",
    [
        "DeskState.objects.filter(pk=1).update(mode='RUN')",
        "models.ApprovalRequest.objects.create()",
        "Vote(approver=me).save()",
        "state = DeskState.objects.get(); state.save()",
        "apps.get_model('ops', 'HoldCause').objects.all().delete()",
        "OrderIntent.objects.bulk_create([])",
    ],
)
def test_the_scan_sees_a_write(tmp_path: Path, line: str) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "views.py").write_text(f"from ops.models import DeskState\n{line}\n")
    assert offenders(tmp_path, "ops") == ["ops/views.py:2"]


def test_every_owned_model_exists_and_none_is_forgotten() -> None:
    """A new table of these apps is either owned by actions or named here as a reading or a setting."""
    from django.apps import apps

    others = {"User", "ProcessHeartbeat", "Preflight", "Venue"}
    for app, names in OWNED.items():
        found = {model.__name__ for model in apps.get_app_config(app).get_models()}
        assert names <= found
        assert found - names <= others, f"who owns {found - names - others}?"


def test_faces_do_not_ask_django_for_permissions() -> None:
    """`has_perm` is right for one kind of holder only: `ops.access` asks for both (facts/stack.md)."""
    askers = {
        path.relative_to(BASE_DIR).as_posix()
        for path in sources(*APPS)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"has_perm", "has_perms"}
    }
    assert askers == {"ops/access.py"}


def test_frozen_moves_are_those_of_the_domain() -> None:
    frozen = import_module("trading.migrations.0002_controls")
    orders = {f"{before}>{after}" for before, to in order_state.LEGAL.items() for after in to}
    executions = {f"{before}>{after}" for before, to in execution_state.LEGAL.items() for after in to}
    assert set(frozen.ORDER_MOVES) == orders
    assert set(frozen.EXECUTION_MOVES) == executions


def test_every_action_says_enough_for_every_face() -> None:
    from ops.actions import registry
    from ops.actions.base import Danger
    from ops.actions.inputs import describe

    for action in registry.all_actions():
        assert action.title, action.name
        assert action.help.endswith("."), action.name
        assert action.danger in Danger
        assert all(field.help for field in describe(action.Input)), action.name
        if action.danger is Danger.REDUCES:
            assert not action.reason_required, (
                f"{action.name}: a stop asks for a reason, it does not require one"
            )
