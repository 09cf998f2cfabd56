"""The registry and the verdict: what fails or is old is UNKNOWN, and no mean hides a P0."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from pytest_django import Settings

from cryptobot.supervisor import children
from ops import hooks, overview, status
from ops.components import judge_process
from ops.heartbeat import Progress, expected
from ops.models import ProcessHeartbeat
from ops.overview import Minima
from ops.status import Component, Group, Reading, Row, Status


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing but a database that answers."""
    monkeypatch.setattr(status, "_components", {})
    monkeypatch.setattr(status, "_providers", {})
    monkeypatch.setattr(hooks, "_facts", {})
    status.register(component("database", Reading(Status.OK, "answers")))
    status.forget()
    yield
    status.forget()


def component(name: str, reading: Reading | Exception, *, group: Group = "P1", **options: Any) -> Component:
    def probe() -> Reading:
        if isinstance(reading, Exception):
            raise reading
        return reading

    return Component(name, name, group, probe, **options)


def row(group: Group, verdict: Status) -> Row:
    return Row("x", "x", group, verdict, "", {}, 0.0, ())


# --- one component -----------------------------------------------------------


def test_a_fresh_reading_is_told_with_its_age() -> None:
    seen = timezone.now() - timedelta(seconds=4)
    found = status.evaluate(component("a", Reading(Status.WARN, "slow", {"ms": 7}, seen, ("/x",)))).as_dict()
    assert {
        "id": "a",
        "status": "WARN",
        "summary": "slow",
        "metrics": {"ms": 7},
        "links": ["/x"],
    }.items() <= (found.items())
    assert found["source_age_sec"] >= 4


@pytest.mark.parametrize(
    ("reading", "says"),
    [
        (RuntimeError("no route\nto host"), "RuntimeError: no route"),
        (Reading(Status.OK, "fine", observed_at=None), "never seen"),
        (Reading(Status.OK, "fine", observed_at=timezone.now() - timedelta(seconds=11)), "last seen"),
        (Reading(Status.ERROR, "bad", observed_at=timezone.now() - timedelta(days=1)), "last seen"),
    ],
)
def test_what_fails_or_is_old_is_unknown(reading: Reading | Exception, says: str) -> None:
    found = status.evaluate(component("a", reading, max_age_sec=10))
    assert found.status is Status.UNKNOWN
    assert found.summary.startswith(says)


# --- all of them -------------------------------------------------------------


@pytest.mark.usefixtures("registry")
def test_a_provider_that_fails_is_one_unknown_component() -> None:
    def broken() -> list[Component]:
        raise LookupError("no configuration")

    status.register_provider("venues", broken, group="P0")
    found = status.snapshot().find("venues")
    assert found is not None
    assert (found.status, found.group) == (Status.UNKNOWN, "P0")
    assert "no configuration" in found.summary


class Asked(list[str]):
    """Remembers who was asked."""

    def reading(self, name: str) -> Reading:
        self.append(name)
        return Reading(Status.OK, "")

    def components(self, name: str) -> list[Component]:
        self.append(name)
        return []


@pytest.mark.usefixtures("registry")
def test_without_a_database_nobody_asks_it_again() -> None:
    asked = Asked()
    status.register(component("database", ConnectionError("refused")))
    status.register(Component("rows", "", "P0", lambda: asked.reading("rows")))
    status.register_provider("more", lambda: asked.components("more"), group="P0")
    status.register(component("disk", Reading(Status.OK, ""), needs_database=False))
    hooks.provide_fact("count", lambda: asked.append("fact"))
    found = status.snapshot()
    assert {each.id: each.status.value for each in found.rows} == {
        "database": "UNKNOWN",
        "rows": "UNKNOWN",
        "more": "UNKNOWN",
        "disk": "OK",
    }
    assert asked == []
    assert not found.facts


@pytest.mark.usefixtures("registry")
def test_many_ask_and_one_evaluates() -> None:
    together, asked = threading.Barrier(8), Asked()
    status.register(Component("slow", "", "P1", lambda: asked.reading("slow")))

    def ask(_: int) -> status.Snapshot:
        together.wait()
        return status.snapshot()

    with ThreadPoolExecutor(8) as pool:
        found = set(map(id, pool.map(ask, range(8))))
    assert len(found) == len(asked) == 1


@pytest.mark.usefixtures("registry")
def test_a_fact_that_cannot_be_had_is_unknown_not_zero() -> None:
    def broken() -> int:
        raise RuntimeError

    hooks.provide_fact("unresolved_orders", broken)
    assert status.snapshot().facts == {"unresolved_orders": None}


# --- the verdict -------------------------------------------------------------

LENIENT: dict[Group, Minima] = {group: Minima(warn=0.1, error=0.0) for group in status.GROUPS}


