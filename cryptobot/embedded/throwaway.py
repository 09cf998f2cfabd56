"""Embedded services that are gone when the block ends: for tests and for checks that need a database."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptobot.embedded import paths, postgres, valkey
from cryptobot.embedded.process import spawn, stop, wait_until

LOG = "services.log"


@contextmanager
def services(data_dir: Path) -> Iterator[None]:
    """PostgreSQL (roles and an empty database) and Valkey on `data_dir`, fast instead of durable.

    Everything is removed at the end, `data_dir` included.
    """
    with ExitStack() as end:
        end.callback(remove, data_dir)
        log = end.enter_context((data_dir / LOG).open("ab"))
        servers = []
        for launch in (valkey.prepare(data_dir), postgres.prepare(data_dir, durable=False)):
            process = spawn(launch, stdout=log)
            end.callback(stop, process, launch.stop_signal)
            servers.append(process)
        wait_until(lambda: valkey.answers(data_dir), servers[0], timeout_sec=60)
        wait_until(lambda: postgres.answers(data_dir), servers[1], timeout_sec=60)
        postgres.bootstrap(data_dir)
        yield


def remove(data_dir: Path) -> None:
    """Remove a DATA_DIR and what its services keep elsewhere."""
    for place in (paths.system_dir(data_dir), paths.socket_dir(data_dir), data_dir):
        shutil.rmtree(place, ignore_errors=True)
