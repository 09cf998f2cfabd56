from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trading.paper.recording import Series, recorded_series

#: What the recordings' own README says (mean, max in bps), by contract sold and contract bought.
PUBLISHED = {
    ("binance btcusd", "bybit btcusd"): "mean +3.7, max +9.7",
    ("binance btcusd", "bybit btcusdt"): "max +14.8",
}
DEFINITION = """\
edge: (best bid where sold - best ask where bought) / best ask where bought, in basis points, from the
closing quotes of each minute that both venues recorded. It is `entry_spread_bps` of a preview: what is there
before fees, expected exit, depth, latency and funding.
"""


class Command(BaseCommand):
    help = (
        "The per-minute edges of a recorded market (Lean cryptofuture folder), beside what its README says."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)

    def handle(self, *_: Any, path: Path, **options: Any) -> None:
        try:
            found = recorded_series(path)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{'sell':<15} {'buy':<15} {'minutes':>7} {'mean':>8} {'max':>8}  README")
        for series in found:
            self.stdout.write(_line(series))
        self.stdout.write(f"\n{DEFINITION}")


def _line(series: Series) -> str:
    mean = sum(series.bps, Decimal(0)) / len(series.bps) if series.bps else Decimal("NaN")
    largest = max(series.bps, default=Decimal("NaN"))
    published = PUBLISHED.get((series.sell, series.buy), "-")
    return (
        f"{series.sell:<15} {series.buy:<15} {len(series.bps):>7} {mean:>+8.2f} {largest:>+8.2f}  {published}"
    )
