"""The application role, as the tests and the desk have it: what it may and may not do."""

import pytest
from django.db import ProgrammingError, connection, transaction

from cryptobot.embedded import paths
from cryptobot.embedded.grants import GRANTS
from tests.database import as_owner, as_superuser


def query(text: str) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        row: tuple[object, ...] = cursor.fetchone()
        return row


@pytest.mark.django_db
def test_a_test_runs_as_the_application_on_tables_of_the_owner() -> None:
    assert query("SELECT current_user") == (paths.APP_ROLE,)
    owners = query("SELECT array_agg(DISTINCT tableowner::text) FROM pg_tables WHERE schemaname = 'public'")
    assert owners == ([paths.OWNER_ROLE],)
    with as_owner():
        assert query("SELECT current_user") == (paths.OWNER_ROLE,)
    assert query("SELECT current_user") == (paths.APP_ROLE,)


@pytest.mark.django_db
def test_rights_end_with_their_block_whatever_happens_in_it() -> None:
    def fail() -> None:
        assert query("SELECT current_user") == (paths.SUPERUSER_ROLE,)
        raise RuntimeError

    with pytest.raises(RuntimeError), as_superuser():
        fail()
    assert query("SELECT current_user") == (paths.APP_ROLE,)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n int)",
        "TRUNCATE django_session",
        "ALTER TABLE django_session ADD COLUMN mine int",
        "DELETE FROM django_migrations",
        "SET session_replication_role = replica",
    ],
)
def test_what_the_application_may_not_do(statement: str) -> None:
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.django_db
def test_journals_are_append_only_for_the_application() -> None:
    journals = [
        line.strip(" ',\n") for line in GRANTS.read_text().split("ARRAY[")[1].split("]")[0].splitlines()
    ]
    found = [
        name
        for name in journals
        if name and query(f"SELECT to_regclass('public.{name}') IS NOT NULL") == (True,)
    ]
    assert found
    for name in found:
        rights = query(
            f"SELECT array_agg(right_name) FROM unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE'])"
            f" AS right_name WHERE has_table_privilege('{name}', right_name)"
        )
        assert rights == (["SELECT", "INSERT"],), name


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_a_flush_goes_round_the_triggers_and_what_must_exist_is_made_again(turn: int) -> None:
    """Twice: the second turn sees the database that the first turn's flush left."""
    from django.contrib.auth.models import Permission

    assert Permission.objects.exists()
    assert query("SHOW session_replication_role") == ("origin",)
    assert query("SELECT current_user") == (paths.APP_ROLE,)
