"""How long an alarm takes to reach a channel, while another channel fails and no web process runs.

python -m tests.bench.alerts [--alarms N] [--markdown FILE]
"""

import argparse
import os
import platform
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.faults.world import until, world

LOOK_SEC, PAUSE_SEC = 0.5, 0.05  # as the breaker process looks


def measure(alarms: int) -> list[float]:
    """Seconds from the incident's transaction to the channel's answer, of the channel that works."""
    from django.db import connection

    from cryptobot.management.commands.breaker import TELL_SEC
    from ops.incidents import service as incidents
    from ops.models import Delivery
    from ops.notifications.service import Sender
    from tests import factories
    from tests.integration.ops.test_notifications import Channel

    assert TELL_SEC == LOOK_SEC
    factories.make_desk()
    good, bad = Channel(), Channel()
    bad.refuses = 10**9
    os.environ |= {"NOTIFY_DESK": good.url, "NOTIFY_ON_CALL": bad.url}
    stopping = threading.Event()
    teller = threading.Thread(target=_tell, args=(Sender(), stopping))
    teller.start()
    for number in range(alarms):
        incidents.raise_incident("flatten.unverified", f"bench:{number}", "nothing is wrong")
        time.sleep(PAUSE_SEC)
    sent = Delivery.objects.filter(route="desk", state="sent")
    until("all to be told", lambda: sent.count() == alarms)
    stopping.set()
    teller.join()
    found = [(row.sent_at - row.created_at) / timedelta(seconds=1) for row in sent if row.sent_at]
    connection.close()
    good.close()
    bad.close()
    return found


def _tell(sender: Any, stopping: threading.Event) -> None:
    while not stopping.wait(LOOK_SEC):
        sender.look()
    sender.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.alerts", description=__doc__.splitlines()[0])
    parser.add_argument("--alarms", type=int, default=200)
    parser.add_argument("--markdown", type=Path, help="write the line here as well")
    options = parser.parse_args()
    with world(Path(tempfile.mkdtemp(prefix="cryptobot-bench-"))):
        cuts = quantiles(measure(options.alarms), n=100, method="inclusive")
    about = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text = f"{about}; {options.alarms} alarms, event to delivered: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s"
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
