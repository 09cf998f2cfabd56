from hypothesis import given
from hypothesis import strategies as st

from cryptobot.supervisor.restarts import FIRST_DELAY_SEC, LONGEST_DELAY_SEC, STABLE_SEC, History, after_exit


def test_the_delay_doubles_up_to_its_limit() -> None:
    history, delays = History(), []
    for _ in range(9):
        decision = after_exit(history, uptime_sec=0.1)
        history = decision.history
        delays.append(decision.delay_sec)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert history.restarts == 9


def test_a_stable_time_earns_a_fresh_start_but_no_forgetting() -> None:
    decision = after_exit(History(failures=7, restarts=12), uptime_sec=STABLE_SEC)
    assert decision.delay_sec == FIRST_DELAY_SEC
    assert decision.history == History(failures=1, restarts=13)


def test_just_under_a_stable_time_is_one_more_failure() -> None:
    assert after_exit(History(failures=2), uptime_sec=STABLE_SEC - 0.001).delay_sec == 2.0


@given(failures=st.integers(0, 10**6), uptime_sec=st.floats(0, 1e9))
def test_any_history_waits_between_the_limits(failures: int, uptime_sec: float) -> None:
    decision = after_exit(History(failures=failures), uptime_sec=uptime_sec)
    assert FIRST_DELAY_SEC <= decision.delay_sec <= LONGEST_DELAY_SEC
