"""The keeper's decision, row by row and over everything that a row can say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadership.domain.lease import (
    Acquire,
    Renew,
    Seen,
    State,
    StepDown,
    Wait,
    decide,
    timing_problem,
)

ME, OTHER, STALE = "me", "other", 60.0
HELD = Seen(OTHER, 7, "n", State.HELD, 5, hb_age_sec=0.5, left_sec=19.5)
MINE = replace(HELD, owner=ME)
FREE = replace(HELD, state=State.FREE, left_sec=-1.0)


@pytest.mark.parametrize(
    ("seen", "leading", "decision"),
    [
        (FREE, None, Acquire),
        (replace(FREE, released_by=OTHER), None, Acquire),
        (replace(FREE, released_by=ME), None, Wait),  # given away: only a person takes it back
        (HELD, None, Wait),
        (replace(HELD, hb_age_sec=STALE, left_sec=-40), None, Wait),  # lapsed, and still in its drain
        (replace(HELD, hb_age_sec=STALE + 0.1, left_sec=-40), None, Acquire),
        (replace(MINE, hb_age_sec=30, left_sec=-10), None, Wait),  # our own lapsed term as well
        (replace(MINE, hb_age_sec=STALE + 1, left_sec=-41), None, Acquire),
        (MINE, None, Renew),  # the keeper was started again
        (MINE, 7, Renew),
        (replace(MINE, draining=True), 7, Renew),
        (replace(MINE, left_sec=0), 7, StepDown),
        (replace(MINE, fence=8), 7, StepDown),  # a term of ours that another process of ours began
        (replace(HELD, fence=8), 7, StepDown),
        (replace(FREE, owner=ME), 7, StepDown),
        (replace(MINE, left_sec=None), None, Renew),  # the lock is off
        (replace(HELD, left_sec=None, hb_age_sec=9_999), None, Wait),
    ],
)
def test_each_case(seen: Seen, leading: int | None, decision: type) -> None:
    assert isinstance(decide(seen, ME, leading=leading, stale_sec=STALE), decision)


ROWS = st.builds(
    Seen,
    owner=st.sampled_from([ME, OTHER, ""]),
    fence=st.integers(1, 4),
    nonce=st.just("n"),
    state=st.sampled_from(State),
    hb_seq=st.integers(0, 3),
    hb_age_sec=st.floats(0, 200),
    left_sec=st.none() | st.floats(-200, 20),
    draining=st.booleans(),
    released_by=st.sampled_from(["", ME, OTHER]),
)


@given(seen=ROWS, leading=st.none() | st.integers(1, 4))
def test_what_must_never_be_decided(seen: Seen, leading: int | None) -> None:
    match decide(seen, ME, leading=leading, stale_sec=STALE):
        case Acquire():
            assert not seen.live or seen.hb_age_sec > STALE
            assert leading is None
            assert seen.state is State.FREE or seen.hb_age_sec > STALE
        case Renew(fence=fence):
            assert (seen.live, seen.owner, seen.fence) == (True, ME, fence)
            assert leading in (None, fence)
        case StepDown():
            assert leading is not None
        case Wait():
            assert leading is None


@pytest.mark.parametrize(("stale", "fits"), [(53.4, False), (53.5, True), (60, True)])
def test_timings_that_let_two_terms_meet_are_refused(stale: float, fits: bool) -> None:
    problem = timing_problem(ttl_sec=20, stale_sec=stale, window_sec=30, offset_sec=3, margin_sec=0.5)
    assert (problem is None) is fits
    if problem:
        assert "at least 53.5" in problem
