"""Run deploy/grants.sql: what the application role may do, given by the owner after migrations."""

from pathlib import Path
from typing import Any, Protocol

from cryptobot.embedded.paths import APP_ROLE

GRANTS = Path(__file__).resolve().parent.parent.parent / "deploy" / "grants.sql"


class Executes(Protocol):
    """A Django cursor."""

    def execute(self, sql: str, params: Any = None, /) -> object: ...


def grant(cursor: Executes, *, app_role: str = APP_ROLE) -> None:
    """Run the file with the rights of `cursor`, which must be the owner's of all tables."""
    cursor.execute("SELECT set_config('cryptobot.app_role', %s, false)", [app_role])
    cursor.execute(GRANTS.read_text())
