import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db.models.functions import Now

from ops import checklist, context
from ops.actions import approvals
from ops.actions.base import Refusal
from ops.models import ApprovalRequest

WAIT_SEC = 60  # venues, books and workers of a desk that has just started


class Command(BaseCommand):
    help = "Take up the ops.launch that was approved for this start. Without SAFE_MODE=false it does nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Always ends well: a desk that may not launch runs on in HOLD and SAFE_MODE, and says why."""
        if settings.ENV.safe_mode:
            return
        context.begin()
        request = _waiting()
        if request is None:
            self.stdout.write("SAFE_MODE=false: no approved ops.launch waits for this start; it stays on")
            return
        missing = _wait_until_ready()
        if missing:
            self.stdout.write(f"SAFE_MODE=false: not ready to launch: {', '.join(missing)}")
            return
        try:
            approvals.apply_at_start(request.pk)
        except Refusal as no:
            self.stdout.write(f"SAFE_MODE=false: the launch is refused: {no.code}: {no.detail}")
            return
        self.stdout.write(f"launched: RUN, SAFE_MODE off, approved as {request.pk}")


def _waiting() -> ApprovalRequest | None:
    return ApprovalRequest.objects.filter(
        action="ops.launch",
        policy__survives_start=True,
        state=ApprovalRequest.State.APPROVED,
        execution_state=ApprovalRequest.ExecutionState.NOT_RUN,
        expires_at__gt=Now(),
    ).first()


def _wait_until_ready() -> list[str]:
    """Names of the checklist's lines that stayed red."""
    deadline = time.monotonic() + WAIT_SEC
    while True:
        red = [line["name"] for line in checklist.evaluate(checklist.prepare()) if not line["ok"]]
        if not red or time.monotonic() > deadline:
            return red
        time.sleep(1)
