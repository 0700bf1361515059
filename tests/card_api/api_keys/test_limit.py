"""The token bucket, with the time passed in."""

from hypothesis import given
from hypothesis import strategies as st

from card_api.api_keys.limit import Limit, Limiter, Verdict, headers

TEN = Limit(rate=10.0, burst=20.0)


def test_a_burst_then_the_rate() -> None:
    limiter = Limiter()
    assert [limiter.take("crm", TEN, 100.0).allowed for _ in range(21)] == [True] * 20 + [False]
    refused = limiter.take("crm", TEN, 100.0)
    assert (refused.left, round(refused.wait, 6)) == (0, 0.1)
    assert limiter.take("crm", TEN, 100.1).allowed
    assert not limiter.take("crm", TEN, 100.1).allowed


def test_what_is_left_is_counted_down() -> None:
    limiter = Limiter()
    assert limiter.look("crm", TEN, 0.0) == Verdict(True, 20, 0.0)
    assert [limiter.take("crm", TEN, 0.0).left for _ in range(3)] == [19, 18, 17]
    assert limiter.look("crm", TEN, 0.0).left == 17


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    limiter = Limiter()
    for _ in range(20):
        limiter.take("crm", TEN, 0.0)
    assert [limiter.take("crm", TEN, 3600.0).allowed for _ in range(21)] == [True] * 20 + [False]


def test_one_that_runs_wild_does_not_disturb_another() -> None:
    limiter = Limiter()
    for _ in range(1000):
        limiter.take("wild", TEN, 0.0)
    assert limiter.take("quiet", TEN, 0.0).allowed


def test_who_asks_while_refused_does_not_wait_longer() -> None:
    limiter = Limiter()
    for _ in range(1000):
        limiter.take("crm", TEN, 0.0)
    assert limiter.take("crm", TEN, 0.11).allowed


def test_memory_is_bounded_and_the_worst_are_remembered() -> None:
    limiter = Limiter(most=100)
    for _ in range(20):
        limiter.take("wild", TEN, 0.0)
    for n in range(1000):
        limiter.take(n, TEN, 0.0)
    assert len(limiter) <= 101
    assert not limiter.take("wild", TEN, 0.0).allowed


def test_full_buckets_are_forgotten() -> None:
    limiter = Limiter(most=10)
    for n in range(10):
        limiter.take(n, TEN, 0.0)
    limiter.take("later", TEN, 60.0)
    assert len(limiter) == 1


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    limiter, now, allowed = Limiter(), 1_000_000.0, 0
    for pause in pauses:
        now += pause
        allowed += limiter.take("crm", TEN, now).allowed
    passed = now - 1_000_000.0 - pauses[0]
    assert allowed <= TEN.burst + passed * TEN.rate + 1e-3
    assert allowed >= min(len(pauses), TEN.burst)


def test_the_headers_of_the_draft_and_the_old_ones() -> None:
    said = headers("key", TEN, Verdict(False, 0, 0.04))
    assert said == {
        "Retry-After": "1",
        "RateLimit-Policy": '"key";q=10;w=1',
        "RateLimit": '"key";r=0;t=1',
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1",
    }
