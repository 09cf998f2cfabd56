"""The plan id: a signed, expiring statement of a priced plan. Preview stores nothing; it hands out this.

Whoever sends it back proves that the desk priced exactly this, recently. It carries what an approval may bind
(pair, direction, bounds, style) and the plan's own identity, so that a plan is executed at most once.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core import signing

from ops.actions.base import Refusal
from trading.domain.canonical import decode, encode

SALT = "trading.plan"


class PlanRefused(Refusal):
    """The plan id is not ours, was altered, or is too old."""


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What executing a plan needs to know to price it again. Amounts in USDT per leg and bps."""

    uid: str
    symbol: str
    long_venue: str
    short_venue: str
    notional: Decimal
    max_slippage_bps: Decimal
    min_edge_bps: Decimal
    tif: str
    post_only: bool
    digest: str

    @property
    def uuid(self) -> UUID:
        return UUID(self.uid)


def seal(terms: PlanTerms) -> str:
    return signing.dumps(encode(terms), salt=SALT, compress=True)


def unseal(plan_id: str, *, max_age: timedelta) -> PlanTerms:
    """The terms inside.

    Raises:
        PlanRefused: `plan.expired` (409) or `plan.invalid` (422).
    """
    try:
        data: Any = signing.loads(plan_id, salt=SALT, max_age=max_age)
        return decode(PlanTerms, data)
    except signing.SignatureExpired:
        raise PlanRefused(
            "plan.expired",
            f"the plan is older than {max_age.total_seconds():.0f} s: preview again",
            status=409,
        ) from None
    except (signing.BadSignature, ValueError):
        raise PlanRefused(
            "plan.invalid", "plan_id was not issued by this desk or was altered: preview again", status=422
        ) from None
