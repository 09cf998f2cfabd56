"""Deliveries: written in the transaction of what they tell, sent by any process that finds them due.

A route that fails is tried again at 1, 2, 4, … s and holds up nobody else's. A delivery is claimed by moving
its `next_at` beyond the time that a try may take: whoever dies in the middle costs one such time.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone

from ops import config
from ops.models import Delivery, Incident
from ops.notifications.config import NotificationsConfig, Route
from ops.status import Reading, Status

log = structlog.get_logger()
SIDE_BY_SIDE = 4
#: One incident that says something new again and again tells a route at most so often.
QUIET = timedelta(minutes=5)

Send = Callable[[list[str], str, str, int], str]


def routes() -> dict[str, Route]:
    """None while no configuration is active yet: an alarm must not be lost for that."""
    try:
        return dict(config.active().section(NotificationsConfig).routes)
    except LookupError:
        return {}


def enqueue(incident: Incident, why: str) -> int:
    """In the caller's transaction: one delivery per route that wants this severity. Returns how many."""
    wanted = [name for name, route in routes().items() if incident.severity in route.severities]
    if why == "again":
        lately = Delivery.objects.filter(incident=incident, created_at__gt=timezone.now() - QUIET)
        wanted = [name for name in wanted if name not in set(lately.values_list("route", flat=True))]
    Delivery.objects.bulk_create(_of(incident, name, why) for name in wanted)
    return len(wanted)


def _of(incident: Incident, route: str, why: str) -> Delivery:
    title = f"{incident.severity} {incident.code}: {incident.source}"
    body = f"{incident.summary}\nincident {incident.pk}, opened {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    return Delivery(incident=incident, route=route, why=why, title=title[:200], body=body)


def test_send(route: str) -> Delivery:
    """A message that says that it is one; goes the same way as the others."""
    text = f"Test of route {route}, asked for at {timezone.now():%Y-%m-%d %H:%M:%S} UTC. Nothing is wrong."
    return Delivery.objects.create(route=route, why="test", title="Test message", body=text)


test_send.__test__ = False  # type: ignore[attr-defined] # not one of pytest's


def escalate() -> int:
    """A P0 that nobody has acknowledged goes to the next route, once. Returns how many."""
    told = 0
    for name, route in routes().items():
        if route.escalates_after_min is None:
            continue
        before = timezone.now() - timedelta(minutes=route.escalates_after_min)
        alone = Incident.objects.filter(
            severity=Incident.Severity.P0, state=Incident.State.OPEN, opened_at__lt=before
        )
        for incident in alone.exclude(deliveries__route=name, deliveries__why="escalated"):
            with transaction.atomic():
                _of(incident, name, "escalated").save()
            told += 1
    return told


class Sender:
    """Sends what is due, some at a time; one in each process that has nothing better to do (the breaker)."""

    def __init__(self, send: "Send | None" = None) -> None:
        self._send = send or by_apprise
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="notify")

    def look(self) -> int:
        """Claim and start everything due. Returns how many."""
        escalate()
        rules = config.active().section(NotificationsConfig)
        busy = timezone.now() + timedelta(seconds=2 * rules.timeout_sec)
        with transaction.atomic(durable=not connection.in_atomic_block):
            rows = Delivery.objects.select_for_update(skip_locked=True).filter(state=Delivery.State.DUE)
            due = list(rows.filter(next_at__lte=timezone.now()).order_by("next_at")[:50])
            Delivery.objects.filter(pk__in=[row.pk for row in due]).update(next_at=busy)
        for row in due:
            self._pool.submit(self._deliver, row, rules)
        return len(due)

    def _deliver(self, row: Delivery, rules: NotificationsConfig) -> None:
        try:
            self.deliver(row, rules)
        except Exception:  # one delivery is not the others
            log.exception("notification.lost", delivery=row.pk)
        finally:
            connection.close()

    def deliver(self, row: Delivery, rules: NotificationsConfig) -> None:
        """One try, written down."""
        route = rules.routes.get(row.route)
        urls = os.environ.get(route.env, "").split() if route else []
        row.attempts += 1
        if not urls:  # trying again would not help
            row.error = f"{route.env} is not set" if route else "no such route is configured"
            row.state = Delivery.State.FAILED
        elif row_error := self._send(urls, row.title, row.body, rules.timeout_sec):
            row.error = row_error[:300]
            row.next_at = timezone.now() + timedelta(seconds=2 ** (row.attempts - 1))
            if row.attempts >= rules.tries:
                row.state = Delivery.State.FAILED
                log.error("notification.failed", route=row.route, error=row.error)
        else:
            row.state, row.sent_at, row.error = Delivery.State.SENT, timezone.now(), ""
        row.save()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def reading() -> Reading:
    """Routes without an address, and what could not be delivered within the last hour."""
    silent = [name for name, route in routes().items() if not os.environ.get(route.env)]
    recent = Delivery.objects.filter(created_at__gt=timezone.now() - timedelta(hours=1))
    failed = recent.filter(state=Delivery.State.FAILED).exclude(route__in=silent).count()
    waiting = recent.filter(state=Delivery.State.DUE, attempts__gt=0).count()
    metrics = {"failed_last_hour": failed, "being_retried": waiting, "routes_without_address": len(silent)}
    links = ("/admin/ops/delivery/",)
    if failed:
        return Reading(Status.ERROR, f"{failed} messages could not be delivered", metrics, links=links)
    if waiting or silent:
        says = f"{waiting} being tried again; without an address: {', '.join(silent) or 'none'}"
        return Reading(Status.WARN, says, metrics, links=links)
    return Reading(Status.OK, f"{len(routes())} routes", metrics, links=links)


def by_apprise(urls: list[str], title: str, body: str, timeout_sec: int) -> str:
    """Through every URL. Returns what went wrong, never the URL itself: it holds the token."""
    import apprise

    failed = 0
    for url in urls:
        joined = f"{url}{'&' if '?' in url else '?'}cto={timeout_sec}&rto={timeout_sec}"
        channel = apprise.Apprise()
        if not channel.add(joined) or not channel.notify(body=body, title=title):
            failed += 1
    return f"{failed} of {len(urls)} channels failed" if failed else ""
