"""What a session does beyond the frames of `transcripts/`: what it asks for, and what the clock brings."""

import json
from typing import Any

import pytest

from push_gateway.codes import Close
from push_gateway.effects import ReadHistory
from shared.push import ChannelState, Position, Publication
from tests.push_gateway.transcript import Transcript


def connected(**params: Any) -> Transcript:
    transcript = Transcript(**params)
    assert "connect" in transcript.connect()
    return transcript


def test_the_position_of_the_agents_own_channel_is_asked_about_and_no_other() -> None:
    transcript = Transcript()
    transcript.connect(
        subs={
            "agent:101": {"recover": True, "epoch": "e1", "offset": 5},
            "agent:102": {"recover": True, "epoch": "e1", "offset": 6},
        }
    )
    (opened,) = transcript.asked
    assert (opened.channel, opened.known) == ("agent:101", Position("e1", 5))  # type: ignore[union-attr]


@pytest.mark.parametrize("params", [{"limit": -1}, {"limit": 1000}])
def test_history_without_a_limit_is_all_that_is_kept(params: dict[str, int]) -> None:
    transcript = connected(state=ChannelState(Position("e1", 7), (), True, (Publication(7, b"{}"),)))
    (reply,) = transcript.say({"id": 3, "history": {"channel": "agent:101", **params, "reverse": True}})
    assert reply["history"]["publications"] == [{"data": {}, "offset": 7}]
    assert transcript.asked[-1] == ReadHistory(3, "agent:101", None, 128, reverse=True)


def test_receipts_by_rpc_and_by_send() -> None:
    transcript = connected()
    seen = {"call_id": "c", "rev": 3, "at": "2026-11-21T22:00:01.250Z"}
    transcript.say({"id": 2, "rpc": {"method": "card.shown", "data": seen}})
    transcript.say({"send": {"data": {"type": "card.opened", **seen}}})
    transcript.say({"send": {"data": {"type": "card.opened"}}})
    assert [(r.what, r.agent, r.seen.rev) for r in transcript.receipts] == [
        ("card.shown", "101", 3),
        ("card.opened", "101", 3),
    ]


def test_what_is_no_receipt_is_a_bad_request_however_deep_it_is() -> None:
    transcript = connected()
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    for data in (deep, {"call_id": deep}, {"call_id": "c", "rev": 2**63}, "c", None):
        # Not by orjson: it writes no more than 254 levels, and reads a thousand.
        (reply,) = transcript.say_text(json.dumps({"id": 2, "rpc": {"method": "card.shown", "data": data}}))
        assert reply["error"]["code"] == 107
    assert transcript.receipts == []


def test_what_is_unsubscribed_or_refused_is_left() -> None:
    transcript = connected()
    transcript.say({"id": 2, "subscribe": {"channel": "notices"}})
    transcript.say({"id": 3, "unsubscribe": {"channel": "notices"}})
    assert transcript.left == ["notices"]
    transcript.state = ChannelState(Position("e2", 1), (), False, ())
    ask = {"channel": "notices", "recover": True, "epoch": "e1", "offset": 3, "flag": 2}
    transcript.say({"id": 4, "subscribe": ask})
    assert transcript.left == ["notices", "notices"]


def answering(transcript: Transcript, seconds: float) -> list[Any]:
    """Let time pass with a client that answers pings; what else was said."""
    said: list[Any] = []
    for _ in range(int(seconds)):
        for message in transcript.wait(1):
            if message == {}:
                transcript.say({})
            else:
                said.append(message)
    return said


def test_a_token_that_runs_out_ends_the_connection_after_a_grace() -> None:
    transcript = connected()
    assert answering(transcript, 600 + 24) == []
    assert answering(transcript, 2) == [Close(3005, "connection expired")]


def test_a_refreshed_token_keeps_the_connection() -> None:
    transcript = connected()
    answering(transcript, 590)
    assert "refresh" in transcript.say({"id": 2, "refresh": {"token": "good;101"}})[0]
    assert answering(transcript, 600) == []


@pytest.mark.parametrize(
    ("code", "again"), [(3001, True), (3499, True), (3500, False), (4000, True), (4500, False), (5000, True)]
)
def test_close_codes_say_whether_the_client_comes_back(code: int, again: bool) -> None:
    assert Close(code, "").reconnect is again
