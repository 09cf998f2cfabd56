"""Who writes what actions own; and that frozen copies are copies."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cryptobot.env import BASE_DIR
from tests.architecture.test_contracts import APPS, sources
from trading.domain import execution_state, order_state

OWNED = {
    "ops": {
        "ApprovalPolicy",
        "ApprovalRequest",
        "AuditEntry",
        "AuditHead",
        "ConfigVersion",
        "Delivery",
        "DeskState",
        "Envelope",
        "HoldCause",
        "IdempotencyKey",
        "Incident",
        "IncidentEvent",
        "SealedSecret",
        "SecondFactor",
        "Token",
        "User",
        "Vote",
    },
    "trading": {
        "Attempt",
        "Execution",
        "ExecutionTransition",
        "Fill",
        "FlattenJob",
        "FundingPayment",
        "LedgerEntry",
        "LedgerLine",
        "Leg",
        "OrderIntent",
        "Position",
        "StreamState",
        "ReconciliationBreak",
        "ReconciliationState",
        "Transfer",
        "VenueBill",
    },
    "risk": {
        "CancelClaim",
        "DeskFigures",
        "EquityMark",
        "GateLock",
        "GuardState",
        "Reservation",
        "RiskLimit",
        "RiskOverride",
    },
    "leadership": {"Lease", "Term"},
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
#: Rows that hang on an owned one: who is in which role, and which role may do what.
LINKS = {"groups", "user_permissions", "permissions"}
LINK_WRITES = {"set", "add", "remove", "clear"}
#: Where writing is somebody's business, and why.
WRITERS = {
    "leadership/terms.py": "what follows from a change of leader, called by the keeper and by a takeover",
    "ops/actions/": "the actions and the runner",
    "ops/audit.py": "the log",
    "ops/desk.py": "desk state and causes, called by actions and by what must stop the desk",
    "ops/envelopes.py": "called by actions",
    "ops/incidents/service.py": "called by actions and by what raises an alarm",
    "ops/config/versions.py": "the first version of a fresh desk",
    "ops/roles.py": "what each role holds, by the owner's migrate",
    "ops/secrets_for.py": "called by actions; opened once by its reader, on record",
    "ops/second_factor.py": "readings of a factor: the last code used, failures",
    "cryptobot/demo_desk.py": "the first people of a paper desk",
    "trading/actions/": "the actions",
    "trading/execution/": "the workers",
    "trading/guards.py": "what a trip orders besides the HOLD: cancel, flatten",
    "trading/ledger/": "the books: called by the workers, the statement reader, actions",
    "trading/reconciliation/": "what was compared and what differs; a fill that the venue proves",
    "ops/notifications/service.py": "called by what raises an incident, and by who delivers",
    "risk/actions/": "the actions",
    "risk/figures.py": "what the desk is worth, called by the breaker",
    "risk/guards.py": "called by the breaker and by actions",
    "risk/reservations.py": "called by the gate's callers",
    "risk/runaway.py": "called by whoever cancels",
    "risk/services.py": "an override is used up by the gate itself",
}


def writes(tree: ast.AST) -> Iterator[int]:
    """Lines that write a row of an owned model: `Model.objects…update()`, `Model(…).save()`, `.save()` and
    the like on anything in a module that imports one, and `person.groups.add()`."""
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
        link = node.func.value.attr if isinstance(node.func.value, ast.Attribute) else ""
        if link in LINKS and node.func.attr in LINK_WRITES:
            yield node.lineno
        if node.func.attr not in WRITES:
            continue
        names = {n.id for n in ast.walk(node.func) if isinstance(n, ast.Name)}
        attributes = {n.attr for n in ast.walk(node.func) if isinstance(n, ast.Attribute)}
        texts = {n.value for n in ast.walk(node.func) if isinstance(n, ast.Constant)}
        by_model = bool((names | attributes | texts) & NAMES)
        by_name = (
            node.func.attr in {"update", "aupdate"} and node.keywords and not node.args
        )  # no dict's update
        by_instance = bool(imported) and (by_name or node.func.attr in {"save", "delete", "asave", "adelete"})
        if by_model or by_instance:
            yield node.lineno


def offenders(root: Path, *folders: str) -> list[str]:
    found = []
    for folder in folders:
        for path in (root / folder).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if not name.startswith(tuple(WRITERS)) and "/migrations/" not in name:
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
        "person.groups.add(admins)",
        "rows = DeskState.objects.all(); rows.update(mode='RUN')",
    ],
)
def test_the_scan_sees_a_write(tmp_path: Path, line: str) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "views.py").write_text(f"from ops.models import DeskState\n{line}\n")
    assert offenders(tmp_path, "ops") == ["ops/views.py:2"]


def test_every_owned_model_exists_and_none_is_forgotten() -> None:
    """A new table of these apps is either owned by actions or named here as a reading or a setting."""
    from django.apps import apps

    others = {"ProcessHeartbeat", "ScheduleClaim", "Preflight", "Venue"}
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
    frozen = (
        import_module("trading.migrations.0002_controls"),
        import_module("trading.migrations.0003_rescue"),
    )
    orders = {f"{before}>{after}" for before, to in order_state.LEGAL.items() for after in to}
    executions = {f"{before}>{after}" for before, to in execution_state.LEGAL.items() for after in to}
    assert set(frozen[0].ORDER_MOVES) == orders
    assert set(frozen[1].EXECUTION_MOVES) == executions


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


def test_no_exemption_is_left_over() -> None:
    idle = [w for w in WRITERS if not any(list(writes(ast.parse(p.read_text()))) for p in _files(w))]
    assert idle == []


def _files(place: str) -> list[Path]:
    return list((BASE_DIR / place).rglob("*.py")) if place.endswith("/") else [BASE_DIR / place]


def test_every_control_table_has_an_owner() -> None:
    """What the database wants to see in the audit log, and what only actions write, are the same tables."""
    from django.apps import apps

    control = {table for table, _, _ in import_module("ops.migrations.0002_controls").CONTROL_TABLES}
    owned = {apps.get_model(app, name)._meta.db_table: name for app, names in OWNED.items() for name in names}
    links = {"ops_user_groups", "ops_user_user_permissions"}  # of a User
    roles = {"auth_group", "auth_group_permissions"}  # ops.roles, and grants
    guardian = {
        "guardian_userobjectpermission",
        "guardian_groupobjectpermission",
    }  # actions, by guardian's names
    assert control - owned.keys() - links - roles - guardian == set()
    # Owned, and not a control table: append-only, empty of authority, or of the machine.
    assert {owned[table] for table in owned.keys() - control if table.startswith("ops_")} == {
        "AuditEntry",
        "AuditHead",
        "Delivery",
        "IdempotencyKey",
        "IncidentEvent",
        "SealedSecret",
    }


# --- actions, permissions, roles -----------------------------------------------------


def test_every_action_has_a_permission_a_role_and_a_test() -> None:
    from ops import roles
    from ops.actions import registry

    asked = set().union(*roles.REQUESTS.values())
    texts = {path: path.read_text() for path in sources("tests") if path.name != "test_faces.py"}
    for action in registry.all_actions():
        assert action.permission == action.name
        assert action.name in asked, f"no role may ask for {action.name}"
        named = [path.name for path, text in texts.items() if f'"{action.name}"' in text]
        assert named, f"no test of {action.name} (tests/integration/ops/test_faces.py aside)"


def test_roles_name_actions_that_there_are() -> None:
    from ops import roles
    from ops.actions import registry

    named = set().union(*roles.REQUESTS.values(), *roles.APPROVES.values())
    assert named - {action.name for action in registry.all_actions()} == set()
    assert set(roles.APPROVES) <= set(roles.REQUESTS)


def can_need_approval(action: Any) -> bool:
    from ops.actions.base import Action, Danger

    return action.danger is Danger.INCREASES or type(action).risk is not Action.risk


def test_what_may_need_approval_can_be_approved_and_nothing_else() -> None:
    from ops import roles
    from ops.actions import registry

    approvable = set().union(*roles.APPROVES.values())
    asking = {action.name for action in registry.all_actions() if can_need_approval(action)}
    assert asking - approvable == set(), "nobody could approve these"
    known = {action.name for action in registry.all_actions()}
    assert approvable & known - asking == set(), "these never ask"


@pytest.mark.django_db
def test_every_permission_is_of_an_action_or_of_looking() -> None:
    """Django's own add, change and delete are in no role, and open no page (admin_base)."""
    from django.contrib.auth.models import Group, Permission

    from ops.actions import registry

    ours = {
        name.split(".")[1]
        for action in registry.all_actions()
        for name in (action.permission, action.approve_permission)
    }
    held = set(Permission.objects.filter(group__in=Group.objects.all()).values_list("codename", flat=True))
    assert {name for name in held if not name.startswith("view_")} <= ours
    stock = ("view_", "add_", "change_", "delete_")
    there = set(Permission.objects.values_list("codename", flat=True))
    assert {name for name in there if not name.startswith(stock)} - ours == set()


