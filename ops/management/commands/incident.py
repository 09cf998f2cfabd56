"""Incidents at the command line, reading only: what is done with one is `act ops.<verb>_incident`."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops.api.json import dumps
from ops.canonical import plain
from ops.incidents import catalogue, export, service
from ops.incidents.timeline import timeline
from ops.models import Incident

DOCUMENT = Path("docs") / "alarms.md"


class Command(BaseCommand):
    help = "list: unclosed (or --all) incidents; show and export: one; catalogue: every alarm code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["list", "show", "export", "catalogue"])
        parser.add_argument("incident_id", nargs="?", help="of show and export")
        parser.add_argument("--all", action="store_true", help="list: the closed ones too")
        parser.add_argument("--format", choices=["md", "json"], default="md", help="export: md or json")
        parser.add_argument("--lang", choices=catalogue.LANGUAGES, default="en", help="export: of md")
        parser.add_argument("--write", action="store_true", help=f"catalogue: into {DOCUMENT}")
        parser.add_argument("--json", action="store_true", help="one JSON value instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        what = options["what"]
        if what == "catalogue":
            self._catalogue(write=options["write"], as_json=options["json"])
        elif what == "list":
            self._list(closed_too=options["all"], as_json=options["json"])
        elif what == "show":
            self._show(_find(options["incident_id"]), as_json=options["json"])
        else:
            row = _find(options["incident_id"])
            in_json = options["json"] or options["format"] == "json"
            text = export.as_json(row) if in_json else export.as_markdown(row, options["lang"])
            self.stdout.write(text, ending="")

    def _catalogue(self, *, write: bool, as_json: bool) -> None:
        if as_json:
            self.stdout.write(dumps(plain(list(catalogue.ALARMS.values()))).decode())
            return
        if not write:
            self.stdout.write(catalogue.document(), ending="")
            return
        (settings.BASE_DIR / DOCUMENT).write_text(catalogue.document(), encoding="utf-8")
        self.stdout.write(f"{DOCUMENT} is written")

    def _list(self, *, closed_too: bool, as_json: bool) -> None:
        rows = Incident.objects.all() if closed_too else service.unclosed()
        if as_json:
            self.stdout.write(dumps([service.as_dict(row) for row in rows]).decode())
            return
        for row in rows:
            self.stdout.write(f"{row.pk} {row.opened_at:%Y-%m-%d %H:%M:%S} {service.as_lines([row])[0]}")

    def _show(self, row: Incident, *, as_json: bool) -> None:
        whole = {**service.as_dict(row), "timeline": timeline(row)}
        if as_json:
            self.stdout.write(dumps(whole).decode())
            return
        for name, value in service.as_dict(row).items():
            if value not in (None, ""):
                self.stdout.write(f"{name}: {value}")
        for line in whole["timeline"]:
            self.stdout.write(f"{line['at']:%H:%M:%S} {line['kind']} {line['actor_name']}: {line['text']}")


def _find(name: str | None) -> Incident:
    try:
        return Incident.objects.get(pk=UUID(name or ""))
    except (ValueError, Incident.DoesNotExist):
        raise CommandError(f"{name!r}: accepted: the id of an incident, as `incident list` says it") from None
