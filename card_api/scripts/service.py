"""Scripts: changing them, and a copy in memory for the cards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, sentence
from card_api.etag import if_match
from card_api.scripts.choice import Place, choose
from card_api.scripts.choice import Script as Text
from card_api.scripts.repository import (
    MAX_SCRIPTS,
    count_scripts,
    delete_script,
    insert_script,
    read_script,
    read_scripts,
    update_script,
)
from card_api.scripts.schemas import Script, ScriptWrite
from card_api.transaction import transaction
from shared.errors import Conflict, NotFound, PreconditionFailed, Unprocessable
from shared.observability import logger
from shared.phone import normalise

# What another process changed is said by the next calls: nobody waits at the screen for that, and the table is small.
_REFRESH_SECONDS = 5.0
_NO_SUCH_CATEGORY = "23503"

Who = tuple[Literal["agent", "api_key"], str]
"""Kind and name of who changes something, for the audit log."""


class ScriptService:
    """`find` is asked for each card; `run` keeps its copy of the table fresh. `country`: of lines without a country
    code. All but `find` raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine, country: str, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._country = country
        self._now = now
        self._texts: tuple[Text, ...] = ()
        self._log = logger("scripts")

    def find(self, did: str | None, queue: str | None, category: str | None, language: str) -> str | None:
        """The script that fits best, as the table was a few seconds ago."""
        return choose(self._texts, did, queue, category, language) if self._texts else None

    async def run(self) -> None:
        """Until cancelled. While PostgreSQL is away the copy stays as it is."""
        backoff = Backoff()
        while True:
            try:
                await self.refresh()
                backoff.reset()
                await asyncio.sleep(_REFRESH_SECONDS)
            except DATABASE_ERRORS as error:
                if backoff.fresh:
                    self._log.warning("the scripts cannot be read yet", reason=sentence(error))
                await asyncio.sleep(backoff.next())

    async def refresh(self) -> None:
        """Read the table now. Raises one of `DATABASE_ERRORS`."""
        async with self._engine.connect() as connection:
            kept = await read_scripts(connection)
        self._texts = tuple(Text(Place(s.did, s.queue, s.category, s.language), s.text) for s in kept)

    async def all(self) -> list[Script]:
        async with transaction(self._engine) as connection:
            return await read_scripts(connection)

    async def get(self, script_id: UUID) -> Script:
        """Raises `NotFound`."""
        async with transaction(self._engine) as connection:
            return _found(await read_script(connection, script_id))

    async def add(self, connection: AsyncConnection, script: ScriptWrite, who: Who) -> Script:
        """In the caller's transaction; tell `changed` when it is committed. Raises `Conflict` for a place that has one,
        `Unprocessable` for a category that there is not."""
        if await count_scripts(connection) >= MAX_SCRIPTS:
            raise Conflict(f"There are {MAX_SCRIPTS} scripts, and no more are kept: delete some first.")
        with _refusals(script.category):
            kept = await insert_script(connection, self._row(script))
        await self._note(connection, who, "script.created", kept.id)
        return kept

    async def changed(self) -> None:
        """This process has at once what is committed."""
        with suppress(*DATABASE_ERRORS):  # `run` reads it when PostgreSQL is back
            await self.refresh()

    async def replace(
        self, script_id: UUID, script: ScriptWrite, who: Who, expected: str | None = None
    ) -> Script:
        """`expected`: If-Match. Raises `NotFound`, `PreconditionFailed`, and what `add` does."""
        async with self._changing(script.category) as connection:
            await _expect(connection, script_id, expected)
            kept = _found(await update_script(connection, script_id, self._row(script)))
            await self._note(connection, who, "script.changed", kept.id)
        return kept

    async def remove(self, script_id: UUID, who: Who, expected: str | None = None) -> None:
        """Raises `NotFound`, `PreconditionFailed`."""
        async with self._changing(None) as connection:
            await _expect(connection, script_id, expected)
            if not await delete_script(connection, script_id):
                raise _unknown()
            await self._note(connection, who, "script.deleted", str(script_id))

    @asynccontextmanager
    async def _changing(self, category: str | None) -> AsyncIterator[AsyncConnection]:
        async with transaction(self._engine) as connection:
            with _refusals(category):
                yield connection
        await self.changed()

    async def _note(self, connection: AsyncConnection, who: Who, action: str, script_id: str) -> None:
        await write_audit(connection, [AuditEntry(self._now(), *who, action, script_id)])

    def _row(self, script: ScriptWrite) -> dict[str, Any]:
        """Lines as calls have them: E.164 where they are phone numbers."""
        row = script.model_dump()
        if script.did is not None:
            row["did"] = normalise(script.did, self._country) or script.did
        return row


@contextmanager
def _refusals(category: str | None) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_SUCH_CATEGORY:
            raise Unprocessable(
                f"There is no category {category!r}: make it first, or correct the code."
            ) from None
        raise Conflict(
            "There is a script for this line, queue, category and language: change that one."
        ) from None


async def _expect(connection: AsyncConnection, script_id: UUID, expected: str | None) -> None:
    if expected is None:
        return
    now = _found(await read_script(connection, script_id, lock=True))
    if not if_match(expected, now.etag):
        raise PreconditionFailed(
            f"The script has changed meanwhile: it is at {now.etag}. Read it again, then change it."
        )


def _found(script: Script | None) -> Script:
    if script is None:
        raise _unknown()
    return script


def _unknown() -> NotFound:
    return NotFound("There is no script with this id.")
