"""All SQL about the hooks themselves, and the reading of their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.transaction import within
from card_api.webhooks.models import webhook_deliveries, webhooks

_h, _d = webhooks.c, webhook_deliveries.c

HookRow = Row[Any]
"""A row of `webhooks`."""


class HookRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away.

    connection: of the transaction it belongs to, if it belongs to one. at: `updated_at` of the row that is meant; if it
    is another one by now, nothing happens.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(
        self,
        name: str,
        url: str,
        format_: str,
        events: Sequence[str],
        connection: AsyncConnection | None = None,
    ) -> HookRow:
        statement = insert(webhooks).values(name=name, url=url, format=format_, events=list(events))
        async with within(connection, self._engine) as used:
            row: HookRow = (await used.execute(statement.returning(webhooks))).one()
            return row

    async def all(self, connection: AsyncConnection | None = None) -> Sequence[HookRow]:
        """Every hook, oldest first."""
        async with within(connection, self._engine) as used:
            return (await used.execute(select(webhooks).order_by(_h.created_at, _h.id))).all()

    async def ids(self) -> Sequence[UUID]:
        """Of every hook, also those that are switched off."""
        async with self._engine.connect() as connection:
            return (await connection.execute(select(_h.id))).scalars().all()

    async def get(self, webhook_id: UUID) -> HookRow | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(select(webhooks).where(_h.id == webhook_id))).one_or_none()

    async def change(
        self,
        webhook_id: UUID,
        values: Mapping[str, Any],
        at: datetime | None = None,
        connection: AsyncConnection | None = None,
    ) -> HookRow | None:
        """Set these columns; None: there is no such hook."""
        statement = update(webhooks).where(*_meant(webhook_id, at)).values(updated_at=func.now(), **values)
        async with within(connection, self._engine) as used:
            row: HookRow | None = (await used.execute(statement.returning(webhooks))).one_or_none()
            return row

    async def rotate(self, webhook_id: UUID, connection: AsyncConnection | None = None) -> HookRow | None:
        """Count the secret's version up."""
        values = {"secret_version": _h.secret_version + 1, "secret_rotated_at": func.now()}
        return await self.change(webhook_id, values, connection=connection)

    async def delete(self, webhook_id: UUID, at: datetime | None = None) -> bool:
        """With all its deliveries."""
        async with self._engine.connect() as connection:
            return bool((await connection.execute(delete(webhooks).where(*_meant(webhook_id, at)))).rowcount)

    async def deliveries(
        self, webhook_id: UUID, state: str | None, before: int | None, limit: int
    ) -> Sequence[Row[Any]]:
        """Newest first, without what they say; `before`: an id."""
        columns = [column for column in webhook_deliveries.c if column.name != "payload"]
        statement = select(*columns).where(_d.webhook_id == webhook_id).order_by(_d.id.desc()).limit(limit)
        if state is not None:
            statement = statement.where(_d.state == state)
        if before is not None:
            statement = statement.where(_d.id < before)
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).all()

    async def delivery(self, webhook_id: UUID, delivery_id: int) -> Row[Any] | None:
        statement = select(webhook_deliveries).where(_d.webhook_id == webhook_id, _d.id == delivery_id)
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).one_or_none()


def _meant(webhook_id: UUID, at: datetime | None) -> list[ColumnElement[bool]]:
    return [_h.id == webhook_id, *([] if at is None else [_h.updated_at == at])]
