"""The scheduler of `celery beat`: what another instance has sent in this period is left out."""

from typing import Any

import structlog
from celery.beat import PersistentScheduler
from django.db import DatabaseError, connection

from ops import schedule

log = structlog.get_logger()


class ClaimingScheduler(PersistentScheduler):
    """Whatever is not sent now, for want of a database, is sent in the next period."""

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            mine = schedule.claim(entry.name, entry.schedule.run_every.total_seconds())
        except DatabaseError as error:
            log.warning("beat.not_claimed", entry=entry.name, error=str(error))
            return None
        finally:
            connection.close()
        return super().apply_async(entry, *args, **kwargs) if mine else None
