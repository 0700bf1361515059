"""Categories of customers: VIP, debtor, a company's own; with a colour on the card and a priority."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.customers.actor import Actor
from card_api.customers.categories import (
    CategoryRecord,
    delete_category,
    read_categories,
    read_category,
    upsert_categories,
)
from card_api.etag import if_match
from card_api.transaction import transaction
from shared.errors import NotFound, PreconditionFailed


class CategoryService:
    """All methods raise the problems that REST answers with."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._now = now

    async def list(self) -> list[CategoryRecord]:
        async with transaction(self._reading) as connection:
            return await read_categories(connection)

    async def get(self, code: str) -> CategoryRecord:
        async with transaction(self._reading) as connection:
            found = await read_category(connection, code)
        if found is None:
            raise _unknown(code)
        return found

    async def put(self, actor: Actor, record: CategoryRecord, match: str | None = None) -> None:
        """`match`: If-Match; then there must be one already. Raises `PreconditionFailed`."""
        async with transaction(self._engine) as connection:
            await _expect(connection, record.code, match)
            await upsert_categories(connection, [record])
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "category.put", record.code)
            await write_audit(connection, [entry])

    async def delete(self, actor: Actor, code: str, match: str | None = None) -> None:
        """`match`: If-Match. Raises `NotFound`, `PreconditionFailed`."""
        async with transaction(self._engine) as connection:
            await _expect(connection, code, match)
            if not await delete_category(connection, code):
                raise _unknown(code)
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "category.deleted", code)
            await write_audit(connection, [entry])


async def _expect(connection: AsyncConnection, code: str, match: str | None) -> None:
    if match is None:
        return
    now = await read_category(connection, code, lock=True)
    if now is None:
        raise PreconditionFailed(f"There is no category {code!r} any more. Without If-Match it is made.")
    if not if_match(match, now.etag):
        raise PreconditionFailed(
            f"The category has changed meanwhile: it is at {now.etag}. Read it again, then change it."
        )


def _unknown(code: str) -> NotFound:
    return NotFound(f"No category {code!r} is known.")
