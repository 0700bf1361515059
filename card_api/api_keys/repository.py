"""All SQL about API keys. What is changed is audited in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import any_

from card_api.api_keys.models import api_keys
from card_api.audit.repository import AuditEntry, write_audit
from card_api.transaction import within


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. per_second: requests, None: as the settings say for all."""

    id: UUID
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    per_second: int | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is stored of a key that is made."""

    name: str
    prefix: str
    hash: bytes
    scopes: Sequence[str]
    per_second: int | None
    expires_at: datetime | None


_SHOWN = (
    api_keys.c.id,
    api_keys.c.name,
    api_keys.c.prefix,
    api_keys.c.scopes,
    api_keys.c.created_at,
    api_keys.c.last_used_at,
    api_keys.c.revoked_at,
    api_keys.c.per_second,
    api_keys.c.expires_at,
)


class ApiKeyRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away. connection: of the transaction it belongs
    to, if it belongs to one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._transactions = engine
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, new: NewKey, audit: AuditEntry, connection: AsyncConnection | None = None) -> ApiKey:
        async with within(connection, self._transactions) as used:
            row = (await used.execute(_insert(new))).one()
            await write_audit(used, [audit])
            return _key(row)

    async def replace(
        self,
        old: UUID,
        new: NewKey,
        ends_at: datetime,
        audit: AuditEntry,
        now: datetime,
        connection: AsyncConnection | None = None,
    ) -> ApiKey | None:
        """Add the new key; the old one works until `ends_at`, or until its own end if that comes before. None, and
        nothing is done, if the old one does not work any more."""
        ending = (
            update(api_keys)
            .where(api_keys.c.id == old, _works(now))
            .values(expires_at=func.least(func.coalesce(api_keys.c.expires_at, ends_at), ends_at))
        )
        async with within(connection, self._transactions) as used:
            if (await used.execute(ending)).rowcount == 0:
                return None
            row = (await used.execute(_insert(new))).one()
            await write_audit(used, [audit])
            return _key(row)

    async def by_hash(self, key_hash: bytes) -> ApiKey | None:
        """The key with this hash, if it was not revoked. Whether it has expired is for the caller to see."""
        statement = select(*_SHOWN).where(api_keys.c.hash == key_hash, api_keys.c.revoked_at.is_(None))
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _key(row)

    async def get(self, key_id: UUID) -> ApiKey | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(*_SHOWN).where(api_keys.c.id == key_id))).one_or_none()
        return None if row is None else _key(row)

    async def begin_with(self, prefix: str) -> list[ApiKey]:
        """Those whose beginning this is, as lists show it; revoked ones too."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(*_SHOWN).where(api_keys.c.prefix == prefix))
            return [_key(row) for row in rows]

    async def all(self) -> list[ApiKey]:
        """Every key, newest first, revoked ones too."""
        statement = select(*_SHOWN).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with self._engine.connect() as connection:
            return [_key(row) for row in await connection.execute(statement)]

    async def revoke(self, key_id: UUID, audit: AuditEntry) -> bool:
        """False, and nothing is done, if there is none, or it was revoked before."""
        statement = (
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=func.now())
        )
        async with self._transactions.begin() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                return False
            await write_audit(connection, [audit])
            return True

    async def used(self, ids: Collection[UUID], at: datetime) -> None:
        """These keys were used at this moment."""
        wanted = bindparam("ids", list(ids), type_=ARRAY(Uuid))
        statement = update(api_keys).where(api_keys.c.id == any_(wanted)).values(last_used_at=at)
        async with self._engine.connect() as connection:
            await connection.execute(statement)


def _works(now: datetime) -> ColumnElement[bool]:
    alive = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
    return api_keys.c.revoked_at.is_(None) & alive


def _insert(new: NewKey) -> Any:
    return (
        insert(api_keys)
        .values(
            name=new.name,
            prefix=new.prefix,
            hash=new.hash,
            scopes=list(new.scopes),
            per_second=new.per_second,
            expires_at=new.expires_at,
        )
        .returning(*_SHOWN)
    )


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        row.prefix,
        frozenset(row.scopes),
        row.created_at,
        row.last_used_at,
        row.revoked_at,
        row.per_second,
        row.expires_at,
    )
