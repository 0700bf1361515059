"""Transcripts: frames in, frames out, for every command, error and close code. No socket, no Redis."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from push_gateway.protocol import INTERNAL, BadFrame, Close, parse_frame
from push_gateway.session import (
    COMMANDS_PER_SECOND,
    End,
    GiveReceipt,
    Identity,
    Join,
    Leave,
    Open,
    ReadHistory,
    Send,
    Session,
)
from shared.push import ChannelState, Position, Publication
from shared.security import TokenError

WALL = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
NOW_AT = ChannelState(Position("e1", 7), (b'{"call_id":"c"}',), recovered=True, missed=())


def authenticate(token: str) -> Identity:
    if token == "expired":
        raise TokenError("the token has expired", expired=True)
    if not token.startswith("good"):
        raise TokenError("the token is not valid")
    return Identity(token.removeprefix("good:"), "agent", 600)


class Transcript:
    """A session whose questions to Redis are answered with `state`."""

    def __init__(self, state: ChannelState = NOW_AT, away: bool = False) -> None:
        self.now = 0.0
        self.state = state
        self.away = away
        self.left: list[str] = []
        self.receipts: list[GiveReceipt] = []
        self.asked: list[Open | Join | ReadHistory] = []
        self.session = Session("client-1", "node-1", authenticate, self.now)

    def say(self, *frames: dict[str, Any]) -> list[Any]:
        """What comes back: messages as objects, a close as `Close`."""
        text = "\n".join(orjson.dumps(frame).decode() for frame in frames)
        out: list[Any] = []
        try:
            commands = parse_frame(text)
        except BadFrame:
            return ["bad frame"]
        for command in commands:
            out += self._do(self.session.command(command, self.now))
        return out

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, ticking whenever the session wants to."""
        end, out = self.now + seconds, []
        while self.session.deadline <= end:
            self.now = self.session.deadline
            effects = self.session.tick(self.now)
            out += self._do(effects)
            if any(isinstance(effect, End) for effect in effects):
                break
        self.now = end
        return out

    def connect(self, **params: Any) -> Any:
        (reply,) = self.say({"id": 1, "connect": {"token": "good:101", **params}})
        return reply

    def _do(self, effects: list[Any]) -> list[Any]:
        out: list[Any] = []
        for effect in effects:
            match effect:
                case Send(frame):
                    out.append(orjson.loads(frame))
                case End(close):
                    out.append(close)
                case Leave(channel):
                    self.left.append(channel)
                case GiveReceipt():
                    self.receipts.append(effect)
                case question:
                    self.asked.append(question)
                    out += self._do(self._answer(question))
        return out

    def _answer(self, question: Any) -> list[Any]:
        if self.away:
            return self.session.failed(question, INTERNAL)
        if isinstance(question, Open):
            return self.session.opened(question, self.state, self.now, WALL)
        if isinstance(question, Join):
            return self.session.joined(question, self.state)
        missed = self.state.missed if question.limit else ()
        return self.session.history_read(question, self.state.position, missed)


def error(number: int, code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "error": {"code": code, "message": message, **more}}


def connected(**params: Any) -> Transcript:
    transcript = Transcript(**params)
    assert "connect" in transcript.connect()
    return transcript


def test_connect_answers_with_the_desk_and_the_position() -> None:
    assert Transcript().connect() == {
        "id": 1,
        "connect": {
            "client": "client-1",
            "version": "callcard",
            "expires": True,
            "ttl": 540,
            "ping": 25,
            "pong": True,
            "node": "node-1",
            "time": 1795298400000,
            "data": {
                "type": "desk",
                "agent": {"login": "101", "role": "agent"},
                "epoch": "e1",
                "offset": 7,
                "complete": True,
                "server_time": "2026-11-21T22:00:00.000Z",
                "cards": [{"call_id": "c"}],
            },
            "subs": {
                "agent:101": {
                    "recoverable": True,
                    "positioned": True,
                    "epoch": "e1",
                    "offset": 7,
                    "recovered": False,
                    "was_recovering": False,
                    "publications": [],
                }
            },
        },
    }


