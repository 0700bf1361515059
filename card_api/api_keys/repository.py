"""All SQL about API keys."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import any_

from card_api.api_keys.models import api_keys


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: UUID
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_SHOWN = (
    api_keys.c.id,
    api_keys.c.name,
    api_keys.c.prefix,
    api_keys.c.scopes,
    api_keys.c.created_at,
    api_keys.c.last_used_at,
    api_keys.c.revoked_at,
)


class ApiKeyRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, name: str, prefix: str, key_hash: bytes, scopes: Sequence[str]) -> UUID:
        statement = insert(api_keys).values(name=name, prefix=prefix, hash=key_hash, scopes=list(scopes))
        async with self._engine.connect() as connection:
            added: UUID = (await connection.execute(statement.returning(api_keys.c.id))).scalar_one()
            return added

    async def by_hash(self, key_hash: bytes) -> ApiKey | None:
        """The key with this hash, if it was not revoked."""
        statement = select(*_SHOWN).where(api_keys.c.hash == key_hash, api_keys.c.revoked_at.is_(None))
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _key(row)

    async def all(self) -> list[ApiKey]:
        """Every key, newest first, revoked ones too."""
        statement = select(*_SHOWN).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with self._engine.connect() as connection:
            return [_key(row) for row in await connection.execute(statement)]

    async def revoke(self, prefix: str) -> int:
        """Revoke the keys that begin so; returns how many."""
        statement = (
            update(api_keys)
            .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).rowcount

    async def used(self, ids: Collection[UUID], at: datetime) -> None:
        """These keys were used at this moment."""
        wanted = bindparam("ids", list(ids), type_=ARRAY(Uuid))
        statement = update(api_keys).where(api_keys.c.id == any_(wanted)).values(last_used_at=at)
        async with self._engine.connect() as connection:
            await connection.execute(statement)


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        row.prefix,
        frozenset(row.scopes),
        row.created_at,
        row.last_used_at,
        row.revoked_at,
    )
