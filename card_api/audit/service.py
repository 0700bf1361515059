"""The audit log, written beside the requests and not in their way."""

import asyncio
from collections import deque

from card_api.audit.repository import AuditEntry, AuditRepository
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, refuses_value, sentence
from shared.errors import Unavailable
from shared.observability import logger

# Entries come in bunches; one statement writes a bunch. What a kill -9 may cost is what came within this time.
_GATHER_SECONDS = 0.05
# One statement's worth.
_AT_ONCE = 500
# While PostgreSQL is away look-ups fail anyhow, so few can wait. Beyond this nothing is looked up unseen.
_ROOM = 10_000
_DRAIN_SECONDS = 2.0


class AuditService:
    """`note` returns at once; `run` writes until it is cancelled, then writes what is left."""

    def __init__(self, repository: AuditRepository) -> None:
        self._repository = repository
        self._waiting: deque[AuditEntry] = deque()
        self._filled = asyncio.Event()
        self._log = logger("audit")

    def note(self, entry: AuditEntry) -> None:
        """Raises `Unavailable` if the log cannot take it: then what it is about must not happen either."""
        if len(self._waiting) >= _ROOM:
            raise Unavailable("The audit log cannot be written now. Try again later.", {"Retry-After": "5"})
        self._waiting.append(entry)
        self._filled.set()

    async def run(self) -> None:
        backoff = Backoff()
        try:
            while True:
                await self._filled.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                try:
                    await self.write()
                    backoff.reset()
                except DATABASE_ERRORS as error:
                    if backoff.fresh:
                        self._log.error(
                            "the audit log waits for postgresql",
                            waiting=len(self._waiting),
                            reason=sentence(error),
                        )
                    await asyncio.sleep(backoff.next())
        finally:
            await self._drain()

    async def write(self) -> None:
        """Everything that waits. An entry leaves the queue when it is in the table."""
        while self._waiting:
            part = [self._waiting[i] for i in range(min(_AT_ONCE, len(self._waiting)))]
            await self._add(part)
            for _ in part:
                self._waiting.popleft()
        self._filled.clear()

    async def _add(self, part: list[AuditEntry]) -> None:
        try:
            await self._repository.add(part)
        except (*DATABASE_ERRORS, TypeError) as error:
            if not (isinstance(error, TypeError) or refuses_value(error)):
                raise
            # One that the table will never take must not keep out all that come after it.
            if len(part) == 1:
                self._log.error("an audit entry was refused", action=part[0].action, reason=sentence(error))
                return
            for entry in part:
                await self._add([entry])

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.write()
        except DATABASE_ERRORS as error:
            self._log.error("audit entries were lost", count=len(self._waiting), reason=sentence(error))