def test_recovery_is_all_or_nothing() -> None:
    where = {"agent:101": {"recover": True, "epoch": "e1", "offset": 5}}
    missed = (Publication(6, b'{"n":6}'), Publication(7, b'{"n":7}'))
    whole = Transcript(ChannelState(Position("e1", 7), (), True, missed))
    subscription = whole.connect(subs=where)["connect"]["subs"]["agent:101"]
    assert subscription["recovered"]
    assert subscription["was_recovering"]
    assert subscription["publications"] == [{"data": {"n": 6}, "offset": 6}, {"data": {"n": 7}, "offset": 7}]
    (opened,) = whole.asked
    assert opened.known == Position("e1", 5)

    holed = Transcript(ChannelState(Position("e2", 7), (), False, ()))
    subscription = holed.connect(subs=where)["connect"]["subs"]["agent:101"]
    assert not subscription["recovered"]
    assert subscription["was_recovering"]
    assert subscription["publications"] == []


def test_a_position_of_a_colleagues_channel_is_ignored() -> None:
    transcript = Transcript()
    reply = transcript.connect(subs={"agent:102": {"recover": True, "epoch": "e1", "offset": 5}})
    assert list(reply["connect"]["subs"]) == ["agent:101"]
    (opened,) = transcript.asked
    assert opened.known is None


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ({"id": 1, "connect": {"token": "forged"}}, Close(3500, "invalid token")),
        ({"id": 1, "connect": {"token": "expired"}}, error(1, 109, "token expired")),
        ({"id": 1, "connect": {}}, error(1, 101, "unauthorized")),
        ({"id": 1, "connect": {"token": 5}}, error(1, 101, "unauthorized")),
        ({"id": 1, "connect": {"token": "good:101", "subs": []}}, None),
        ({"id": 1, "connect": {"token": "good:101", "subs": [1]}}, Close(3501, "bad request")),
        (
            {
                "id": 1,
                "connect": {"token": "good:101", "subs": {"agent:101": {"recover": True, "offset": -1}}},
            },
            Close(3501, "bad request"),
        ),
        ({"id": 1, "subscribe": {"channel": "agent:101"}}, Close(3501, "bad request")),
        ({"id": 1, "ping": {}}, Close(3501, "bad request")),
    ],
)
def test_the_first_command(command: dict[str, Any], answer: Any) -> None:
    (said,) = Transcript().say(command)
    if answer is None:
        assert "connect" in said
    else:
        assert said == answer


def test_connect_a_second_time_is_a_broken_client() -> None:
    assert connected().say({"id": 2, "connect": {"token": "good:101"}}) == [Close(3501, "bad request")]


