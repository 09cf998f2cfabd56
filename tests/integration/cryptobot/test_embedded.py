"""The embedded servers themselves: real starts, real kills, real data."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cryptobot.embedded import paths, postgres, throwaway, valkey
from cryptobot.embedded.process import ServiceError, spawn, stop, wait_until
from tests.desk import alive, eventually


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    throwaway.remove(tmp_path)


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A durable server, as a desk starts it."""
    launch = postgres.prepare(data_dir)
    with (data_dir / "log").open("ab") as log:
        process = spawn(launch, stdout=log)
    try:
        wait_until(lambda: postgres.answers(data_dir), process, timeout_sec=60)
        postgres.bootstrap(data_dir)
        yield process
    finally:
        stop(process, launch.stop_signal)


def query(data_dir: Path, role: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(paths.embedded_database_url(data_dir, role=role)) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_data_outlives_a_stop_a_kill_and_a_reused_pid(data_dir: Path) -> None:
    with running(data_dir) as process:
        query(data_dir, paths.OWNER_ROLE, "CREATE TABLE kept (n int)")
        query(data_dir, paths.OWNER_ROLE, "INSERT INTO kept VALUES (1)")
        process.send_signal(signal.SIGKILL)
        process.wait()
    # A container that starts again has small pids again: the lock file names a live, foreign process.
    lock = paths.postgres_data(data_dir) / "postmaster.pid"
    lock.write_text(lock.read_text().replace(str(process.pid), str(os.getppid()), 1))
    eventually(lambda: not postgres.processes_in(lock.parent), "backends outlived the server", 20)
    with running(data_dir):
        assert query(data_dir, paths.OWNER_ROLE, "SELECT n FROM kept") == [(1,)]


def test_a_second_server_on_the_same_data_is_refused_by_name(data_dir: Path) -> None:
    with running(data_dir) as process:
        with pytest.raises(ServiceError, match=rf"already runs on .*process {process.pid}"):
            postgres.prepare(data_dir)
        assert postgres.answers(data_dir)


def test_what_is_running(data_dir: Path) -> None:
    """Nobody's rights, no network, UTF-8, checksums, durable; the desk's roles without power over it."""
    with running(data_dir) as process:
        if os.getuid() == 0:
            assert Path(f"/proc/{process.pid}").stat().st_uid != 0
        rows = query(data_dir, paths.APP_ROLE, "SELECT name, setting FROM pg_settings")
        powers = query(
            data_dir,
            paths.APP_ROLE,
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'cryptobot%'"
            " AND (rolsuper OR rolcreatedb OR rolcreaterole)",
        )
    settings = {str(name): setting for name, setting in rows}
    wanted = {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "data_checksums": "on"}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["server_encoding"] == "UTF8"
    assert powers == []
    assert paths.socket_dir(data_dir).stat().st_mode & 0o777 == 0o700


def test_an_interrupted_first_start_leaves_no_half_cluster(data_dir: Path) -> None:
    half = paths.postgres_data(data_dir).with_name("postgres.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with running(data_dir):
        assert not half.exists()


def test_data_of_another_version_is_refused(data_dir: Path) -> None:
    data = paths.postgres_data(data_dir)
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServiceError, match=r"written by PostgreSQL 17; this build runs 18"):
        postgres.prepare(data_dir)


@pytest.mark.skipif(os.getuid() != 0, reason="only root needs a copy that nobody can read")
def test_a_virtualenv_that_nobody_can_read(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as system:
        os.chmod(system, 0o755)
        monkeypatch.setattr(paths, "SYSTEM_DIR", Path(system) / "cryptobot")
        runs = postgres.runs
        monkeypatch.setattr(postgres, "runs", lambda binaries: system in str(binaries) and runs(binaries))
        previous = os.umask(0o077)
        try:
            with running(data_dir):
                assert query(data_dir, paths.APP_ROLE, "SELECT 1") == [(1,)]
        finally:
            os.umask(previous)


def test_both_servers_die_with_their_parent(data_dir: Path) -> None:
    script = (
        "import sys, pathlib, signal; from cryptobot.embedded import postgres, valkey, process;"
        "d = pathlib.Path(sys.argv[1]); ps = [process.spawn(s.prepare(d)) for s in (postgres, valkey)];"
        "process.wait_until(lambda: postgres.answers(d) and valkey.answers(d), ps[0], timeout_sec=60);"
        "print(*[p.pid for p in ps], flush=True); signal.pause()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    pids = [
        int(word)
        for word in next(line for line in parent.stdout if line[0].isdigit() and "M" not in line).split()
    ]
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    eventually(lambda: not any(alive(pid) for pid in pids), "a server outlived its parent", 20)
    assert not valkey.answers(data_dir)
