"""The trading part of `configs/config.<profile>.yaml`: what a desk may decide without touching code.

Every value is enforced by something; unknown keys are errors (the loader names line and column).
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trading.domain.execution_state import Policy, Timing
from trading.venues.interface import CLIENT_TIMEOUT_MS

#: From the claim of an order to its last byte but one: what is later than this is not sent at all.
SEND_WITHIN = timedelta(seconds=1)

Bps = Annotated[Decimal, Field(ge=0, le=10_000)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
VenueName = Literal["binanceusdm", "okx", "bybit"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VenueConfig(Section):
    enabled: bool = True
    leverage: Annotated[int, Field(ge=1, le=125)]
    acceptance_window_ms: Annotated[int, Field(ge=1_000, le=60_000)] = Field(
        description="Longest time after sending in which the venue may still accept the request"
    )
    dead_man_sec: Annotated[int, Field(ge=10, le=120)] = Field(
        30, description="What rests is cancelled by the venue when nobody has told it otherwise for so long"
    )


class PairConfig(Section):
    name: Annotated[str, Field(pattern=r"^[A-Z0-9-]{2,20}$")]
    symbol: Annotated[str, Field(pattern=r"^[A-Z0-9]+/[A-Z0-9]+:[A-Z0-9]+$")]
    venues: Annotated[tuple[VenueName, VenueName], Field()]
    notional_usdt: Annotated[Decimal, Field(gt=0)]
    policy: Policy = Policy.SIMULTANEOUS
    hard_venue: VenueName | None = None

    @model_validator(mode="after")
    def _two_different_venues(self) -> Self:
        if self.venues[0] == self.venues[1]:
            raise ValueError("a pair needs two different venues")
        if self.policy is Policy.HARD_LEG_FIRST and self.hard_venue not in self.venues:
            raise ValueError("hard_leg_first needs hard_venue, one of the pair's venues")
        return self


class PreflightConfig(Section):
    max_book_age_ms: Milliseconds
    max_clock_skew_ms: Milliseconds
    facts_max_age_ms: Milliseconds
    min_edge_bps: Annotated[Decimal, Field(ge=-10_000, le=10_000)]
    max_plausible_edge_bps: Bps
    max_slippage_bps: Bps
    latency_allowance_bps: Bps
    expected_hold_minutes: Annotated[int, Field(ge=0, le=100_000)]
    exit_spread_fallback_bps: Annotated[Decimal, Field(ge=-10_000, le=10_000)]
    exit_spread_window_sec: Annotated[int, Field(ge=1)]
    exit_spread_min_samples: Annotated[int, Field(ge=1)]
    max_notional_usdt: Annotated[Decimal, Field(gt=0)]
    margin_buffer: Annotated[Decimal, Field(ge=0, le=10)]
    funding_quiet_sec: Annotated[int, Field(ge=0, le=3_600)]
    plan_ttl_ms: Milliseconds


class ExecutionConfig(Section):
    order_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]{2,3}$")]
    quote_ttl_ms: Milliseconds
    refresh_ms: Milliseconds
    unknown_refresh_ms: Milliseconds
    unknown_max_ms: Milliseconds
    resting_ttl_ms: Milliseconds
    repair_collar_bps: Bps
    flatten_max_bps: Bps
    naked_max_sec: Annotated[int, Field(ge=1, le=600)] = Field(
        10, description="How long a leg may be unhedged before a rescue only reverses and people are called"
    )
    residual_max_sec: Annotated[int, Field(ge=1, le=2_592_000)] = Field(
        86_400, description="How long what is too small to trade may be held before people are called"
    )
    rescue_max_loss_bps: Bps = Field(
        Decimal(20), description="Completing a missing leg may lose so much of its notional; else reverse"
    )
    slo_send_ms: Milliseconds = Field(2_000, description="Decision to first order sent; slower: incident")
    slo_hedge_ms: Milliseconds = Field(
        3_000, description="First fill to hedge acknowledged; slower: incident"
    )
    slo_naked_ms: Milliseconds = Field(10_000, description="Legs unequal in all; longer: incident")
    max_rounds: Annotated[int, Field(ge=1, le=50)]
    flatten_deadline_sec: Annotated[int, Field(ge=1, le=3_600)]

    def timing(self) -> Timing:
        def ms(value: int) -> timedelta:
            return timedelta(milliseconds=value)

        return Timing(
            quote_ttl=ms(self.quote_ttl_ms),
            # An order leaves within SEND_WITHIN of its claim or never, and the clients give up after
            # CLIENT_TIMEOUT_MS: later than both nobody can be sending any longer.
            send_timeout=ms(CLIENT_TIMEOUT_MS) + SEND_WITHIN,
            refresh=ms(self.refresh_ms),
            unknown_refresh=ms(self.unknown_refresh_ms),
            resting_ttl=ms(self.resting_ttl_ms),
            unknown_max=ms(self.unknown_max_ms),
            naked_max=timedelta(seconds=self.naked_max_sec),
            max_rounds=self.max_rounds,
        )


class PaperConfig(Section):
    """The paper venues' market. Read by the `paper_venues` command at its start; PAPER_MARKET is before
    `market`."""

    market: Annotated[str, Field(pattern=r"^(generator|recording:.+)$")] = "generator"
    seed: int = 1
    speed: Annotated[Decimal, Field(gt=0, le=100_000)] = Decimal(1)


class ReportsConfig(Section):
    """zone: where the desk's own day begins at midnight; an IANA name."""

    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, malformed, a directory
            raise ValueError(f"{name!r} is no time zone; accepted: IANA names, Europe/Berlin") from None
        return name