def test_connect_while_redis_is_away_may_be_tried_again_on_the_same_connection() -> None:
    transcript = Transcript(away=True)
    assert transcript.connect() == error(1, 100, "internal server error", temporary=True)
    transcript.away = False
    assert "connect" in transcript.connect()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ({"id": 2, "subscribe": {"channel": "agent:102"}}, error(2, 103, "permission denied")),
        ({"id": 2, "subscribe": {"channel": "line:support"}}, error(2, 103, "permission denied")),
        ({"id": 2, "subscribe": {"channel": "other"}}, error(2, 102, "unknown channel")),
        ({"id": 2, "subscribe": {"channel": "agent:101"}}, error(2, 105, "already subscribed")),
        ({"id": 2, "subscribe": {}}, error(2, 107, "bad request")),
        ({"id": 2, "subscribe": {"channel": "a" * 256}}, error(2, 107, "bad request")),
        ({"id": 2, "unsubscribe": {"channel": 5}}, error(2, 107, "bad request")),
        ({"id": 2, "unsubscribe": {"channel": "notices"}}, {"id": 2, "unsubscribe": {}}),
        ({"id": 2, "publish": {"channel": "agent:101", "data": {}}}, error(2, 103, "permission denied")),
        ({"id": 2, "presence": {"channel": "agent:101"}}, error(2, 108, "not available")),
        ({"id": 2, "presence_stats": {"channel": "agent:101"}}, error(2, 108, "not available")),
        ({"id": 2, "sub_refresh": {"channel": "agent:101"}}, error(2, 108, "not available")),
        ({"id": 2, "history": {"channel": "agent:102"}}, error(2, 103, "permission denied")),
        ({"id": 2, "history": {"channel": "agent:101", "limit": "5"}}, error(2, 107, "bad request")),
        ({"id": 2, "rpc": {"method": "hang.up"}}, error(2, 104, "method not found")),
        ({"id": 2, "rpc": {"method": "card.shown", "data": {"rev": 1}}}, error(2, 107, "bad request")),
        ({"id": 2, "dance": {}}, error(2, 104, "method not found")),
        ({"id": 2, "refresh": {}}, error(2, 107, "bad request")),
        ({"id": 2, "refresh": {"token": "expired"}}, error(2, 109, "token expired")),
        ({"id": 2, "refresh": {"token": "forged"}}, Close(3500, "invalid token")),
        ({"id": 2, "refresh": {"token": "good:102"}}, Close(3500, "invalid token")),
        ({"id": 2, "ping": {}}, {"id": 2, "ping": {}}),
        ({"id": 2, "history": {"channel": "agent:101", "since": 5}}, Close(3501, "bad request")),
    ],
)
def test_a_command_and_its_answer(command: dict[str, Any], answer: Any) -> None:
    assert connected().say(command) == [answer]


def test_subscribe_and_unsubscribe_what_is_for_everybody() -> None:
    transcript = connected()
    (reply,) = transcript.say({"id": 2, "subscribe": {"channel": "notices"}})
    assert reply["subscribe"]["offset"] == 7
    assert transcript.say({"id": 3, "subscribe": {"channel": "notices"}}) == [
        error(3, 105, "already subscribed")
    ]
    assert transcript.say({"id": 4, "unsubscribe": {"channel": "notices"}}) == [{"id": 4, "unsubscribe": {}}]
    assert transcript.left == ["notices"]
    assert "subscribe" in transcript.say({"id": 5, "subscribe": {"channel": "notices"}})[0]


def test_a_client_that_wants_recovery_or_nothing_gets_112() -> None:
    transcript = connected()
    transcript.state = ChannelState(Position("e2", 1), (), False, ())
    ask = {"channel": "notices", "recover": True, "epoch": "e1", "offset": 3}
    assert transcript.say({"id": 2, "subscribe": {**ask, "flag": 2}}) == [
        error(2, 112, "unrecoverable position")
    ]
    assert transcript.left == ["notices"]
    (reply,) = transcript.say({"id": 3, "subscribe": ask})
    assert not reply["subscribe"]["recovered"]


def test_history_of_the_own_channel() -> None:
    transcript = connected(state=ChannelState(Position("e1", 7), (), True, (Publication(7, b"{}"),)))
    assert transcript.say({"id": 2, "history": {"channel": "agent:101"}}) == [
        {"id": 2, "history": {"publications": [], "epoch": "e1", "offset": 7}}
    ]
    since = {"epoch": "e1", "offset": 3}
    (reply,) = transcript.say({"id": 3, "history": {"channel": "agent:101", "limit": -1, "since": since}})
    assert reply["history"]["publications"] == [{"data": {}, "offset": 7}]
    assert transcript.asked[-1].limit == 128
    other = {"epoch": "e0", "offset": 3}
    assert transcript.say({"id": 4, "history": {"channel": "agent:101", "limit": 1, "since": other}}) == [
        error(4, 112, "unrecoverable position")
    ]


