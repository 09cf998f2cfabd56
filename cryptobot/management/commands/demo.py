import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cryptobot.demo.person import Person
from cryptobot.demo.story import Story, Untrue
from cryptobot.demo.venues import paper_venues, until


class Command(BaseCommand):
    help = "Tell the whole story against the desk on this DATA_DIR and PORT; start one for it when none runs."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        env = settings.ENV
        if env.exchange_profile != "paper":
            raise CommandError("the demo places real orders: accepted with EXCHANGE_PROFILE=paper only")
        desk = None if _answers(env.base_url) else _start()
        try:
            until(
                "the desk", lambda: _answers(env.base_url) and (env.data_dir / "paper-venues.json").exists()
            )
            story(env.data_dir, env.base_url, self.stdout.write).tell()
        except (Untrue, TimeoutError) as lie:
            raise CommandError(f"the story is not true: {lie}") from lie
        finally:
            if desk is not None:
                desk.terminate()
                desk.wait(60)


def story(data_dir: Path, base_url: str, say: Any) -> Story:
    people = json.loads((data_dir / "demo-desk.json").read_text())["people"]
    alice, bob = (Person(base_url, name).login(people[name]["password"]) for name in ("alice", "bob"))
    return Story(alice, bob, paper_venues(data_dir), say)


def _answers(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/api/health", timeout=2) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _start() -> "subprocess.Popen[bytes]":
    """A desk of the demo's own; its log goes to where ours goes when it fails, nowhere otherwise."""
    return subprocess.Popen([sys.executable, "manage.py", "run"], stdout=subprocess.DEVNULL)
