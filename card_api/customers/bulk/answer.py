"""The answer of a bulk load: it reads the request and writes reports side by side, however the client does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from enum import StrEnum
from typing import Any

import orjson
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from card_api.customers.bulk.load import Report
from card_api.customers.bulk.spool import Spool
from card_api.customers.bulk.store import Status
from card_api.database import DATABASE_ERRORS, sentence
from shared.contracts.base import Contract
from shared.observability import logger

NDJSON = "application/x-ndjson"
# A sender that says nothing for so long is thinking: what it has sent is stored meanwhile.
_PAUSE_SECONDS = 1.0


class ReportKind(StrEnum):
    ALL = "all"
    FAILED = "failed"


class Summary(Contract):
    """The last line. Not `complete`: what was reported is stored, the rest is not; `error` says why."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    dry_run: bool = False
    complete: bool = False
    error: str | None = None


class Gone(Exception):
    """The client is not there any more."""


class Body:
    """The request's body, and whether its sender is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._message: asyncio.Future[Any] | None = None
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Empty ones are pauses. Raises `Gone`."""
        more = True
        while more:
            # Not cancelled after the pause: a message must not be lost on the way.
            waiting = self._message = self._message or asyncio.ensure_future(self._receive())
            done, _ = await asyncio.wait({waiting}, timeout=_PAUSE_SECONDS)
            if not done:
                yield b""
                continue
            self._message = None
            message = waiting.result()
            if message["type"] == "http.disconnect":
                raise Gone
            more = message.get("more_body", False)
            self._ended = not more
            if message.get("body"):
                yield message["body"]

    @property
    def left(self) -> bool:
        """Has the sender gone away since the last chunk came?"""
        if not self._ended:
            return False  # `chunks` will find out
        self._message = self._message or asyncio.ensure_future(self._receive())
        return self._message.done()

    async def close(self) -> None:
        if self._message is not None:
            self._message.cancel()
            with suppress(asyncio.CancelledError):
                await self._message


class Loading(Response):
    """Loads while it answers; both go on side by side, however the client reads and writes."""

    media_type = NDJSON

    def __init__(
        self,
        body: Body,
        reports: AsyncGenerator[list[Report], None],
        kind: ReportKind,
        dry_run: bool,
        turn: AsyncExitStack,
        done: Callable[[Summary], None],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
        self._body = body
        self._reports = reports
        self._kind = kind
        self._turn = turn
        self._done = done
        self._summary = Summary(dry_run=dry_run)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with Spool() as spool:
            sending = asyncio.create_task(self._send(spool, send))
            try:
                async with self._turn:
                    try:
                        await self._load(spool)
                    finally:
                        await self._body.close()
                        self._done(self._summary)
                spool.write(_last_line(self._summary))
                spool.end()
                with suppress(OSError):  # nobody there any more
                    await sending
            finally:
                sending.cancel()

    async def _load(self, spool: Spool) -> None:
        try:
            async with aclosing(self._reports) as batches:
                async for reports in batches:
                    if lines := b"".join(self._line(r) for r in reports):
                        spool.write(lines)
                    if self._body.left:
                        raise Gone
            self._summary.complete = True
        except Gone:
            self._summary.error = "the sender went away"
        except DATABASE_ERRORS as error:
            logger("customers").error("a bulk load ended early", reason=sentence(error))
            self._summary.error = (
                f"PostgreSQL is away: {self._summary.rows} rows are done. Send it all again later: what is there "
                "already is unchanged."
            )

    async def _send(self, spool: Spool, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in spool:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _line(self, report: Report) -> bytes:
        self._summary.rows += 1
        setattr(self._summary, report.status, getattr(self._summary, report.status) + 1)
        if self._kind is ReportKind.FAILED and report.status is not Status.FAILED:
            return b""
        return report_line(report)


def report_line(report: Report) -> bytes:
    """A `RowReport` and a line end, without what it has not."""
    said: dict[str, Any] = {
        "line": report.line,
        "status": report.status,
        "id": report.id and str(report.id),
        "source": report.source,
        "external_id": report.external_id,
        "errors": report.errors,
        "note": report.note,
    }
    return orjson.dumps({k: v for k, v in said.items() if v}, option=orjson.OPT_APPEND_NEWLINE)


def _last_line(summary: Summary) -> bytes:
    said = {"summary": summary.model_dump(exclude_none=True)}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
