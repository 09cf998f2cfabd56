"""A host that cannot run a desk is refused before anything starts, in one line that names the way out."""

import os
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from cryptobot.embedded.process import ServiceError, private_directory
from cryptobot.env import load
from cryptobot.supervisor import preflight
from cryptobot.supervisor.preflight import UnfitHostError

Usage = namedtuple("Usage", "total used free")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_fit_host_gives_the_lock(tmp_path: Path) -> None:
    env = load({"DATA_DIR": str(tmp_path / "new" / "desk"), "PORT": str(free_port())})
    with preflight.check_host(env) as lock:
        assert Path(lock.name).read_text() == f"{os.getpid()}\n"


def test_a_taken_port_is_named_with_another(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            UnfitHostError, match=rf"PORT={port} on HOST=127\.0\.0\.1 .*e\.g\. PORT={port + 1}"
        ):
            preflight.port_free("127.0.0.1", port)


def test_a_full_disk_is_named_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9, 9 * 10**8, 100 * 2**20))
    with pytest.raises(UnfitHostError, match=rf"{tmp_path} has 100 MB free, 512 MB are needed"):
        preflight.enough_disk([tmp_path])


def test_a_file_in_the_place_of_data_dir(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnfitHostError, match=r"DATA_DIR=.*/file is not a directory we can write to"):
        preflight.writable_directory(tmp_path / "file")


def test_a_read_only_directory() -> None:
    with pytest.raises(UnfitHostError, match=r"DATA_DIR=/proc/desk .*choose another DATA_DIR"):
        preflight.writable_directory(Path("/proc/desk"))


def test_two_desks_on_one_data_dir(tmp_path: Path) -> None:
    with (
        preflight.only_desk_on(tmp_path),
        pytest.raises(
            UnfitHostError, match=rf"another desk \(process {os.getpid()}\) already runs on DATA_DIR="
        ),
    ):
        preflight.only_desk_on(tmp_path)
    preflight.only_desk_on(tmp_path).close()  # free again, though the file stays


def test_a_squatted_socket_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sockets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServiceError, match="belongs to somebody else"):
        private_directory(tmp_path / "sockets")
    assert private_directory(tmp_path / "mine").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
def test_another_users_socket_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    os.chown(tmp_path / "sockets", 12345, 12345)
    with pytest.raises(ServiceError, match="belongs to somebody else"):
        private_directory(tmp_path / "sockets")
