"""The Centrifugo client protocol in JSON: frames to commands, results to frames. Pure.

A frame is text with one or several JSON objects, separated by line breaks. What was published goes into frames as the
bytes it was published with; nothing here parses or writes a card.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from push_gateway.codes import Close, Error, Unsubscribed
from shared.push import ChannelState, Position, Publication

_MAX_ID = 2**32 - 1
# Offsets are numbers of JavaScript and of Lua on their way: exact up to here, and no channel counts so far.
_MAX_OFFSET = 2**53

METHODS = (
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "ping",
    "send",
    "rpc",
    "refresh",
    "sub_refresh",
)

# What the client may ask for in `flag` of subscribe: answer 112 instead of a subscription that could not be recovered.
FLAG_REJECT_UNRECOVERED = 2


class BadFrame(Exception):
    """The frame is not the protocol."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `method`: one of `METHODS`, 'pong' for `{}`, '' for one nobody knows. `id`: 0 for send and pong."""

    id: int
    method: str
    params: Mapping[str, Any]


PING = b"{}"
"""The answer to it is the same."""

PONG = Command(0, "pong", {})


def parse_frame(text: str, max_chars: int, max_lines: int) -> list[Command]:
    """The commands in a frame, at least one, a line each. Raises `BadFrame`."""
    if len(text) > max_chars:
        raise BadFrame(f"a frame of {len(text)} characters; at most {max_chars} are taken")
    # Counted before any is read: twenty thousand empty objects fit into a frame, and every other tab would wait.
    if text.count("\n") >= max_lines:
        raise BadFrame(f"a frame of more than {max_lines} lines")
    commands = [_parse_command(line) for line in text.split("\n") if line and not line.isspace()]
    if not commands:
        raise BadFrame("an empty frame")
    return commands


def _parse_command(line: str) -> Command:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadFrame("a command must be an object")
    if not document:
        return PONG
    number = document.get("id", 0)
    if type(number) is not int or not 0 <= number <= _MAX_ID:
        raise BadFrame("id must be a whole number from 0 to 4294967295")
    method = next((name for name in METHODS if name in document), "")
    params = document.get(method) or {}
    if not isinstance(params, dict):
        raise BadFrame(f"{method} must be an object")
    if number == 0 and method != "send":
        raise BadFrame("a command that wants an answer needs an id")
    return Command(number, method, params)


def parse_position(request: Any) -> Position | None:
    """Where a client was, from `{recover, epoch, offset}`; None if it does not recover. Raises `BadFrame`."""
    if not isinstance(request, dict):
        raise BadFrame("a subscription must be an object")
    if not request.get("recover"):
        return None
    epoch, offset = request.get("epoch") or "", request.get("offset") or 0
    if not isinstance(epoch, str) or type(offset) is not int or not 0 <= offset <= _MAX_OFFSET:
        raise BadFrame("epoch must be text and offset a whole number from 0 to 2^53")
    return Position(epoch, offset)


def error_reply(number: int, error: Error) -> str:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.temporary:
        body["temporary"] = True
    return _text({"id": number, "error": body})


def reply(number: int, method: str, result: Mapping[str, Any] | None = None) -> str:
    """A result that is all ours."""
    return _text({"id": number, method: result or {}})


def raw_reply(number: int, method: str, result: bytes) -> str:
    """A result with published JSON in it."""
    return (b'{"id":%d,"%s":%s}' % (number, method.encode(), result)).decode()


def push_head(channel: str) -> bytes:
    """What `push_frame` begins with."""
    return b'{"push":{"channel":%s,"pub":{"data":' % orjson.dumps(channel)


def push_frame(head: bytes, data: bytes, offset: int) -> bytes:
    """A publication on its way to the tabs of a channel: made once, however many they are. `head`: see `push_head`."""
    return b'%s%s,"offset":%d}}}' % (head, data, offset)


def presence_frame(channel: str, what: str, client: str, user: str) -> str:
    """`what`: join or leave."""
    return _text({"push": {"channel": channel, what: {"info": {"user": user, "client": client}}}})


def unsubscribe_frame(channel: str, why: Unsubscribed) -> str:
    return _text({"push": {"channel": channel, "unsubscribe": {"code": why.code, "reason": why.reason}}})


def disconnect_frame(close: Close) -> str:
    """What a transport without close codes says last."""
    return _text({"push": {"disconnect": {"code": close.code, "reason": close.reason}}})


def presence_result(present: Mapping[str, str]) -> Mapping[str, Any]:
    """`PresenceResult` of clients and their users."""
    return {"presence": {client: {"user": user, "client": client} for client, user in present.items()}}


def presence_stats_result(present: Mapping[str, str]) -> Mapping[str, Any]:
    """`PresenceStatsResult`."""
    return {"num_clients": len(present), "num_users": len(set(present.values()))}


def connect_result(
    fields: Mapping[str, Any], desk: bytes, channel: str, state: ChannelState, known: Position | None
) -> bytes:
    """`ConnectResult`: `fields` are client, version, expires, ttl, ping, pong and the like; `desk` is `data`."""
    subs = b"{%s:%s}" % (orjson.dumps(channel), subscribe_result(state, known))
    return b'%s,"data":%s,"subs":%s}' % (orjson.dumps(fields)[:-1], desk, subs)


def subscribe_result(state: ChannelState, known: Position | None) -> bytes:
    """`SubscribeResult`: everything that was missed, or `recovered: false` and nothing."""
    recovered = known is not None and state.recovered
    head = orjson.dumps(
        {
            "recoverable": True,
            "positioned": True,
            "epoch": state.position.epoch,
            "offset": state.position.offset,
            "recovered": recovered,
            "was_recovering": known is not None,
        }
    )
    return b'%s,"publications":%s}' % (head[:-1], _publications(state.missed if recovered else ()))


def history_result(position: Position, publications: tuple[Publication, ...]) -> bytes:
    return b'{"publications":%s,"epoch":%s,"offset":%d}' % (
        _publications(publications),
        orjson.dumps(position.epoch),
        position.offset,
    )


def _publications(publications: tuple[Publication, ...]) -> bytes:
    return b"[" + b",".join(b'{"data":%s,"offset":%d}' % (p.data, p.offset) for p in publications) + b"]"


def _text(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()
