"""How long an execution took, from its rows: the times of spec 4.6.10, and which of them broke their bound.

Not measured beside the work but read out of what was written down: no sample is lost with a process.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from trading.config import ExecutionConfig
from trading.models import Execution, OrderIntent

MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds; None where it has not come to that.

    send: decision (the row) → first order sent. ack: the slowest order, sent → acknowledged. skew: between
    the two opening orders' sending. hedge: first fill of one leg → acknowledgement of the order that hedges
    it. naked: how long the two open quantities differed, in all.
    """

    send_ms: int | None
    ack_ms: int | None
    skew_ms: int | None
    hedge_ms: int | None
    naked_ms: int

    def as_dict(self) -> dict[str, int | None]:
        return asdict(self)


def of(execution: Execution) -> Times:
    orders = [o for o in _orders(execution) if o.sent_at is not None]
    opening = [min(mine, key=_sent) for mine in _by_leg(orders)]
    acks = [o.acked_at - _sent(o) for o in orders if o.acked_at is not None]
    return Times(
        send_ms=_ms(min(map(_sent, orders)) - execution.created_at) if orders else None,
        ack_ms=_ms(max(acks)) if acks else None,
        skew_ms=_ms(abs(_sent(opening[0]) - _sent(opening[1]))) if len(opening) == 2 else None,
        hedge_ms=_hedge(opening),
        naked_ms=execution.naked_ms,
    )


def broken(times: Times, config: ExecutionConfig) -> Iterator[tuple[str, int, int]]:
    """(which, took, allowed) of every time over its bound in the configuration."""
    bounds = {"send_ms": config.slo_send_ms, "hedge_ms": config.slo_hedge_ms, "naked_ms": config.slo_naked_ms}
    for name, allowed in bounds.items():
        took = getattr(times, name)
        if took is not None and took > allowed:
            yield name, took, allowed


def _orders(execution: Execution) -> list[OrderIntent]:
    return list(OrderIntent.objects.filter(leg__execution=execution).exclude(purpose="forced").order_by("id"))


def _by_leg(orders: list[OrderIntent]) -> list[list[OrderIntent]]:
    legs: dict[int, list[OrderIntent]] = {}
    for order in orders:
        legs.setdefault(order.leg_id, []).append(order)
    return list(legs.values())


def _hedge(opening: list[OrderIntent]) -> int | None:
    """The later of the two acknowledgements after the earlier: from there on both legs are known."""
    heard = sorted(o.acked_at for o in opening if o.acked_at is not None and o.filled)
    return _ms(heard[1] - heard[0]) if len(heard) == 2 else None


def _sent(order: OrderIntent) -> datetime:
    assert order.sent_at is not None
    return order.sent_at


def _ms(took: timedelta) -> int:
    return round(took / MS)
