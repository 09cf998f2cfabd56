"""`python -m tests.faults`: ROUNDS of killed processes and lost messages; exit code 1 on any violation."""

import logging
import os
import sys
import tempfile
from pathlib import Path

from tests.faults.world import world

ROUNDS = int(os.environ.get("ROUNDS", "11"))
IN_TIME = os.environ.get("IN_TIME") == "1"


def main() -> int:
    data_dir = Path(tempfile.mkdtemp(prefix="cryptobot-faults-"))
    with world(data_dir) as here:
        logging.disable(logging.WARNING)
        from tests.faults.rounds import desk_of, run
        from tests.in_process import paper_venues
        from tests.integration.trading.execution.bench import Bench

        with paper_venues(data_dir) as paper:
            bench = Bench(paper)
            bench.pin()
            desk_of(data_dir)
            totals = run(here, bench, ROUNDS, say=lambda line: print(line, file=sys.stderr, flush=True))
        print("\n".join(totals.lines(here.killed)))
    return 0 if totals.clean(in_time=IN_TIME) else 1


if __name__ == "__main__":
    sys.exit(main())
