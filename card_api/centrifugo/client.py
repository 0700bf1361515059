"""Centrifugo's server API over HTTP (version 6: `POST /api/<method>`, the key in X-API-Key)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from shared.push import Position

# Centrifugo answers within a millisecond; in two seconds it does not answer at all.
_SECONDS = 2.0
# "internal": of the errors of its API the one that may go away by itself.
_TEMPORARY = 100
_WRONG_KEY = (401, 403)


class CentrifugoAway(ConnectionError):
    """Centrifugo did not do it, and may do it later. The text is a sentence for the log and for /readyz."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Centrifugo will not do a command, now or later: `code` and `message` are its own."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of its API: the method and its parameters, JSON."""

    method: str
    params: bytes


def publish(channel: str, data: bytes, once: str = "") -> Command:
    """Publish JSON. `once`: a key by which Centrifugo knows a repetition, for some minutes; '' publishes it again."""
    key = b',"idempotency_key":' + orjson.dumps(once) if once else b""
    return Command("publish", b'{"channel":%s,"data":%s%s}' % (orjson.dumps(channel), data, key))


def disconnect(login: str, code: int, reason: str) -> Command:
    """Close every connection of the agent. `code`: of the WebSocket's close frame."""
    return Command(
        "disconnect", orjson.dumps({"user": login, "disconnect": {"code": code, "reason": reason}})
    )


class Centrifugo:
    """Speaks to one Centrifugo, or to several behind one address. Every method raises `CentrifugoAway`."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"X-API-Key": secret, "Content-Type": "application/json"},
            timeout=_SECONDS,
            # It stands beside us: a proxy of the environment is for the world outside.
            trust_env=False,
        )

    async def send(self, commands: Sequence[Command]) -> list[Refusal | None]:
        """Several commands, in order, in one round trip; for each None if it was done."""
        body = b",".join(b'{"%s":%s}' % (command.method.encode(), command.params) for command in commands)
        answer = await self._call("batch", b'{"commands":[%s]}' % body)
        replies = answer.get("replies")
        if not isinstance(replies, list) or len(replies) != len(commands):
            raise self._not_centrifugo()
        return [_refusal(reply) for reply in replies]

    async def position(self, channel: str) -> Position:
        """Where the channel's history ends now."""
        result = await self._result("history", {"channel": channel, "limit": 0})
        # Here and below: fields that are 0 or empty may be left out.
        return Position(str(result.get("epoch") or ""), int(result.get("offset") or 0))

    async def connected(self, channel: str) -> bool:
        """Does a tab listen to the channel?"""
        result = await self._result("presence_stats", {"channel": channel})
        return int(result.get("num_clients") or 0) > 0

    async def version(self) -> str:
        """Of the first node."""
        nodes = (await self._result("info", {})).get("nodes") or [{}]
        return str(nodes[0].get("version") or "unknown")

    async def close(self) -> None:
        await self._http.aclose()

    async def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        answer = await self._call(method, orjson.dumps(params))
        refused = _refusal(answer)
        if refused is not None:
            raise CentrifugoAway(sentence(refused))
        result = answer.get("result")
        if not isinstance(result, dict):
            raise self._not_centrifugo()
        return result

    def _not_centrifugo(self) -> CentrifugoAway:
        return CentrifugoAway(f"{self._url} does not answer like Centrifugo 6: is it one?")

    async def _call(self, method: str, body: bytes) -> dict[str, Any]:
        try:
            answer = await self._http.post(f"/api/{method}", content=body)
        except (httpx.HTTPError, OSError) as error:
            raise CentrifugoAway(
                f"Centrifugo does not answer at {self._url} ({error or type(error).__name__}): is it running, and is "
                "CALLCARD_PUSH__CENTRIFUGO_URL right?"
            ) from None
        if answer.status_code in _WRONG_KEY:
            raise CentrifugoAway(
                "Centrifugo refuses the key: http_api.key in its configuration must be the same as "
                "CALLCARD_PUSH__CENTRIFUGO_SECRET."
            )
        if answer.status_code != httpx.codes.OK:
            raise CentrifugoAway(
                f"{self._url}/api/{method} answers {answer.status_code}: is CALLCARD_PUSH__CENTRIFUGO_URL the address "
                "of Centrifugo's server API?"
            )
        try:
            document = orjson.loads(answer.content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._not_centrifugo()
        return document


def sentence(refusal: Refusal) -> str:
    """A refusal in words."""
    said = f"{refusal.message} ({refusal.code})"
    return f"Centrifugo refuses it: {said}. Compare its configuration with docs/centrifugo.md."


def _refusal(reply: Any) -> Refusal | None:
    """What is wrong, if something is. Raises `CentrifugoAway` if it may be right later."""
    error = reply.get("error") if isinstance(reply, dict) else None
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), str(error.get("message", ""))[:200]
    if code == _TEMPORARY or not isinstance(code, int):
        raise CentrifugoAway(f"Centrifugo has an error of its own: {message}; its log says which.")
    return Refusal(code, message)