def test_receipts_by_rpc_and_by_send() -> None:
    transcript = connected()
    seen = {"call_id": "c", "rev": 3, "at": "2026-11-21T22:00:01.250Z"}
    assert transcript.say({"id": 2, "rpc": {"method": "card.shown", "data": seen}}) == [
        {"id": 2, "rpc": {"data": {}}}
    ]
    assert transcript.say({"send": {"data": {"type": "card.opened", **seen}}}) == []
    assert transcript.say({"send": {"data": {"type": "card.opened"}}}) == []
    assert transcript.say({"send": {"data": "hello"}}) == []
    assert [(r.what, r.agent, r.seen.rev) for r in transcript.receipts] == [
        ("card.shown", "101", 3),
        ("card.opened", "101", 3),
    ]


def test_several_commands_in_one_frame_are_answered_in_order() -> None:
    said = Transcript().say(
        {"id": 1, "connect": {"token": "good:101"}},
        {"id": 2, "ping": {}},
        {"id": 3, "dance": {}},
    )
    assert [message["id"] for message in said] == [1, 2, 3]


@pytest.mark.parametrize(
    "frame",
    ["", "\n", "nonsense", "[]", "5", "{", '{"id":-1,"ping":{}}', '{"id":true,"ping":{}}', '{"ping":{}}',
     '{"id":4294967296,"ping":{}}', '{"id":1,"ping":[1]}', '{"id":1,"ping":{}}\nnonsense', "x" * 70_000],
)  # fmt: skip
def test_what_is_not_the_protocol(frame: str) -> None:
    with pytest.raises(BadFrame):
        parse_frame(frame)


def test_unknown_fields_are_ignored() -> None:
    assert connected().say({"id": 2, "ping": {"new": 1}, "later": True}) == [{"id": 2, "ping": {}}]


def test_who_says_nothing_is_stale() -> None:
    transcript = Transcript()
    assert transcript.wait(9.9) == []
    assert transcript.wait(0.2) == [Close(3502, "stale")]


def test_who_fails_to_connect_is_stale_too() -> None:
    transcript = Transcript()
    transcript.say({"id": 1, "connect": {"token": "expired"}})
    assert transcript.wait(10) == [Close(3502, "stale")]


def test_ping_and_pong() -> None:
    transcript = connected()
    assert transcript.wait(25) == [{}]
    assert transcript.say({}) == []
    assert transcript.wait(25) == [{}]
    assert transcript.wait(8) == [Close(3012, "no pong")]
    assert transcript.say({"id": 2, "ping": {}}) == []


def test_any_frame_counts_as_life() -> None:
    transcript = connected()
    assert transcript.wait(26) == [{}]
    transcript.say({"send": {"data": {}}})
    assert transcript.wait(20) == []


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
    assert transcript.say({"id": 2, "refresh": {"token": "good:101"}}) == [
        {"id": 2, "refresh": {"client": "client-1", "version": "callcard", "expires": True, "ttl": 540}}
    ]
    assert answering(transcript, 600) == []


def test_a_loop_in_a_page_is_slowed_down_not_cut_off() -> None:
    transcript = connected()
    said = [transcript.say({"id": n, "ping": {}})[0] for n in range(2, COMMANDS_PER_SECOND + 10)]
    assert said[0] == {"id": 2, "ping": {}}
    assert said[-1]["error"] == {"code": 111, "message": "too many requests", "temporary": True}
    transcript.now += 1
    assert transcript.say({"id": 99, "ping": {}}) == [{"id": 99, "ping": {}}]


@pytest.mark.parametrize(
    ("code", "again"), [(3001, True), (3499, True), (3500, False), (4000, True), (4500, False)]
)
def test_close_codes_say_whether_the_client_comes_back(code: int, again: bool) -> None:
    assert Close(code, "").reconnect is again
