"""The risk part of `configs/config.<profile>.yaml`: the desk's own caps, and what guards judge by.

Each cap is required: no limit set, no order (FIA 2024 §1.1). Limits of other levels, and lower ones of the
desk's, are rows that `risk.set_limit` writes.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Usdt = Annotated[Decimal, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Bps = Annotated[Decimal, Field(ge=0, le=10_000)]


class Caps(BaseModel):
    """The largest figures that pass, over the whole desk. Names are those of `risk.domain.gate.CAPS`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_order_notional_usdt: Usdt
    max_delta_usdt: Usdt
    max_leverage: Annotated[Decimal, Field(ge=0, le=100)]
    max_daily_loss_usdt: Usdt
    max_orders_per_min: Count
    max_cancels_per_min: Count
    max_collar_bps: Bps
    max_collar_bps_per_min: Annotated[Decimal, Field(ge=0)]
    max_edge_bps: Bps
    max_repeats_per_hour: Count
    max_alike_per_min: Count
    max_stress_loss_usdt: Usdt


class GuardConfig(BaseModel):
    """Where guards trip. rate_*: parts of `weights`, the venues' request weights by window. *_distance: from
    the mark price to the nearest liquidation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runaway_orders_per_min: Count
    runaway_cancels_per_min: Count
    runaway_rescues_per_min: Count
    max_cancels_per_min: Count
    max_fill_mismatch_ratio: Annotated[Decimal, Field(ge=0, le=1)]
    runaway_cooldown_sec: Annotated[int, Field(ge=1, le=86_400)]
    disconnect_max_sec: Annotated[int, Field(ge=1, le=3_600)]
    gap_heal_sec: Annotated[int, Field(ge=1, le=600)]
    clock_skew_guard_ms: Annotated[int, Field(ge=1, le=60_000)]
    rate_warn: Annotated[Decimal, Field(gt=0, le=1)]
    rate_hold: Annotated[Decimal, Field(gt=0, le=1)]
    weights: dict[str, Annotated[int, Field(gt=0)]]
    flatten_on_breach: bool
    margin_warn_distance: Annotated[Decimal, Field(gt=0, lt=1)]
    margin_hold_distance: Annotated[Decimal, Field(gt=0, lt=1)]


class RiskConfig(BaseModel):
    """max_total_notional_usdt: gross over both legs of every pair, at mark, reservations included.
    max_open_positions: instruments with a net or a working opening order; a pair is two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_total_notional_usdt: Usdt
    max_open_positions: Count
    caps: Caps
    guards: GuardConfig
    #: The jump of one instrument alone that the stress figure supposes.
    stress_gap_bps: Bps
    #: Equity and daily loss older than this are not known.
    figures_max_age_sec: Annotated[int, Field(ge=1, le=3_600)]
