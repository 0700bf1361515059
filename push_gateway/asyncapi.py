"""The AsyncAPI 3.0 document of the push gateway, made of the contracts and of the protocol's own tables. Pure.

Two kinds of channels are in it: those of the product (`agent:<login>`, `line:<name>`, `notices`), whose messages are
the publications; and the connection itself, whose messages are commands, replies and the other pushes.
Operations are the gateway's: it sends publications and receives commands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from push_gateway import codes, wire
from push_gateway.protocol import METHODS
from shared import push_control
from shared.contracts.card import CardPublication
from shared.push import NOTICES

_Json = dict[str, Any]
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class PushChannel:
    """A kind of channel. `publications`: by name of the message; each is a contract with a `type`."""

    address: str
    description: str
    publications: Mapping[str, type[BaseModel]]


CHANNELS = {
    "agent": PushChannel(
        "agent:{login}",
        "The cards of one agent. The gateway subscribes each of the agent's tabs; only they hear it.",
        {"card": CardPublication},
    ),
    "line": PushChannel(
        "line:{name}",
        "The board of a line: for supervisors, and for members whose token names it in `channels`. Callcard itself "
        "publishes nothing here yet.",
        {},
    ),
    "notices": PushChannel(
        NOTICES, "Everybody may subscribe. Callcard itself publishes nothing here yet.", {}
    ),
}

_PARAMETERS = {"login": "login of the agent", "name": "name of the line, as the PBX names the queue"}


@dataclass(frozen=True, slots=True)
class WireCommand:
    """A command: what is asked, what comes back (None: nothing but an error, or nothing at all), and what it is for."""

    request: type[BaseModel]
    result: type[BaseModel] | None
    summary: str


COMMANDS = {
    "connect": WireCommand(
        wire.ConnectRequest, wire.ConnectResult, "The first command; answered with the desk."
    ),
    "subscribe": WireCommand(wire.SubscribeRequest, wire.SubscribeResult, "Hear a line or the notices."),
    "unsubscribe": WireCommand(wire.ChannelRequest, wire.Nothing, "Hear it no more."),
    "publish": WireCommand(wire.Nothing, None, "Refused with 103: an agent acts by REST."),
    "presence": WireCommand(wire.ChannelRequest, wire.PresenceResult, "Which tabs are in the channel."),
    "presence_stats": WireCommand(wire.ChannelRequest, wire.PresenceStatsResult, "How many they are."),
    "history": WireCommand(wire.HistoryRequest, wire.HistoryResult, "What was published not long ago."),
    "ping": WireCommand(wire.Nothing, wire.Nothing, "Answered, nothing more."),
    "send": WireCommand(wire.SendRequest, None, "A receipt: this tab has shown, or opened, a card."),
    "rpc": WireCommand(wire.RpcRequest, wire.RpcResult, "A receipt that is answered."),
    "refresh": WireCommand(wire.RefreshRequest, wire.RefreshResult, "A newer token."),
    "sub_refresh": WireCommand(
        wire.ChannelRequest, None, "Answered with 108: the token of the connection says what may be heard."
    ),
}


@dataclass(frozen=True, slots=True)
class WirePush:
    """A push that is no publication."""

    model: type[BaseModel]
    summary: str


_PUSHES = {
    "join": WirePush(wire.InfoPush, "Another tab of the agent came (in agent:<login>)."),
    "leave": WirePush(wire.InfoPush, "Another tab of the agent left (in agent:<login>)."),
    "unsubscribe": WirePush(wire.EndPush, "The gateway ended a subscription: one of x-unsubscribe-codes."),
    "disconnect": WirePush(wire.EndPush, "HTTP streaming only: the close code, before the stream ends."),
}


def document(version: str) -> _Json:
    """The whole document. `version`: the product's."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Callcard push gateway", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {**{name: _channel(one) for name, one in CHANNELS.items()}, "connection": _connection()},
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": _schemas()},
        "x-errors": [_error(one) for one in _of(codes.Error)],
        "x-close-codes": [
            {"code": one.code, "reason": one.reason, "reconnect": one.reconnect, "meaning": one.meaning}
            for one in (*_of(codes.Close), *_farewells())
        ],
        "x-unsubscribe-codes": [
            {"code": one.code, "reason": one.reason, "meaning": one.meaning}
            for one in _of(codes.Unsubscribed)
        ],
    }


_DESCRIPTION = (
    "The Centrifugo client protocol in JSON: any Centrifuge SDK is a client, and knows commands, replies, pings and "
    "recovery by itself; an application needs `data` of the connect reply (DeskSnapshot), the publications of its "
    "channels, and rpc or send for receipts. Frames are text; one may hold several JSON objects, separated by line "
    "breaks."
)


