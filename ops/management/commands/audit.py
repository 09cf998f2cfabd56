import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops import audit_export, audit_heads, digests
from ops.actions.base import Actor, Refusal, Source
from ops.management.person import login_of_host


class Command(BaseCommand):
    help = (
        "verify: the chain from its first entry to its head, against the heads file, and the journals "
        "against their digests (exit code 1 when it does not hold). export: the log, with a trailer. "
        "heads: what the heads file says. digest: digest the journals now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["verify", "export", "heads", "digest"])
        parser.add_argument("--json", action="store_true", help="one JSON object instead of a sentence")
        parser.add_argument("--format", choices=audit_export.FORMATS, default="jsonl")
        parser.add_argument("--out", type=Path, help="write the export here instead of to stdout")
        for name in audit_export.FILTERS:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=f"by_{name}", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        {"verify": self._verify, "export": self._export, "heads": self._heads, "digest": self._digest}[
            options["what"]
        ](options)

    def _verify(self, options: dict[str, Any]) -> None:
        found = digests.verify_everything()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found), default=str))
        elif found.ok:
            self.stdout.write(f"the audit chain holds: {found.entries} entries, head {found.head}")
        else:
            self.stdout.write(f"the audit chain is broken at entry {found.bad_seq}: {found.problem}")
        if found.remark and not options["json"]:
            self.stdout.write(f"but: {found.remark}")
        if not found.ok:
            sys.exit(1)

    def _export(self, options: dict[str, Any]) -> None:
        asked = {n: options[f"by_{n}"] for n in audit_export.FILTERS if options[f"by_{n}"]}
        try:
            rows = audit_export.search(asked)
        except Refusal as no:
            raise CommandError(no.detail) from None
        host = Actor.of_host(login_of_host())
        audit_export.record(asked, form=options["format"], source=Source.CLI, actor=host)
        lines = audit_export.lines(rows, options["format"])
        if options["out"] is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        with options["out"].open("w") as file:
            file.writelines(lines)

    def _heads(self, options: dict[str, Any]) -> None:
        heads, _ = audit_heads.read()
        said = {"heads": len(heads.hashes), "last": heads.last, "remark": heads.remark}
        text = f"{said['heads']} heads, the last of entry {said['last']}. {said['remark']}"
        self.stdout.write(json.dumps(said) if options["json"] else text.strip())

    def _digest(self, options: dict[str, Any]) -> None:
        entry = digests.run()
        self.stdout.write("nothing new" if entry is None else f"audit entry {entry.seq}")