@pytest.mark.parametrize(
    ("verdict", "expected_overall"),
    [
        (Status.OK, Status.OK),
        (Status.WARN, Status.WARN),
        (Status.ERROR, Status.ERROR),
        (Status.UNKNOWN, Status.ERROR),
        (Status.HOLD, Status.HOLD),
    ],
)
def test_one_p0_among_a_thousand_is_not_averaged_away(verdict: Status, expected_overall: Status) -> None:
    rows = [row("P0", Status.OK)] * 999 + [row("P0", verdict)] + [row("P1", Status.OK)] * 1000
    assert overview.overall(rows, LENIENT) is expected_overall


@pytest.mark.parametrize(
    ("verdicts", "expected_overall"),
    [
        ([Status.OK, Status.OK], Status.OK),
        ([Status.OK, Status.WARN], Status.WARN),  # 0.75
        ([Status.WARN, Status.UNKNOWN], Status.ERROR),  # 0.25
    ],
)
def test_other_groups_count_by_their_mean(verdicts: list[Status], expected_overall: Status) -> None:
    minima = LENIENT | {"P2": Minima(warn=0.8, error=0.5)}
    assert overview.overall([row("P2", each) for each in verdicts], minima) is expected_overall


def test_an_open_cause_outranks_every_error() -> None:
    assert overview.overall([row("P0", Status.ERROR), row("P0", Status.HOLD)], LENIENT) is Status.HOLD


def test_scores_are_means_and_an_empty_group_has_none() -> None:
    rows = [row("P1", each) for each in (Status.OK, Status.WARN, Status.ERROR, Status.UNKNOWN)]
    assert overview.scores(rows) == {"P0": None, "P1": 0.375, "P2": None, "P3": None}


# --- status_thresholds.yaml --------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("P0: {warn: 1, error: 0}", "exactly the groups"),
        ("P0: {warn: 0.1, error: 0.9}", "error must not be above warn"),
        ("P9: {warn: 1, error: 0}", "P9"),
        ("{", "status_thresholds.yaml"),
    ],
)
def test_bad_thresholds_stop_the_start(tmp_path: Path, settings: Settings, text: str, says: str) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "status_thresholds.yaml").write_text(text)
    settings.BASE_DIR = tmp_path
    overview.thresholds.cache_clear()
    try:
        (found,) = overview.thresholds_are_sane()
    finally:
        overview.thresholds.cache_clear()
    assert found.id == "ops.E002"
    assert says in found.msg


def test_ours_are_good() -> None:
    assert overview.thresholds_are_sane() == []


# --- processes ---------------------------------------------------------------


def test_every_process_of_the_supervisor_is_expected() -> None:
    assert set(expected()) == {child.name for child in children.desk(settings.ENV)}


def test_progress_tells_the_oldest_work_and_whether_the_loop_could_tick() -> None:
    threads, solo = Progress(), Progress(in_loop=True)
    for progress in (threads, solo):
        progress.begin("1", "first")
        progress.begin("2", "second")
        assert progress.health()["busy_with"] == "first"
    assert threads.health()["loop_age_sec"] is not None
    assert solo.health()["loop_age_sec"] is None
    for key in ("1", "2"):
        solo.end(key)
    idle = solo.health()
    assert (idle["busy_sec"], idle["busy_with"], idle["under_way"]) == (None, None, 0)
    assert idle["loop_age_sec"] is not None


@pytest.mark.parametrize(
    ("health", "child_pid", "build", "expected_status"),
    [
        ({"loop_age_sec": 0.5, "busy_sec": None}, 7, "ours", Status.OK),
        ({"loop_age_sec": 20, "busy_sec": None}, 7, "ours", Status.ERROR),
        ({"loop_age_sec": 20, "busy_sec": 1}, 7, "ours", Status.ERROR),
        ({"loop_age_sec": None, "busy_sec": 30, "busy_with": "t"}, 7, "ours", Status.OK),
        ({"loop_age_sec": None, "busy_sec": 90, "busy_with": "t"}, 7, "ours", Status.WARN),
        ({"loop_age_sec": None, "busy_sec": 280, "busy_with": "t"}, 7, "ours", Status.ERROR),
        ({"loop_age_sec": 0.5, "busy_sec": None}, 8, "ours", Status.WARN),
        ({"loop_age_sec": 0.5, "busy_sec": None}, None, "another", Status.WARN),
    ],
)
def test_a_beating_process_is_judged_by_its_loop(
    monkeypatch: pytest.MonkeyPatch,
    health: dict[str, Any],
    child_pid: int | None,
    build: str,
    expected_status: Status,
) -> None:
    monkeypatch.setattr(hooks, "_build", lambda: "ours")
    found = ProcessHeartbeat(role="web", pid=7, build=build, health=health)
    assert judge_process(found, child_pid=child_pid)[0] is expected_status
