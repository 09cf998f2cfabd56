"""What was too small to trade and is still there: its owner, or somebody, is called once (spec 4.6.5)."""

from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone

from ops.incidents.service import alarm
from trading import desk_config
from trading.domain.canonical import decimal_text as text
from trading.domain.execution_state import ExecutionState
from trading.execution.machine import leg_views
from trading.models import Execution

log = structlog.get_logger()


def tell_quietly() -> None:
    """`tell_old` for a loop: what goes wrong is logged, and the next look tries again."""
    try:
        tell_old()
    except Exception as error:  # one look must not end the loop
        log.warning("residual.look_lost", error=str(error))
    finally:
        connection.close()


def tell_old() -> int:
    """Raise `execution.residual` for every residual older than `residual_max_sec`. Returns how many."""
    age = timedelta(seconds=desk_config.active().trading.execution.residual_max_sec)
    held = Execution.objects.filter(state=ExecutionState.RESIDUAL_HELD, dry_run=False, residual_told=False)
    told = 0
    for key in held.values_list("pk", flat=True):
        with transaction.atomic(durable=True):
            execution = held.select_for_update().filter(pk=key).first()
            if execution is None or timezone.now() < execution.transitions.latest("pk").at + age:
                continue  # traded on meanwhile, or young
            execution.residual_told = True
            execution.save(update_fields=["residual_told"])
            _tell(execution)
            told += 1
    return told


def _tell(execution: Execution) -> None:
    long, short = (text(leg.open_qty) for leg in leg_views(execution))
    owner = execution.residual_owner.get_username() if execution.residual_owner else "nobody"
    what = (
        f"execution {execution.pk} on {execution.symbol}: long leg {long}, short leg {short}, owner {owner}"
    )
    alarm("execution.residual", f"execution.residual:{execution.pk}", what, {"owner": owner})
