"""Categories of customers: VIP, debtor, a company's own; with a colour on the card and a priority."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.customers.actor import Actor
from card_api.customers.categories import (
    CategoryRecord,
    delete_category,
    read_categories,
    read_category,
    upsert_categories,
)
from card_api.transaction import transaction
from shared.errors import NotFound


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

    async def put(self, actor: Actor, record: CategoryRecord) -> None:
        async with transaction(self._engine) as connection:
            await upsert_categories(connection, [record])
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "category.put", record.code)
            await write_audit(connection, [entry])

    async def delete(self, actor: Actor, code: str) -> None:
        async with transaction(self._engine) as connection:
            if not await delete_category(connection, code):
                raise _unknown(code)
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "category.deleted", code)
            await write_audit(connection, [entry])


def _unknown(code: str) -> NotFound:
    return NotFound(f"No category {code!r} is known.")
