"""HTTP streaming, for networks that break WebSockets: `/connection/http_stream` down, `/emulation` up.

The tab posts its connect command; the answer is a stream of lines that stays open, each line a reply or a push. What
the tab says later comes in posts of its own to `/emulation`, with the secret name of its session and the name of its
node, because a balancer hands them to any gateway process: one that is not the session's passes them on over the bus.
A stream has no close frame, so the code is told by a `disconnect` push and the stream ends.

The path `/emulation` is the protocol's own, the same as Centrifugo's: an SDK needs no option for it on the same host.
"""

import asyncio
import contextlib
from collections.abc import Callable

import orjson
from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from push_gateway.codes import Close
from push_gateway.gateway import Gateway
from push_gateway.hub import READ_SECONDS
from push_gateway.inbox import Inbox
from push_gateway.protocol import disconnect_frame
from shared.errors import Forbidden, NotFound, Problem, TooLarge, Unavailable, Unprocessable

# In the body of a post a frame is a JSON text: its quotes are escaped, and Cyrillic has two bytes a letter.
_BODY_BYTES_A_CHAR = 2
# Session, node and the rest of such a body.
_BODY_EXTRA_BYTES = 1024
# Longer than any name we give.
_LONGEST_NAME = 64

_HEADERS = {
    "Content-Type": "application/x-ndjson",
    # Not kept, and not compressed on the way: a compressor holds back what is short.
    "Cache-Control": "no-store, no-transform",
    # nginx must hand on each line at once.
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class _Timeout(Problem):
    status, name, title = 408, "too-slow", "Too slow"


class _OnlyPost(Problem):
    status, name, title = 405, "method-not-allowed", "Method not allowed"


class _StreamSocket:
    """The body of an answer as a socket."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def write_now(self, frame: bytes, /) -> bool:
        return False  # ASGI has no such way

    async def send(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text + b"\n", "more_body": True})

    def pongs_to(self, heard: Callable[[], None]) -> None:
        pass  # they come by post, from anywhere

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self.send(disconnect_frame(Close(code, reason or "")).encode())


class _Endpoint:
    """What both have in common: posts of pages that may connect, bounded in size and time; errors are problem
    documents that the page's browser may read."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        origin = request.headers.get("origin")
        if not self._gateway.origins.allow(origin, request.headers.get("host", "")):
            detail = f"Pages of {origin} may not connect here: name it in CALLCARD_ALLOWED_ORIGINS."
            await Forbidden(detail).response()(scope, receive, send)
            return
        if request.method == "OPTIONS":
            await Response(status_code=204, headers=self._gateway.origins.preflight(origin))(
                scope, receive, send
            )
            return
        sharing = self._gateway.origins.sharing(origin)
        try:
            if request.method != "POST":
                raise _OnlyPost("Use POST.", {"Allow": "POST, OPTIONS"})
            answer = await self._answer(await self._body(request), sharing, receive, send)
        except Problem as problem:
            answer = problem.response()
            answer.headers.update(sharing)
        except ClientDisconnect:
            return
        if answer is not None:
            await answer(scope, receive, send)

    async def _answer(
        self, body: bytes, sharing: dict[str, str], receive: Receive, send: Send
    ) -> Response | None:
        """The answer to a post; None if it was given. Raises Problem."""
        raise NotImplementedError

    async def _body(self, request: Request) -> bytes:
        limits = self._gateway.limits
        most = limits.frame_chars * _BODY_BYTES_A_CHAR + _BODY_EXTRA_BYTES
        body = bytearray()
        try:
            async with asyncio.timeout(limits.first_command_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise TooLarge(f"At most {most} bytes are taken.")
        except TimeoutError:
            raise _Timeout(f"The body did not come within {limits.first_command_seconds:g} s.") from None
        return bytes(body)


class HttpStream(_Endpoint):
    """`/connection/http_stream`: the connect command in, everything for the tab out."""

    async def _answer(
        self, body: bytes, sharing: dict[str, str], receive: Receive, send: Send
    ) -> Response | None:
        try:
            first = body.decode()
        except UnicodeDecodeError:
            raise Unprocessable("The body must be UTF-8: the connect command as JSON.") from None
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in {**_HEADERS, **sharing}.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        inbox = Inbox(self._gateway.limits.frame_chars)
        inbox.put(first)
        watching = asyncio.create_task(_watch(receive, inbox))
        try:
            await self._gateway.serve("http_stream", _StreamSocket(send), inbox.receive, inbox)
            # For a tab that does not read this waits until the tab reads again, or until the kernel gives it up.
            await send({"type": "http.response.body"})
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return None


async def _watch(receive: Receive, inbox: Inbox) -> None:
    """Hear that the tab has gone. Its posts are requests of their own: nothing else comes here."""
    while (await receive())["type"] != "http.disconnect":
        pass
    inbox.end()


class Emulation(_Endpoint):
    """`/emulation`: a frame of a tab to its session, `{session, node, data}`.

    204: handed on. 404: there is no such node, so the session is gone and the SDK connects anew. A session that is gone
    from a living node is answered with 204: its tab has seen, or is about to see, that its stream has ended.
    """

    async def _answer(
        self, body: bytes, sharing: dict[str, str], receive: Receive, send: Send
    ) -> Response | None:
        session, node, data = _parcel(body)
        if node == self._gateway.node:
            self._gateway.deliver(session, data)
        else:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    found = await self._gateway.pass_on(node, session, data)
            except (RedisError, OSError, TimeoutError):
                raise Unavailable("The session's gateway can't be reached now; connect anew.") from None
            if not found:
                raise NotFound("The session's gateway is not there any more; connect anew.")
        return Response(status_code=204, headers=sharing)


def _parcel(body: bytes) -> tuple[str, str, str]:
    with contextlib.suppress(orjson.JSONDecodeError):
        match orjson.loads(body):
            case {"session": str(session), "node": str(node), "data": str(data)} if _is_name(
                session
            ) and _is_name(node):
                return session, node, data
    raise Unprocessable('The body must be {"session": …, "node": …, "data": "commands, a line each"}.')


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isascii() and text.isalnum()
