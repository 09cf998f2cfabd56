"""The risk part of `configs/config.<profile>.yaml`: caps that the gate enforces at the desk's level."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RiskConfig(BaseModel):
    """max_total_notional_usdt: gross over both legs of every pair, at mark, reservations included.
    max_open_positions: instruments with a net or a working opening order; a pair is two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_total_notional_usdt: Annotated[Decimal, Field(ge=0)]
    max_open_positions: Annotated[int, Field(ge=0)]
