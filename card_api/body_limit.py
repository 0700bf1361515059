"""Requests with a body too large for one document are refused before it is read whole."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import TooLarge

LIMIT = 1_048_576
"""Bytes. A customer with all that may be on a card is some tens of kB."""


class BodyLimit:
    """ASGI middleware. `unlimited`: paths whose handlers read their bodies as streams, by their beginning."""

    def __init__(self, app: ASGIApp, limit: int = LIMIT, unlimited: tuple[str, ...] = ()) -> None:
        self._app = app
        self._limit = limit
        self._unlimited = unlimited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (self._unlimited and scope["path"].startswith(self._unlimited)):
            await self._app(scope, receive, send)
            return
        # Most requests say how long they are; the others are counted as they come.
        if _announced(scope) > self._limit:
            await self._refuse(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # The application is told that nobody is there any more, and its answer to that goes nowhere.
            return message if taken <= self._limit else {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            if taken <= self._limit:
                await send(message)

        await self._app(scope, counted, unless_refused)
        if taken > self._limit:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = TooLarge(
            f"The body is larger than {self._limit} bytes. Send fewer at once; many customers go through "
            "POST /api/v1/customers/bulk, which has no limit."
        )
        await problem.response()(scope, receive, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
