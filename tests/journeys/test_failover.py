"""Runbook §9 as written, by two real instances: own PORT and DATA_DIR, one database, one broker.

The paper venues are a process of their own: who dies takes no venue along.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cryptobot.demo.venues import until
from cryptobot.embedded import paths, throwaway
from cryptobot.env import BASE_DIR
from tests.desk import Desk, eventually
from tests.journeys.team import APPROVALS, Team

pytestmark = [pytest.mark.desk, pytest.mark.xdist_group("desk")]

TTL, STALE = 6, 14  # the smallest that the start accepts with windows of 6 s is 13.5
SECRETS = ("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "AUDIT_HMAC_KEY")


class Instance:
    def __init__(self, desk: Desk, venues: Path) -> None:
        self.desk, self.venues = desk, venues

    def start(self) -> "Instance":
        self.desk.start()
        return self

    @property
    def team(self) -> Team:
        return Team(self.desk, venues=self.venues)

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self.desk.base_url + path, timeout=20) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as refused:
            return json.loads(refused.read())

    @property
    def ready(self) -> Any:
        return self.get("/live-readiness")

    def leads(self) -> bool:
        return bool(self.ready["leader"])

    def manage(self, *command: str, code: int = 0) -> str:
        """From another shell on this node."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=BASE_DIR,
            env=self.desk.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def all_pids(self) -> list[int]:
        return list(self.desk.pids().values())


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Instance, Instance]]:
    with ExitStack() as end:
        shared, market = tmp_path / "shared", tmp_path / "market"
        for folder in (shared, market):
            folder.mkdir()
        end.enter_context(throwaway.services(shared))
        venues = subprocess.Popen(
            [sys.executable, "-m", "trading.paper", "--data-dir", str(market)],
            cwd=BASE_DIR,
            stdout=subprocess.DEVNULL,
        )
        end.callback(venues.wait)
        end.callback(venues.terminate)
        eventually((market / "paper-venues.json").exists, "no paper venues", 60)
        environ = {
            "DATABASE_URL": paths.embedded_database_url(shared, role=paths.APP_ROLE),
            "DATABASE_OWNER_URL": paths.embedded_database_url(shared, role=paths.OWNER_ROLE),
            "REDIS_URL": paths.embedded_redis_url(shared),
            "FEATURE_LEADER_LOCK": "1",
            "LEADER_LOCK_TTL_SEC": str(TTL),
            "LEADER_LOCK_STALE_SEC": str(STALE),
            "PAPER_VENUES_DIR": str(market),
            **{name: secrets.token_urlsafe(48) for name in SECRETS},
        }
        nodes = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            desk = Desk(folder, **environ)
            end.callback(throwaway.remove, folder)
            end.callback(desk.kill_if_running)
            nodes.append(Instance(desk, market))
        yield nodes[0].start(), nodes[1]


def test_9_graceful_and_forced(pair: tuple[Instance, Instance]) -> None:
    old, new = pair
    until("the first one to lead", old.leads)
    shutil.copy(old.desk.data_dir / "demo-desk.json", new.desk.data_dir)  # the people are in the database
    first = old.ready["fencing_id"]
    hold_causes = len(old.get("/api/ui/state")["hold"])
    new.start()

    is_standby(new, first, old)
    assert len(old.get("/api/ui/state")["hold"]) == hold_causes  # a standby's start holds nobody
    waiting = trade_and_ask(old, new)
    second = graceful(old, new, waiting, first)
    third = forced(old, new, second)
    two_people_are_faster(old, new)
    assert number(new.ready["fencing_id"]) > number(third)
    for node in (old, new):
        assert node.desk.stop() == 0


def is_standby(new: Instance, first: str, old: Instance) -> None:
    """ "Второй инстанс автоматически держит HOLD и возвращает ready=false." """
    standby = new.ready
    assert (standby["ready"], standby["leader"], standby["mode"]) == (False, False, "HOLD")
    assert (standby["fencing_id"], standby["reasons"]) == (None, ["not the leader"])
    assert [n.get("/healthz")["leader"] for n in (old, new)] == [True, False]
    written = json.loads((old.desk.data_dir / "leader.hb").read_text())
    assert (written.keys(), written["fencing_id"]) == ({"pid", "fencing_id", "ts"}, first)
    assert not (new.desk.data_dir / "leader.hb").exists()
    grows(new)
    stays_small(old)


