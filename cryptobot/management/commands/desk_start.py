from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from cryptobot.demo_desk import make_demo_desk
from leadership import handover, services
from leadership.domain.lease import timing_problem
from ops import desk

# What must be true before the first process of a desk starts: callables without arguments, in order.
STEPS = (
    "ops.config.ensure_first_version",
    "cryptobot.management.commands.desk_start.join",
    "cryptobot.management.commands.desk_start.hold",
    "trading.services.venues.sync_venues",
    "trading.panic_import.take_over",
)


def join() -> None:
    """Timings that would let two terms trade side by side stop the start; so does a leader without a lock."""
    env = settings.ENV
    if env.feature_leader_lock:
        problem = timing_problem(
            ttl_sec=env.leader_lock_ttl_sec,
            stale_sec=env.stale_sec,
            window_sec=handover.window_sec(),
            offset_sec=handover.offset_sec(),
            margin_sec=services.MARGIN_SEC,
        )
        if problem:
            raise CommandError(problem)
    try:
        services.join()
    except services.NotOursError as refused:
        raise CommandError(str(refused)) from None


def hold() -> None:
    """A desk starts in HOLD. One that another instance leads is not touched by a standby's start."""
    if not services.somebody_else_leads():
        desk.desk_started()


class Command(BaseCommand):
    help = "Bring a desk to its starting state (HOLD) before its processes start. Idempotent."

    def handle(self, *args: Any, **options: Any) -> None:
        for step in STEPS:
            import_string(step)()
        make_demo_desk(settings.ENV)
        call_command("collectstatic", interactive=False, verbosity=0)
