"""The breaker, for any story of answers and failures."""

from hypothesis import given
from hypothesis import strategies as st

from card_api.sources.breaker import Breaker, BreakerState

LIMIT, WAIT = 3, 5.0

stories = st.lists(st.tuples(st.sampled_from(["ask", "ok", "fail"]), st.floats(0, 7)), max_size=60)


def test_it_opens_after_failures_in_a_row_and_lets_one_try_later() -> None:
    breaker = Breaker(LIMIT, WAIT)
    for _ in range(LIMIT):
        assert breaker.admits(0)
        breaker.failed(0)
    assert breaker.state(1) is BreakerState.OPEN
    assert not breaker.admits(4.9)
    assert breaker.state(5) is BreakerState.HALF_OPEN
    assert breaker.admits(5)
    assert not breaker.admits(5.1)  # the trial is under way
    breaker.failed(6)
    assert not breaker.admits(9.9)
    assert breaker.admits(10)
    breaker.succeeded()
    assert breaker.state(10) is BreakerState.CLOSED


def test_an_answer_between_two_failures_keeps_it_closed() -> None:
    breaker = Breaker(LIMIT, WAIT)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.admits(0)


def test_those_who_asked_before_it_opened_do_not_keep_it_open() -> None:
    breaker = Breaker(LIMIT, WAIT)
    for now in (0.0, 1.0, 2.0, 4.0, 6.0):  # opens at 2
        breaker.failed(now)
    assert breaker.admits(7)


def test_a_trial_that_never_ends_is_no_trial_for_ever() -> None:
    breaker = Breaker(1, WAIT)
    breaker.failed(0)
    assert breaker.admits(5)
    assert breaker.admits(10)


@given(stories)
def test_closed_asks_always_open_once_in_a_while_and_answers_close_it(story: list[tuple[str, float]]) -> None:
    breaker = Breaker(LIMIT, WAIT)
    now, in_a_row, last = 0.0, 0, None
    for what, passed in story:
        now += passed
        if what == "ok":
            breaker.succeeded()
            in_a_row, last = 0, None
        elif what == "fail":
            breaker.failed(now)
            in_a_row += 1
            if in_a_row == LIMIT:
                last = now
        elif breaker.admits(now):
            # While it fails nobody asks sooner than the wait after the one before.
            assert last is None or now - last >= WAIT
            if in_a_row >= LIMIT:
                last = now
        else:
            assert in_a_row >= LIMIT
        assert (breaker.state(now) is BreakerState.CLOSED) == (in_a_row < LIMIT)
