"""The table of processes, as the supervisor sees it before it starts one."""

import json
import socket
from pathlib import Path

import pytest

from cryptobot.env import load
from cryptobot.supervisor import children


def test_own_servers_are_not_started_beside_ours(tmp_path: Path) -> None:
    ours = {"DATABASE_URL": "postgresql://app@db/x", "REDIS_URL": "redis://r/0", "DATA_DIR": str(tmp_path)}
    assert [c.name for c in children.services(load(ours))] == []
    assert [c.name for c in children.services(load({"DATA_DIR": str(tmp_path)}))] == ["valkey", "postgres"]


def test_paper_venues_exist_in_paper_only(tmp_path: Path) -> None:
    elsewhere = {"EXCHANGE_PROFILE": "testnet", "DATABASE_URL": "x", "REDIS_URL": "x"}
    secrets = dict.fromkeys(("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "AUDIT_HMAC_KEY"), "s" * 40)
    assert children.paper_venues(load(elsewhere | secrets | {"DATA_DIR": str(tmp_path)})) == []


def test_paper_venues_are_ready_when_all_of_them_listen(tmp_path: Path) -> None:
    (venues,) = children.paper_venues(load({"DATA_DIR": str(tmp_path)}))
    assert venues.ready is not None
    assert not venues.ready()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        rows = {n: {"base_url": "http://{}:{}".format(*s.getsockname())} for n, s in (("a", one), ("b", two))}
        file = tmp_path / "paper-venues.json"
        file.write_text(json.dumps({"venues": rows})[:20])
        assert not venues.ready()
        file.write_text(json.dumps({"venues": rows}))
        assert venues.ready()
    assert not venues.ready()  # the file of an earlier run


def test_only_migrations_run_as_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")  # the tests' own
    env = load({"DATA_DIR": str(tmp_path)})
    assert "cryptobot_owner@" in children.one_shot(env, "migrate_desk", as_owner=True).env["DATABASE_URL"]
    assert "DATABASE_URL" not in children.one_shot(env, "desk_start").env
    for child in children.desk(env):
        assert "cryptobot_owner" not in str(child.launch())
