"""Instruments of the venues as data. Inside the engine every quantity is base coin.

Sources: ticks, steps and quantity limits of Binance from the recorded exchangeInfo (data/cryptofeed, 2021),
BTC's tick 0.10 from the recorded 2024 book (data/hftbacktest), its minimum notional of 100 USDT from the 2025
file (facts §5); OKX ctVal and ticks from the recorded instruments (data/cryptofeed, 2022). OKX has since cut
lotSz and minSz of these swaps from 1 to 0.01 contracts, and today's venue is what the desk trades on. Bybit's
are of its public instruments-info as its documents show it (BTC) and of the same kind for the other coins.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One USDT perpetual of one venue. Prices in USDT, quantities in base coin unless named contracts."""

    id: str
    base: str
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_notional: Decimal
    contract_size: Decimal
    price_decimals: int
    max_leverage: int
    band: Decimal  # a limit price may be this fraction through the mark, not more
    maintenance_rate: Decimal

    @property
    def qty_decimals(self) -> int:
        return max(0, -int(self.lot.normalize().as_tuple().exponent))


def _binance(
    base: str, tick: str, lot: str, max_qty: str, market_qty: str, notional: str, decimals: int, leverage: int
) -> Instrument:
    return Instrument(
        id=f"{base}USDT",
        base=base,
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(max_qty),
        max_market_qty=Decimal(market_qty),
        min_notional=Decimal(notional),
        contract_size=Decimal(1),
        price_decimals=decimals,
        max_leverage=leverage,
        band=Decimal("0.05"),
        maintenance_rate=Decimal("0.004"),
    )


def _okx(base: str, tick: str, contract: str, max_contracts: str, market_contracts: str) -> Instrument:
    size = Decimal(contract)
    return Instrument(
        id=f"{base}-USDT-SWAP",
        base=base,
        tick=Decimal(tick),
        lot=size * Decimal("0.01"),
        min_qty=size * Decimal("0.01"),
        max_qty=size * Decimal(max_contracts),
        max_market_qty=size * Decimal(market_contracts),
        min_notional=Decimal(0),
        contract_size=size,
        price_decimals=-int(Decimal(tick).as_tuple().exponent),
        max_leverage=100,
        band=Decimal("0.02"),
        maintenance_rate=Decimal("0.004"),
    )


def _bybit(
    base: str, tick: str, lot: str, max_qty: str, market_qty: str, decimals: int, leverage: int
) -> Instrument:
    return Instrument(
        id=f"{base}USDT",
        base=base,
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(max_qty),
        max_market_qty=Decimal(market_qty),
        min_notional=Decimal(5),
        contract_size=Decimal(1),
        price_decimals=decimals,
        max_leverage=leverage,
        band=Decimal("0.02"),
        maintenance_rate=Decimal("0.005"),
    )


BINANCE = (
    _binance("BTC", "0.1", "0.001", "1000", "120", "100", 2, 125),
    _binance("ETH", "0.01", "0.001", "10000", "2000", "20", 2, 100),
    _binance("SOL", "0.001", "1", "10000000", "20000", "5", 4, 75),
    _binance("XRP", "0.0001", "0.1", "1000000", "1000000", "5", 4, 75),
)
OKX = (
    _okx("BTC", "0.1", "0.01", "100000000", "35000"),
    _okx("ETH", "0.01", "0.1", "100000000", "90000"),
    _okx("SOL", "0.001", "1", "100000000", "2000"),
    _okx("XRP", "0.00001", "100", "100000000", "5000"),
)
BYBIT = (
    _bybit("BTC", "0.10", "0.001", "1190", "500", 2, 100),
    _bybit("ETH", "0.01", "0.01", "7240", "724", 2, 100),
    _bybit("SOL", "0.010", "0.1", "79770", "9000", 3, 100),
    _bybit("XRP", "0.0001", "0.1", "5500000", "500000", 4, 75),
)
INSTRUMENTS = {"binanceusdm": BINANCE, "okx": OKX, "bybit": BYBIT}
