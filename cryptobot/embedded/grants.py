"""Run deploy/grants.sql: what the application role may do, given by the owner after migrations."""

from pathlib import Path
from typing import Protocol

import psycopg

from cryptobot.embedded import paths

GRANTS = Path(__file__).resolve().parent.parent.parent / "deploy" / "grants.sql"


class Executes(Protocol):
    """A psycopg or a Django cursor."""

    def execute(self, query: str, /) -> object: ...


def grant(cursor: Executes) -> None:
    """Run the file with the rights of `cursor`, which must be the owner's."""
    cursor.execute(GRANTS.read_text())


def grant_embedded(data_dir: Path) -> None:
    """Run the file in the embedded database of `data_dir`."""
    url = paths.embedded_database_url(data_dir, role=paths.OWNER_ROLE)
    with psycopg.connect(url) as connection:
        connection.execute(GRANTS.read_bytes())