def _servers() -> _Json:
    host = {"default": "127.0.0.1:8080", "description": "where `callcard run gateway` answers"}
    return {
        "websocket": {
            "host": "{host}",
            "protocol": "ws",
            "pathname": "/connection/websocket",
            "variables": {"host": host},
        },
        "http_stream": {
            "host": "{host}",
            "protocol": "http",
            "pathname": "/connection/http_stream",
            "description": "For networks that break WebSockets: the connect command is posted, the answer is a stream "
            "of lines; later commands are posted to /emulation as {session, node, data}.",
            "variables": {"host": host},
        },
    }


def _channel(one: PushChannel) -> _Json:
    return {
        "address": one.address,
        "description": one.description,
        "parameters": {
            name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in one.address
        },
        "messages": {name: _ref("components/messages", name) for name in one.publications},
    }


def _connection() -> _Json:
    names = [*_command_messages(), *(f"{name}_push" for name in _PUSHES)]
    return {
        "address": None,
        "description": "A connection of one tab, over either server.",
        "messages": {name: _ref("components/messages", name) for name in names},
    }


def _command_messages() -> dict[str, _Json]:
    """Names of messages → payloads, of commands and their replies."""
    found: dict[str, _Json] = {"error_reply": _ref("components/schemas", wire.ErrorReply.__name__)}
    for name, one in COMMANDS.items():
        body = {name: _ref("components/schemas", one.request.__name__)}
        found[f"{name}_command"] = _object(body if name == "send" else {"id": _ID, **body})
        if one.result is not None:
            found[f"{name}_reply"] = _object(
                {"id": _ID, name: _ref("components/schemas", one.result.__name__)}
            )
    return found


_ID: _Json = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1, "description": "the reply has the same"}


def _object(properties: _Json) -> _Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _messages() -> _Json:
    publications = {
        name: {
            "summary": (model.__doc__ or "").strip(),
            "payload": _ref("components/schemas", model.__name__),
        }
        for channel in CHANNELS.values()
        for name, model in channel.publications.items()
    }
    commands = {name: {"payload": payload} for name, payload in _command_messages().items()}
    pushes = {}
    for name, push in _PUSHES.items():
        body: _Json = {name: _ref("components/schemas", push.model.__name__)}
        if name != "disconnect":
            body = {"channel": {"type": "string"}, **body}
        pushes[f"{name}_push"] = {"summary": push.summary, "payload": _object({"push": _object(body)})}
    return {**publications, **commands, **pushes}


def _operations() -> _Json:
    hear = {
        f"hear_{name}": {
            "action": "send",
            "channel": _ref("channels", name),
            "messages": [_ref(f"channels/{name}/messages", message) for message in one.publications],
        }
        for name, one in CHANNELS.items()
    }
    tell = {
        f"tell_{name}": {
            "action": "send",
            "channel": _ref("channels", "connection"),
            "messages": [_ref("channels/connection/messages", f"{name}_push")],
        }
        for name in _PUSHES
    }
    return {**hear, **tell, **{name: _command(name, COMMANDS[name]) for name in METHODS}}


def _command(name: str, one: WireCommand) -> _Json:
    operation: _Json = {
        "action": "receive",
        "summary": one.summary,
        "channel": _ref("channels", "connection"),
        "messages": [_ref("channels/connection/messages", f"{name}_command")],
    }
    if name != "send":
        replies = ["error_reply"] if one.result is None else [f"{name}_reply", "error_reply"]
        operation["reply"] = {
            "channel": _ref("channels", "connection"),
            "messages": [_ref("channels/connection/messages", reply) for reply in replies],
        }
    return operation


def _schemas() -> _Json:
    """Each contract as it is on the wire: what the gateway sends as it is written, what it takes as it is read."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for channel in CHANNELS.values():
        models += [(model, "serialization") for model in channel.publications.values()]
    for command in COMMANDS.values():
        models.append((command.request, "validation"))
        if command.result is not None:
            models.append((command.result, "serialization"))
    models += [(push.model, "serialization") for push in _PUSHES.values()]
    models.append((wire.ErrorReply, "serialization"))
    _, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}")
    found: _Json = schemas["$defs"]
    return found


def _error(one: codes.Error) -> _Json:
    return {"code": one.code, "message": one.message, "temporary": one.temporary}


def _of(kind: type[_Kind]) -> list[_Kind]:
    return [one for one in vars(codes).values() if isinstance(one, kind)]


def _farewells() -> Sequence[codes.Close]:
    """Closes that the card API orders: of the application, in the protocol's words."""
    found = [one for one in vars(push_control).values() if isinstance(one, push_control.Farewell)]
    return [codes.Close(one.code, one.reason, "Ordered by the card API.") for one in found]


def _ref(where: str, name: str) -> _Json:
    return {"$ref": f"#/{where}/{name}"}