def trade_and_ask(old: Instance, new: Instance) -> Any:
    """Two people start the leader; the standby stops at most. Returns a request that waits for its vote."""
    us = old.team
    us.viable()
    until("older terms to be settled", lambda: settled(us))
    us.start_trading()
    row = us.execute(us.viable()["plan"])
    assert row["state"] in {"BALANCED", "FLAT_AFTER_RESCUE", "ABORTED_CLEAN"}
    assert (old.ready["mode"], new.ready["mode"]) == ("RUN", "HOLD")
    refused = new.team.alice.post("/api/v1/actions/ops.safe_mode", enabled=False, reason="here?")
    assert refused.status == 409
    plan = us.viable()["plan"]
    return us.alice.post(
        "/api/arb/execute", plan_id=plan["id"], digest=plan["digest"], reason="before the change"
    )


def graceful(old: Instance, new: Instance, waiting: Any, first: str) -> str:
    """Грациозная передача лидера, 2–4."""
    us = old.team
    assert us.alice.post("/api/ui/hold", reason="runbook 9").status == 200
    assert "released" in old.manage("leader", "release")
    gone = old.ready
    assert (gone["leader"], gone["fencing_id"]) == (False, None)
    grows(old)
    until("the new node to lead", new.leads)
    second = str(new.ready["fencing_id"])
    assert number(second) > number(first)
    stays_small(new)
    assert "standby" in old.manage("leader", "status", code=1)
    old.desk.kill_child("leader-keeper")  # started again, it does not race back either
    stays_standby(old, new)
    fresh = new.team
    assert vote(fresh, waiting).status in {403, 404, 409, 410, 422}  # given under the old term
    until("the new term to be settled", lambda: settled(fresh))
    resume(fresh)
    assert new.ready["mode"] == "RUN"
    assert old.ready["mode"] == "HOLD"
    fresh.execute(fresh.viable()["plan"])
    return second


def forced(old: Instance, new: Instance, second: str) -> str:
    """Форсированный перехват: зависший лидер."""
    frozen = [new.desk.process.pid, *new.all_pids()]  # type: ignore[union-attr]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        until("a stale lock to be taken", old.leads, timeout=STALE + 30)
        assert time.monotonic() - began > STALE - 2  # not before it was stale
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    third = str(old.ready["fencing_id"])
    assert number(third) > number(second)
    until("the frozen node to notice", lambda: not new.leads())
    stays_standby(new, old)
    back = old.team
    incidents = back.alice.get("/api/ui/incidents")["results"]
    assert any(row["code"] == "leader.changed" for row in incidents)
    for node in (old, new):
        assert node.get("/api/ui/status/overview")["leader"]["fence"] == number(third)
    until("the third term to be settled", lambda: settled(back))
    back.flatten()
    return third


def two_people_are_faster(old: Instance, new: Instance) -> None:
    """They vouch that the old one is stopped; alone, nobody takes a fresh lease."""
    asked = new.team.alice.post("/api/v1/actions/leadership.steal", reason="a is to be patched")
    assert new.team.approve(asked)["approval"]["execution"]["state"] == "executed"
    until("the new node to lead again", new.leads)
    stays_standby(old, new)
    assert "fresh" in old.manage("leader", "steal", code=1)


# --- what the runbook looks at --------------------------------------------------------------


def number(fencing_id: str) -> int:
    return int(fencing_id.split("-")[0])


def grows(node: Instance) -> None:
    before = node.ready["hb_age_sec"]
    until("hb_age_sec to grow", lambda: node.ready["hb_age_sec"] > before + 1)


def stays_small(node: Instance) -> None:
    """The corridor of 0 to 2 s; most of the looks, since others load this machine."""
    ages = []
    for _ in range(10):
        time.sleep(0.2)
        ages.append(node.ready["hb_age_sec"])
    assert sorted(ages)[6] <= 2, ages


def stays_standby(node: Instance, leader: Instance) -> None:
    """For several looks of its keeper."""
    for _ in range(6):
        time.sleep(1)
        ready = node.ready
        assert (ready["leader"], ready["ready"], ready["mode"]) == (False, False, "HOLD")
    assert leader.leads()


def settled(us: Team) -> bool:
    lines = us.alice.get("/api/ui/resume_checklist")["lines"]
    return all(line["ok"] for line in lines if line["name"] == "leader")


def resume(us: Team) -> None:
    """The incidents of the change are answered for; then by two people."""
    asked = us.alice.post("/api/ui/resume_request", reason="runbook 9: the new leader is green")
    assert us.approve(asked)["approval"]["execution"]["state"] == "executed", asked.body


def vote(us: Team, asked: Any) -> Any:
    request = asked["approval"]
    return us.bob.post(f"{APPROVALS}/{request['id']}/approve", digest=request["digest"])
