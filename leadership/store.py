"""The lease row in SQL: each change is one compare-and-swap statement on the database's clock, judged by its
row count. `clock_timestamp()`, not `now()`: a statement that waited for a lock must not see the past.

`cursor` is the keeper's own autocommit connection, or Django's inside an action's transaction.
"""

import secrets
from typing import Any, Protocol

from leadership.domain.lease import Seen, State


class Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: Any, params: Any = None, /) -> Any: ...
    def fetchone(self) -> Any: ...


_SEEN = """
SELECT owner, fence, nonce, state, hb_seq,
       coalesce(extract(epoch FROM clock_timestamp() - renewed_at), 0)::float8,
       extract(epoch FROM expires_at - clock_timestamp())::float8,
       draining_at IS NOT NULL, released_by, host
  FROM leadership_lease WHERE id = 1
"""


def read(cursor: Cursor, *, hold: bool = False) -> Seen:
    """hold: until the transaction ends no other term begins; renewals pass. Raises LookupError."""
    cursor.execute(_SEEN + (" FOR KEY SHARE" if hold else ""))
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the lease row is gone: it is made by the migrations")
    owner, fence, nonce, state, *rest = row
    return Seen(owner, fence, nonce, State(state), *rest)


#: Fences that are written down elsewhere: a term may not begin at or below any of them, so that a lease row
#: restored from an old backup cannot issue one again. Scalar SQL; rooms above register their own.
_floors: list[str] = []


def register_floor(sql: str) -> None:
    """`sql`: a scalar subquery such as `SELECT max(fence) FROM ...`."""
    _floors.append(sql)


def _next_fence() -> str:
    floors = ["old.fence", "(SELECT coalesce(max(fence), 0) FROM leadership_term)"]
    floors += [f"coalesce(({sql}), 0)" for sql in _floors]
    return f"1 + greatest({', '.join(floors)})"


def begin_term(
    cursor: Cursor, seen: Seen, *, me: str, host: str, how: str, ttl_sec: float | None, why: str = ""
) -> int | None:
    """Take the lease that was `seen`. Returns the new fence, or None when it has changed since.

    ttl_sec: None where the lock is off: such a term does not lapse. The old term's end and the new one's
    beginning are written by the same statement.
    """
    sql = f"""
    WITH old AS (
        SELECT * FROM leadership_lease
         WHERE id = 1 AND fence = %(fence)s AND hb_seq = %(hb_seq)s AND state = %(state)s FOR UPDATE
    ), took AS (
        UPDATE leadership_lease l
           SET fence = {_next_fence()}, nonce = %(nonce)s, owner = %(me)s, host = %(host)s, state = 'HELD',
               hb_seq = l.hb_seq + 1, renewed_at = clock_timestamp(),
               expires_at = clock_timestamp() + %(ttl)s * interval '1 second',
               draining_at = NULL, released_by = ''
          FROM old WHERE l.id = old.id
        RETURNING l.fence, l.renewed_at
    ), ended AS (
        UPDATE leadership_term t
           SET ended_at = clock_timestamp(), last_hb_at = old.renewed_at, ended_why = %(why)s
          FROM old, took WHERE t.fence = old.fence AND t.ended_at IS NULL
    )
    INSERT INTO leadership_term (fence, nonce, owner, host, how, began_at, ended_why)
    SELECT fence, %(nonce)s, %(me)s, %(host)s, %(how)s, renewed_at, '' FROM took
    RETURNING fence
    """  # noqa: S608 (the floors are our own text)
    values = {
        "fence": seen.fence,
        "hb_seq": seen.hb_seq,
        "state": seen.state.value,
        "nonce": secrets.token_hex(4),
        "me": me,
        "host": host,
        "how": how,
        "ttl": ttl_sec,
        "why": why or f"taken by {me} ({how})",
    }
    cursor.execute(sql, values)
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def renew(cursor: Cursor, fence: int, *, me: str, ttl_sec: float | None) -> bool:
    """False: it lapsed, or is another's."""
    cursor.execute(
        """
        UPDATE leadership_lease
           SET renewed_at = clock_timestamp(), hb_seq = hb_seq + 1,
               expires_at = clock_timestamp() + %s * interval '1 second'
         WHERE id = 1 AND fence = %s AND owner = %s AND state = 'HELD'
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
        """,
        [ttl_sec, fence, me],
    )
    return cursor.rowcount == 1


def drain(cursor: Cursor, fence: int, *, me: str) -> bool:
    """From now on nothing opens under this term. It stays held until it is released."""
    cursor.execute(
        """
        UPDATE leadership_lease SET draining_at = coalesce(draining_at, clock_timestamp())
         WHERE id = 1 AND fence = %s AND owner = %s AND state = 'HELD'
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
        """,
        [fence, me],
    )
    return cursor.rowcount == 1


def release(cursor: Cursor, fence: int, *, me: str, why: str, to_another: bool) -> bool:
    """HELD to FREE. to_another: this instance does not take it back by itself."""
    cursor.execute(
        """
        WITH freed AS (
            UPDATE leadership_lease
               SET state = 'FREE', expires_at = clock_timestamp(), draining_at = NULL,
                   released_by = CASE WHEN %(to_another)s THEN owner ELSE '' END
             WHERE id = 1 AND fence = %(fence)s AND owner = %(me)s AND state = 'HELD'
               AND (expires_at IS NULL OR expires_at > clock_timestamp())
            RETURNING fence, renewed_at
        )
        UPDATE leadership_term t
           SET ended_at = clock_timestamp(), last_hb_at = freed.renewed_at, ended_why = %(why)s
          FROM freed WHERE t.fence = freed.fence
        """,
        {"to_another": to_another, "fence": fence, "me": me, "why": why[:160]},
    )
    return cursor.rowcount == 1


def unlock(cursor: Cursor, seen: Seen) -> bool:
    """What was held with the lock off becomes free: the lock is on now, and a keeper will take it."""
    cursor.execute(
        """
        UPDATE leadership_lease SET state = 'FREE', expires_at = clock_timestamp(), released_by = ''
         WHERE id = 1 AND fence = %s AND hb_seq = %s AND expires_at IS NULL
        """,
        [seen.fence, seen.hb_seq],
    )
    return cursor.rowcount == 1
