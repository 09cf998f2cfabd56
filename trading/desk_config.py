"""The trading section of the config version that runs."""

from dataclasses import dataclass

from ops import config
from trading.config import TradingConfig


@dataclass(frozen=True, slots=True)
class Active:
    version: int
    digest: str
    trading: TradingConfig


def active() -> Active:
    loaded = config.active()
    return Active(loaded.version, loaded.digest, loaded.section(TradingConfig))
