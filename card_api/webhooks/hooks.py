"""All SQL about the hooks themselves, and the reading of their deliveries."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.webhooks.models import webhook_deliveries, webhooks

_h, _d = webhooks.c, webhook_deliveries.c

HookRow = Row[Any]
"""A row of `webhooks`."""


class HookRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, name: str, url: str, format_: str, events: Sequence[str]) -> HookRow:
        statement = insert(webhooks).values(name=name, url=url, format=format_, events=list(events))
        async with self._engine.connect() as connection:
            row: HookRow = (await connection.execute(statement.returning(webhooks))).one()
            return row

    async def all(self) -> Sequence[HookRow]:
        """Every hook, oldest first."""
        async with self._engine.connect() as connection:
            return (await connection.execute(select(webhooks).order_by(_h.created_at, _h.id))).all()

    async def ids(self) -> Sequence[UUID]:
        """Of every hook, also those that are switched off."""
        async with self._engine.connect() as connection:
            return (await connection.execute(select(_h.id))).scalars().all()

    async def get(self, webhook_id: UUID) -> HookRow | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(select(webhooks).where(_h.id == webhook_id))).one_or_none()

    async def change(self, webhook_id: UUID, values: Mapping[str, Any]) -> HookRow | None:
        """Set these columns; None: there is no such hook."""
        statement = update(webhooks).where(_h.id == webhook_id).values(updated_at=func.now(), **values)
        async with self._engine.connect() as connection:
            row: HookRow | None = (await connection.execute(statement.returning(webhooks))).one_or_none()
            return row

    async def rotate(self, webhook_id: UUID) -> HookRow | None:
        """Count the secret's version up."""
        return await self.change(
            webhook_id, {"secret_version": _h.secret_version + 1, "secret_rotated_at": func.now()}
        )

    async def delete(self, webhook_id: UUID) -> bool:
        """With all its deliveries."""
        async with self._engine.connect() as connection:
            return bool((await connection.execute(delete(webhooks).where(_h.id == webhook_id))).rowcount)

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
