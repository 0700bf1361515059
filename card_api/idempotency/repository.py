"""All SQL about answers that were given once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

from card_api.idempotency.models import idempotency_keys

_TRY_LOCK = text("select pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


@dataclass(frozen=True, slots=True)
class Kept:
    """`request`: hash of what was asked."""

    request: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes


async def reserve(connection: AsyncConnection, caller: str, key: str) -> bool:
    """Until the transaction ends nobody else reserves this key. False: somebody has, and is doing it."""
    return bool(await connection.scalar(_TRY_LOCK, {"name": f"callcard idempotency {caller} {key}"}))


async def read(connection: AsyncConnection, caller: str, key: str, kept_for: timedelta) -> Kept | None:
    t = idempotency_keys.c
    statement = select(t.request, t.status, t.headers, t.body).where(
        t.caller == caller, t.key == key, t.at > func.now() - kept_for
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Kept(row.request, row.status, row.headers, row.body)


async def write(connection: AsyncConnection, caller: str, key: str, kept: Kept) -> None:
    values = {
        "request": kept.request,
        "status": kept.status,
        "headers": dict(kept.headers),
        "body": kept.body,
        "at": func.now(),
    }
    statement = insert(idempotency_keys).values(caller=caller, key=key, **values)
    # What is there is older than we keep: the sweep has not come by yet.
    await connection.execute(statement.on_conflict_do_update(index_elements=["caller", "key"], set_=values))


async def sweep(connection: AsyncConnection, kept_for: timedelta) -> int:
    """Take away what is older; how many were."""
    old = delete(idempotency_keys).where(idempotency_keys.c.at <= func.now() - kept_for)
    return (await connection.execute(old)).rowcount
