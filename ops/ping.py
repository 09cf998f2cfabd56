"""Does the database answer, within a time? A server that hangs answers nobody, not even with an error, so the
question is put by a thread that may hang in our stead."""

import threading
import time
from concurrent.futures import Future

from django.db import Error, connection

TIMEOUT_SEC = 1.5

_lock = threading.Lock()
_asking: "Future[tuple[float, bool]] | None" = None


def round_trip(timeout_sec: float = TIMEOUT_SEC) -> tuple[float, bool]:
    """(milliseconds, whether it is a read-only replica). Whoever asks meanwhile shares the answer.

    Raises:
        TimeoutError: no answer in time.
        django.db.Error: refused.
    """
    global _asking
    with _lock:
        if _asking is None or _asking.done():
            _asking = Future()
            threading.Thread(target=_ask, args=(_asking,), name="database-ping", daemon=True).start()
        question = _asking
    return question.result(timeout_sec)


def answers() -> bool:
    try:
        round_trip()
    except (TimeoutError, Error):
        return False
    return True


def _ask(answer: "Future[tuple[float, bool]]") -> None:
    try:
        connection.ensure_connection()  # its time is the pool's, not the server's
        started = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            (read_only,) = cursor.fetchone()
        answer.set_result(((time.perf_counter() - started) * 1000, bool(read_only)))
    except Exception as error:  # handed to whoever asked
        answer.set_exception(error)
    finally:
        connection.close()