# --- faces ---------------------------------------------------------------------------

FACES = ("ops/api", "ops/management", "trading/api", "trading/management")
FACE_FILES = (
    "ops/admin.py",
    "ops/admin_base.py",
    "ops/admin_site.py",
    "ops/admin_views.py",
    "trading/admin.py",
)
LONGEST_ADAPTER = 50


def faces() -> Iterator[tuple[str, ast.Module]]:
    for path in [*sources(*FACES), *(BASE_DIR / name for name in FACE_FILES)]:
        yield path.relative_to(BASE_DIR).as_posix(), ast.parse(path.read_text())


def test_faces_write_no_rows_at_all() -> None:
    """Not even those that no action owns; but for the journal of what was previewed."""
    from django.apps import apps

    every = {model.__name__ for model in apps.get_models()} - {"Preflight"}
    found = []
    for name, tree in faces():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in WRITES
            ):
                words = {n.id for n in ast.walk(node.func) if isinstance(n, ast.Name)}
                if words & every:
                    found.append(f"{name}:{node.lineno}")
    assert [f for f in found if f.split(":")[0] not in WRITERS] == []


def test_an_adapter_is_short() -> None:
    for name, tree in faces():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                assert lines <= LONGEST_ADAPTER, f"{name}: {node.name} has {lines} lines"


