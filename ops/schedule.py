"""Beat runs on every instance; each line of its table is sent once in its period, by compare-and-swap."""

from django.conf import settings
from django.db import connection

#: A beat that is a little early must not lose its turn to its own last one.
SLACK = 0.5


def claim(name: str, period_sec: float) -> bool:
    """Whether this instance sends it now, on the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ops_scheduleclaim AS last (name, instance, sent_at)
            VALUES (%(name)s, %(instance)s, clock_timestamp())
            ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, sent_at = excluded.sent_at
             WHERE last.sent_at < clock_timestamp() - %(period)s * interval '1 second'
            """,
            {"name": name, "instance": settings.INSTANCE, "period": period_sec * SLACK},
        )
        return bool(cursor.rowcount)
