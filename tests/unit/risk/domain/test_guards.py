"""A guard's latch, step by step."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.guards import Guarded, Level, Reading, step, why_not_clear

NOW = datetime(2026, 11, 23, tzinfo=UTC)
AGE = timedelta(seconds=15)
OK, WARN, HOLD, UNKNOWN = Level.OK, Level.WARN, Level.HOLD, Level.UNKNOWN


def guard(level: Level, *, seen: Level | None = None, since: datetime = NOW) -> Guarded:
    return Guarded(level, seen or level, since, "before")


def reading(level: Level, *, age: float = 0) -> Reading:
    return Reading(level, "seen", NOW - timedelta(seconds=age))


@pytest.mark.parametrize(
    ("before", "now", "after", "opens"),
    [
        (OK, OK, OK, False),
        (OK, WARN, WARN, True),
        (OK, HOLD, HOLD, True),
        (WARN, HOLD, HOLD, True),
        (HOLD, WARN, HOLD, False),
        (WARN, WARN, WARN, False),
        (WARN, OK, WARN, False),
        (HOLD, OK, HOLD, False),
        (UNKNOWN, OK, OK, False),
        (UNKNOWN, HOLD, HOLD, True),
    ],
)
def test_a_trip_latches_and_worsens(before: Level, now: Level, after: Level, opens: bool) -> None:
    done = step(guard(before), reading(now), now=NOW, max_age=AGE)
    assert (done.after.level, done.after.seen, bool(done.opens)) == (after, now, opens)


@pytest.mark.parametrize("nothing", [None, reading(OK, age=16), reading(HOLD, age=16)])
def test_no_fresh_reading_is_unknown_and_never_ok(nothing: Reading | None) -> None:
    done = step(guard(OK), nothing, now=NOW, max_age=AGE)
    assert (done.after.level, done.opens) == (UNKNOWN, "")
    late = step(done.after, nothing, now=NOW + AGE, max_age=AGE)
    assert late.after.level is UNKNOWN
    assert late.opens.startswith("unknown")


def test_a_tripped_guard_whose_source_is_silent_stays_tripped() -> None:
    done = step(guard(HOLD), None, now=NOW, max_age=AGE)
    assert (done.after.level, done.after.seen) == (HOLD, UNKNOWN)


@pytest.mark.parametrize(
    ("level", "seen", "why"),
    [
        (HOLD, OK, ""),
        (WARN, OK, ""),
        (HOLD, HOLD, "its cause persists"),
        (HOLD, WARN, "its cause persists"),
        (WARN, UNKNOWN, "silent"),
        (OK, OK, "not tripped"),
        (UNKNOWN, UNKNOWN, "not tripped"),
    ],
)
def test_clearing(level: Level, seen: Level, why: str) -> None:
    said = why_not_clear(guard(level, seen=seen))
    assert (why in said) if why else said == ""


@given(st.lists(st.one_of(st.none(), st.sampled_from([OK, WARN, HOLD])), max_size=30))
def test_whatever_comes_only_a_person_sets_it_to_ok_again(seen: list[Level | None]) -> None:
    now, tripped = guard(UNKNOWN), False
    for each in seen:
        now = step(now, None if each is None else reading(each), now=NOW, max_age=AGE).after
        tripped = tripped or now.level.tripped
        assert now.level.tripped is tripped
        assert now.level is not OK or each is OK
