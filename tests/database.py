"""Roles in tests. The session is a superuser's that took a role; production logs in as that role."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from django.conf import settings
from django.db import connection, transaction

from cryptobot.embedded import paths
from cryptobot.embedded.grants import grant


class Blocker(Protocol):
    def unblock(self) -> AbstractContextManager[None]: ...


@contextmanager
def as_owner() -> Iterator[None]:
    """Raw SQL as the owner of the tables, in a transaction (or savepoint) of its own."""
    with _as(f"ROLE {paths.OWNER_ROLE}"):
        yield


@contextmanager
def as_superuser() -> Iterator[None]:
    """As `as_owner`, and may disable triggers: `SET LOCAL session_replication_role = replica`."""
    with _as("ROLE NONE"):
        yield


def tamper(sql: str) -> None:
    """As somebody who owns the whole database and goes round every trigger."""
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # TRUNCATE does not run with checks outstanding
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


@contextmanager
def _as(role: str) -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL {role}")
        yield
        with connection.cursor() as cursor:  # an error above rolls the SET back with the savepoint
            cursor.execute(f"SET LOCAL ROLE {paths.APP_ROLE}")


@contextmanager
def without_controls() -> Iterator[None]:
    """No trigger runs: to arrange what a test needs, never what it proves."""
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


def let_owner_create_databases(data_dir: Path) -> None:
    url = paths.embedded_database_url(data_dir, role=paths.SUPERUSER_ROLE)
    with psycopg.connect(url) as superuser:
        superuser.execute(f"ALTER ROLE {paths.OWNER_ROLE} CREATEDB".encode())


def become_application() -> None:
    """Grants, then every later connection of this process takes the application role."""
    with connection.cursor() as cursor:
        grant(cursor)
    _take_role(paths.OWNER_ROLE, paths.APP_ROLE)
    _flush_as_superuser()


def become_owner() -> None:
    _take_role(paths.APP_ROLE, paths.OWNER_ROLE)


def _take_role(old: str, new: str) -> None:
    options = connection.settings_dict["OPTIONS"]
    options["options"] = options["options"].replace(f"-c role={old}", f"-c role={new}")
    connection.close()


def _flush_as_superuser() -> None:
    """`transaction=True` tests end with TRUNCATE, which append-only triggers and grants rightly refuse."""
    flush = connection.ops.execute_sql_flush
    rights = ["SET LOCAL ROLE NONE", "SET LOCAL session_replication_role = replica"]

    def execute_sql_flush(statements: Sequence[str]) -> None:
        flush([*rights, *statements] if statements else statements)
        Path(settings.AUDIT_HEADS).unlink(missing_ok=True)  # of the log that is gone

    connection.ops.execute_sql_flush = execute_sql_flush  # type: ignore[method-assign, assignment]
    _keep_what_only_the_owner_writes()


def _keep_what_only_the_owner_writes() -> None:
    """Roles and permissions are synced by the owner's migrate; nobody could make them again after a flush."""
    names = connection.introspection.django_table_names
    kept = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}

    def django_table_names(*args: Any, **options: Any) -> list[str]:
        return [name for name in names(*args, **options) if name not in kept]

    connection.introspection.django_table_names = django_table_names  # type: ignore[method-assign]