class ReconciliationConfig(Section):
    interval_sec: Annotated[int, Field(ge=1, le=3_600)] = 5
    money_interval_sec: Annotated[int, Field(ge=1, le=86_400)] = 60
    lookback_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    warn_after_sec: Annotated[int, Field(ge=0, le=3_600)] = 10
    hold_after_sec: Annotated[int, Field(ge=0, le=3_600)] = 60


class TradingConfig(Section):
    venues: dict[VenueName, VenueConfig]
    pairs: Annotated[tuple[PairConfig, ...], Field(min_length=1)]
    preflight: PreflightConfig
    execution: ExecutionConfig
    paper: PaperConfig = PaperConfig()
    reconciliation: ReconciliationConfig = ReconciliationConfig()
    reports: ReportsConfig = ReportsConfig()

    @model_validator(mode="after")
    def _references(self) -> Self:
        names = [pair.name for pair in self.pairs]
        if len(set(names)) != len(names):
            raise ValueError("pair names must be unique")
        for pair in self.pairs:
            missing = [v for v in pair.venues if v not in self.venues]
            if missing:
                raise ValueError(f"pair {pair.name}: venue {missing[0]} is not under venues")
        return self

    def acceptance_window(self, venue: str) -> timedelta:
        """How long after sending the venue may still take an order."""
        return timedelta(milliseconds=self.venues[venue].acceptance_window_ms)  # type: ignore[index]

    def setup_of(self, venue: str) -> dict[str, object]:
        """How the account must stand before anything opens there."""
        return {
            "position_mode": "one_way",
            "margin_mode": "cross",
            "leverage": self.venues[venue].leverage,  # type: ignore[index]
        }

    def dead_man_sec(self, venue: str) -> int:
        return self.venues[venue].dead_man_sec  # type: ignore[index]

    def pair(self, name_or_symbol: str) -> PairConfig | None:
        """Accepts BTCUSDT, BTC-USDT and the unified BTC/USDT:USDT."""
        wanted = name_or_symbol.strip().upper()
        squeezed = wanted.replace("-", "")
        for pair in self.pairs:
            if wanted == pair.symbol or squeezed == pair.name.replace("-", ""):
                return pair
        return None