#: What may be posted without being an action: coming and going, one's own sealed secret, asking for a price,
#: taking the log out (a POST because that is on record).
NOT_ACTIONS = {"AuditExportView", "LoginView", "LogoutView", "PreviewView", "SecretView"}
#: How a face reaches the frame. `answer(do(…))` is one of the approvals' verbs.
INTO_THE_FRAME = re.compile(r"\b(runner|approvals)\.|\bsubmit\(|\breturn answer\(do\(")


def test_every_view_that_is_posted_to_goes_through_the_frame() -> None:
    from django.urls import get_resolver

    posted, missing = set(), []
    for view in _views(get_resolver().url_patterns):
        handler = getattr(view, "post", None)
        if handler is None or not view.__module__.startswith(APPS):
            continue
        posted.add(view.__name__)
        if view.__name__ not in NOT_ACTIONS and not INTO_THE_FRAME.search(inspect.getsource(handler)):
            missing.append(view.__name__)
    assert missing == []
    assert posted >= NOT_ACTIONS | {
        "ActionView",
        "AnyActionView",
        "ApprovalsView",
        "VoteView",
        "RequestVerbView",
    }


def _views(patterns: list[Any]) -> Iterator[Any]:
    for entry in patterns:
        if hasattr(entry, "url_patterns"):
            yield from _views(entry.url_patterns)
        elif (view := getattr(entry.callback, "cls", None)) is not None:
            yield view
