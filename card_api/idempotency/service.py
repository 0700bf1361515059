"""Idempotency-Key: a POST that is sent twice (a time-out, a retry) happens once and is answered twice."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.database import DATABASE_ERRORS
from card_api.idempotency.repository import Kept, read, reserve, sweep, write
from card_api.transaction import transaction
from shared.errors import Conflict, Unprocessable
from shared.observability import logger

KEPT = timedelta(hours=24)
"""How long an answer is repeated: longer than any client's retries."""

# The table holds a day of POSTs; an hour more or less is nothing.
_SWEEP_SECONDS = 3600.0

REPLAYED = "Idempotent-Replayed"
"""Header of an answer that was given before."""


def idempotency_header(again: str) -> Any:
    """The parameter of a route; `again`: what the same key and body get there the second time."""
    return Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description=f"any text of yours, new for each thing to do (a UUID). {again}",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    )


IdempotencyKey = Annotated[
    str | None,
    idempotency_header(
        f"The same key and body again get the same answer within 24 hours, with `{REPLAYED}: true`, and nothing "
        "happens twice"
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it goes out. `body`: JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def replayed(self) -> bool:
        """Was it given before? Then nothing happened now."""
        return REPLAYED in self.headers

    def response(self) -> Response:
        return Response(self.body, self.status, dict(self.headers), media_type="application/json")


Work = Callable[[AsyncConnection], Awaitable[Answer]]
"""What is done in the transaction it is given, and what is to be answered."""


class Idempotency:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._log = logger("idempotency")

    async def once(
        self,
        caller: str,
        key: str | None,
        request: Request,
        work: Work,
    ) -> Answer:
        """Do `work` in a transaction and keep its answer in the same one, or repeat the answer kept under this key.

        Without a key it is just done. What fails leaves nothing, so it may be tried again with the same key. Raises
        `Conflict` while the first request with the key is going on, `Unprocessable` if the key was used for another.
        """
        if key is None:
            async with transaction(self._engine) as connection:
                return await work(connection)
        asked = await _fingerprint(request)
        async with transaction(self._engine) as connection:
            if not await reserve(connection, caller, key):
                raise Conflict("A request with this Idempotency-Key is going on. Ask again in a second.")
            kept = await read(connection, caller, key, KEPT)
            if kept is not None:
                if kept.request != asked:
                    raise Unprocessable(
                        "This Idempotency-Key was used for another request. Take a new key for each thing to do."
                    )
                return Answer(kept.status, kept.body, {**kept.headers, REPLAYED: "true"})
            answer = await work(connection)
            await write(connection, caller, key, Kept(asked, answer.status, answer.headers, answer.body))
            return answer

    async def run(self) -> None:
        """Until cancelled: forget answers that are old."""
        while True:
            try:
                async with self._engine.begin() as connection:
                    gone = await sweep(connection, KEPT)
                if gone:
                    self._log.info("old answers were forgotten", count=gone)
            except DATABASE_ERRORS:
                pass  # others say that PostgreSQL is away; the next round is as good
            await asyncio.sleep(_SWEEP_SECONDS)


async def _fingerprint(request: Request) -> bytes:
    said = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    said.update(await request.body())
    return said.digest()
