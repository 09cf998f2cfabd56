import json
from argparse import ArgumentParser
from datetime import date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops.canonical import plain
from trading.ledger import reports

FORMATS = ("text", "json", "csv")


class Command(BaseCommand):
    help = "daily: what one day earned, by pair, strategy and venue, from the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["daily"])
        parser.add_argument("--date", default="", help="2026-11-23; today so far when left out")
        parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
        parser.add_argument(
            "--zone", choices=reports.ZONES, default=reports.ZONES[0], help="whose midnight a day begins at"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        zone = reports.zone_named(options["zone"])
        try:
            day = date.fromisoformat(options["date"]) if options["date"] else datetime.now(zone).date()
            report = reports.pnl(since=day, until=day, zone=zone)
        except (ValueError, OverflowError):
            raise CommandError(f"--date {options['date']!r}; accepted: a day, 2026-11-23") from None
        if options["format"] == "json":
            self.stdout.write(json.dumps(plain(reports.as_dict(report)), ensure_ascii=False))
        else:
            text = reports.as_csv(report) if options["format"] == "csv" else reports.as_text(report)
            self.stdout.write(text, ending="")
