"""A whole desk, as `make run` starts it: what dies comes back, what ends leaves nothing, data stay."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptobot.embedded import throwaway
from cryptobot.env import BASE_DIR
from tests.desk import Desk, eventually

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("a desk of its own")]


@pytest.fixture(scope="module")
def own_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Not the shared one: here its parts are killed."""
    data_dir = tmp_path_factory.mktemp("own desk")  # with a space
    running = Desk(data_dir)
    try:
        yield running.start()
    finally:
        running.kill_if_running()
        throwaway.remove(data_dir)


def healthy(desk: Desk) -> bool:
    try:
        with urllib.request.urlopen(f"{desk.base_url}/api/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def refused(**environ: str) -> str:
    """What a start that must be refused says; the exit code is 1 and nothing runs."""
    desk = Desk(Path(environ.pop("DATA_DIR")), **environ)
    done = subprocess.run(
        [sys.executable, "manage.py", "run"],
        cwd=BASE_DIR,
        env=desk.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_it_says_first(own_desk: Desk) -> None:
    said = own_desk.tail(10_000)
    assert f"{own_desk.base_url}/admin/" in said
    people = own_desk.people()
    roles = {name: person["role"] for name, person in people.items()}
    assert roles == {
        "alice": "operator",
        "bob": "operator",
        "carol": "operator",
        "rita": "risk_manager",
        "victor": "viewer",
        "audrey": "auditor",
        "root": "admin",
    }
    assert all(person["password"] in said for person in people.values())
    assert (own_desk.data_dir / "demo-desk.json").stat().st_mode & 0o777 == 0o600


def test_a_second_desk_on_the_same_data_is_refused(own_desk: Desk) -> None:
    assert "another desk" in refused(DATA_DIR=str(own_desk.data_dir))
    assert healthy(own_desk)


def test_a_taken_port_is_refused_by_name(tmp_path: Path, own_desk: Desk) -> None:
    message = refused(DATA_DIR=str(tmp_path), PORT=str(own_desk.port))
    assert f"PORT={own_desk.port}" in message


def test_a_bad_environment_is_refused_line_by_line(tmp_path: Path) -> None:
    message = refused(DATA_DIR=str(tmp_path), EXCHANGE_PROFILE="moon", SAFE_MODE="maybe")
    assert "EXCHANGE_PROFILE=moon" in message
    assert "SAFE_MODE=maybe" in message


@pytest.mark.parametrize(
    "name", ["web", "worker-execution", "worker-default", "beat", "paper-venues", "valkey", "postgres"]
)
def test_what_is_killed_comes_back(own_desk: Desk, name: str) -> None:
    own_desk.kill_child(name)
    assert own_desk.state()["children"][name]["restarts"] == 1
    eventually(lambda: healthy(own_desk), f"no health after {name}:\n{own_desk.tail()}", 60)


def test_killed_as_a_whole_it_leaves_nothing_and_starts_again_on_its_data(own_desk: Desk) -> None:
    before = (own_desk.data_dir / "demo-desk.json").read_bytes()
    own_desk.kill()
    own_desk.expect_gone()

    again = Desk(own_desk.data_dir)
    try:
        again.start()
        after = json.loads((own_desk.data_dir / "demo-desk.json").read_text())
        assert after["people"] == json.loads(before)["people"]
        assert after["base_url"] == again.base_url
        assert all(person["password"] not in again.tail(10_000) for person in after["people"].values())
        assert again.stop(signal.SIGINT) == 0
    finally:
        again.kill_if_running()
    assert not (own_desk.data_dir / "supervisor.json").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", again.port)) != 0
