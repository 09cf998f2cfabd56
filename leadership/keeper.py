"""Keeps the lease: looks each second, takes it when it may, renews it, gives it away when asked.

A connection of its own, in autocommit: nothing else on it can hold a renewal up. Whatever goes wrong with the
database is a look that is lost; the lease then lapses by itself, and nobody opens under it.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from leadership import handover, services, store, terms
from leadership.domain.lease import Acquire, Renew, Seen, StepDown, Wait, decide

log = structlog.get_logger()
LOOK_SEC = 1.0
HEARTBEAT_FILE = "leader.hb"
_GONE = (psycopg.Error, DatabaseError)
#: Of the keeper's own connection. A statement waits at most half a look for a claimer's lock.
_TIMEOUTS = "-c statement_timeout=800 -c lock_timeout=500 -c timezone=UTC"


def connect() -> "psycopg.Connection[Any]":
    params = connection.get_connection_params()
    for ours in ("pool", "cursor_factory", "context", "prepare_threshold"):
        params.pop(ours, None)
    params |= {"options": _TIMEOUTS, "connect_timeout": 2, "tcp_user_timeout": 3_000}
    return psycopg.connect(**params, autocommit=True, application_name="leader-keeper")


class Keeper:
    """`look()` each second; `leading` is the fence it holds, None for a standby."""

    def __init__(self, connect: Callable[[], "psycopg.Connection[Any]"] = connect) -> None:
        self.leading: int | None = None
        self.seen: Seen | None = None
        self.waits_for = ""
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._recorded: int | None = None

    @property
    def me(self) -> str:
        return str(settings.INSTANCE)

    @property
    def _ttl(self) -> float | None:
        return None if services.leads_alone() else float(settings.ENV.leader_lock_ttl_sec)

    def look(self) -> None:
        """One look. Never raises: the next one tries again."""
        try:
            self._look()
        except psycopg.Error as error:
            log.warning("keeper.look_lost", error=str(error).splitlines()[0] if str(error) else repr(error))
            self._hang_up()
        except Exception:  # whatever it is, the lease must not be lost for it
            log.exception("keeper.look_failed")
        finally:
            connection.close()  # of what is written down through Django

    def _look(self) -> None:
        cursor = self._cursor()
        self.seen = seen = store.read(cursor)
        decision = decide(seen, self.me, leading=self.leading, stale_sec=settings.ENV.stale_sec)
        self.waits_for = decision.why if isinstance(decision, Wait) else ""
        match decision:
            case Acquire(how=how):
                self.leading = store.begin_term(
                    cursor, seen, me=self.me, host=services.host(), how=how, ttl_sec=self._ttl
                )
            case Renew(fence=fence):
                renewed = store.renew(cursor, fence, me=self.me, ttl_sec=self._ttl)
                self.leading = fence if renewed else None
            case StepDown(why=why):
                lost, self.leading = self.leading, None
                log.warning("leader.lost", fence=lost, why=why)
        if self.leading is not None:
            self._beat()
            self._write_down(self.leading)
            if seen.draining and seen.fence == self.leading:
                self._give_away(to_another=True)

    def _beat(self) -> None:
        """For people and for their scripts; nothing decides by it."""
        write_heartbeat(settings.ENV.data_dir, fencing_id=store.read(self._cursor()).fencing_id)

    def _write_down(self, fence: int) -> None:
        if self._recorded != fence and not services.leads_alone():
            terms.record(fence)
        self._recorded = fence

    def _give_away(self, *, to_another: bool, why: str = "released") -> bool:
        """When nothing of this term can reach a venue any more."""
        assert self.leading is not None
        if not handover.work().drained:
            return False
        freed = store.release(self._cursor(), self.leading, me=self.me, why=why, to_another=to_another)
        if freed:
            log.warning("leader.released", fence=self.leading)
            self.leading = None
        return freed

    def stop(self, *, grace_sec: float, tick: Callable[[], None] = lambda: None) -> str:
        """Told to end: open nothing more, let the others finish, give the lease back. Returns how it went.

        What is still open after `grace_sec` keeps its lease: it goes stale, and the next leader settles it.
        """
        if self.leading is None or services.leads_alone():
            return ""
        deadline = time.monotonic() + grace_sec
        with suppress(*_GONE):
            store.drain(self._cursor(), self.leading, me=self.me)
        while True:
            tick()
            left: object = "the database does not answer"
            with suppress(*_GONE):
                if not store.renew(self._cursor(), self.leading, me=self.me, ttl_sec=self._ttl):
                    return "the lease was lost meanwhile"
                left = work = handover.work()
                if work.done and self._give_away(to_another=False, why="stopped"):
                    return "released"
            if time.monotonic() > deadline:
                return f"left to go stale after {settings.ENV.stale_sec} s: {left}"
            time.sleep(0.2)

    def close(self) -> None:
        self._hang_up()

    def _cursor(self) -> "psycopg.Cursor[Any]":
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection.cursor()

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def write_heartbeat(data_dir: Path, *, fencing_id: str) -> None:
    """DATA_DIR/leader.hb, whole or not at all."""
    path = data_dir / HEARTBEAT_FILE
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        json.dump({"pid": os.getpid(), "fencing_id": fencing_id, "ts": time.time()}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
