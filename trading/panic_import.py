"""What was done by `manage.py panic` while the desk could not write it down, taken over at the next start."""

import structlog
from django.conf import settings
from django.db import transaction

from ops import audit, desk
from trading import panic

log = structlog.get_logger()


def take_over() -> None:
    """Every line into the audit log, the desk in HOLD, an incident; then the file is set aside. Idempotent: a
    start that dies in between begins again."""
    path = settings.ENV.data_dir / panic.LOG
    if not path.exists():
        return
    lines = list(panic.read(path, settings.AUDIT_HMAC_KEY))
    broken = sum(not line.holds for line in lines)
    why = f"panic was used: {len(lines)} lines" + (f", {broken} of them do not hold" if broken else "")
    with transaction.atomic(durable=True):
        for line in lines:
            what = str(line.row.get("what", ""))
            verdict = "imported" if line.holds else "seal broken"
            audit.append_system(action="trading.panic", target=what[:80], verdict=verdict, after=line.row)
        desk.raise_hold(source="panic", reason=why, alarm="desk.panic")
    path.rename(
        path.with_suffix(f".{lines[0].row.get('at', 'old') if lines else 'empty'}.log".replace(":", ""))
    )
    log.warning("panic.taken_over", lines=len(lines), broken=broken)
