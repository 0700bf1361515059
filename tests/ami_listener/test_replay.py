"""Replay of recordings: the same bytes give the same updates, and no bytes make it fail."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ami_listener.replay import final_calls, read_timing, replay
from tests.ami_listener.tracker.recordings import FOLDER

RECORDING = (FOLDER / "direct_did.ami").read_bytes()
TIMING = read_timing((FOLDER / "direct_did.timing").read_text())


def test_the_recordings_own_time_is_used() -> None:
    (call,) = final_calls(replay(RECORDING, timing=TIMING))
    assert call.started_at == datetime(
        2026, 11, 21, 22, 44, 16, 716000, UTC
    )  # EventTV, and 1 ms of the timing
    assert call.answered_at is not None
    assert 0.6 < (call.answered_at - call.started_at).total_seconds() < 0.9


def test_without_timing_the_times_that_events_show_are_used() -> None:
    (call,) = final_calls(replay(RECORDING))
    assert call.started_at == datetime(2026, 11, 21, 22, 44, 16, 715000, UTC)
    assert call.call_id == "pbx-1795301056.75"


def test_a_recording_without_any_time_is_replayed_all_the_same() -> None:
    nameless = RECORDING.replace(b"1795301056.", b"id-").replace(b"EventTV", b"X")
    (call,) = final_calls(replay(nameless, pbx="office"))
    assert (call.call_id, call.end_reason) == ("office-id-75", "completed")
    assert call.started_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_replaying_twice_gives_the_same_bytes() -> None:
    first, second = ([u.to_json() for u in replay(RECORDING, timing=TIMING)] for _ in range(2))
    assert first == second


def test_time_never_goes_back() -> None:
    shuffled = [(ms * 7919 % 1000, end) for ms, end in TIMING]
    moments = [update.at for update in replay(RECORDING, timing=shuffled)]
    assert moments == sorted(moments)


def test_timing_is_read_with_its_comments_and_without_its_nonsense() -> None:
    text = "# ms bytes\n0 30\n\n5 201\nfoo bar\n-1 5\n1 2 3\n9 99999999999999999999\n"
    assert read_timing(text) == [(0, 30), (5, 201)]


def test_a_timing_that_does_not_fit_loses_nothing() -> None:
    for timing in ([(1, 50)], [(5, 10**9)], [(10**15, 400), (3, 200)], [(0, 0)]):
        (call,) = final_calls(replay(RECORDING, timing=timing))
        assert call.end_reason == "completed"


def test_an_open_call_is_given_as_it_was_at_the_end() -> None:
    (call,) = final_calls(replay(RECORDING[: RECORDING.index(b"Event: HangupRequest")], timing=TIMING))
    assert (call.state, call.end_reason, call.talking_to) == ("answered", None, "PJSIP/agent101")


def test_problems_are_told_and_the_rest_is_used() -> None:
    problems: list[str] = []
    broken = b"no header at all\r\n\r\n" + RECORDING
    assert len(final_calls(replay(broken, problems=problems))) == 1
    assert any("garbage" in problem for problem in problems)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=400), st.integers(0, len(RECORDING)), st.integers(0, len(RECORDING)))
def test_any_bytes_are_survived(noise: bytes, at: int, end: int) -> None:
    problems: list[str] = []
    list(replay(RECORDING[:at] + noise + RECORDING[end:], timing=TIMING, problems=problems))
    list(replay(noise, problems=problems))
    assert not any("could not be used" in problem for problem in problems)
