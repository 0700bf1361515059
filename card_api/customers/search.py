"""SQL of the list of customers, in an order that a system can follow without missing a change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

from card_api.customers.models import accounts, customer_phones, customers

# Every change takes this lock on the table first, and its rows' times come after (records.py). So what is changed by a
# transaction that is still going on has a time after the transaction's beginning, and what is not begun yet a time
# after now. Before the earlier of the two nothing can be added any more: a list that ends there loses nothing to a
# long import that commits its rows late. It must be asked before the list's own statement.
_SETTLED = text(
    """
    select coalesce(min(a.xact_start), clock_timestamp()) from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.relation = 'customers'::regclass and l.mode = 'RowExclusiveLock' and l.granted
        and l.database = (select oid from pg_database where datname = current_database())
    """
)

# Sorts after everything that begins with the same text.
_LAST = chr(0x10FFFF)


@dataclass(frozen=True, slots=True)
class Filters:
    """All must hold. `number`: E.164. `begins`: of the name, in any case of its letters."""

    source: str | None = None
    external_id: str | None = None
    number: str | None = None
    account: str | None = None
    category: str | None = None
    tag: str | None = None
    manager: str | None = None
    begins: str | None = None
    updated_since: datetime | None = None
    merged: bool | None = None


@dataclass(frozen=True, slots=True)
class Found:
    id: UUID
    updated_at: datetime


async def search(
    connection: AsyncConnection, filters: Filters, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Found]:
    """The next customers after this place, in the order of their last change. The connection must be AUTOCOMMIT."""
    settled = await connection.scalar(_SETTLED)
    rows = await connection.execute(statement(filters, after, settled, limit))
    return [Found(row.id, row.updated_at) for row in rows]


def statement(
    filters: Filters, after: tuple[datetime, UUID] | None, settled: datetime, limit: int
) -> Select[tuple[UUID, datetime]]:
    """`settled`: what has changed at this moment or later is left for the next time."""
    c = customers.c
    chosen = (
        select(c.id, c.updated_at)
        .where(*_conditions(filters), c.updated_at < settled)
        .order_by(c.updated_at, c.id)
        .limit(limit)
    )
    return chosen if after is None else chosen.where(tuple_(c.updated_at, c.id) > tuple_(*after))


def _conditions(f: Filters) -> list[ColumnElement[bool]]:
    c = customers.c
    equal = {
        c.source: f.source,
        c.external_id: f.external_id,
        c.category: f.category,
        c.manager: f.manager,
    }
    wanted: list[ColumnElement[bool]] = [
        column == value for column, value in equal.items() if value is not None
    ]
    if f.tag is not None:
        wanted.append(c.tags.contains([f.tag]))
    if f.updated_since is not None:
        wanted.append(c.updated_at >= f.updated_since)
    if f.merged is not None:
        wanted.append(c.merged_into.is_not(None) if f.merged else c.merged_into.is_(None))
    if f.number is not None:
        phones = select(customer_phones.c.customer_id).where(customer_phones.c.e164 == f.number)
        wanted.append(_among(phones, "by_number"))
    if f.account is not None:
        wanted.append(
            _among(select(accounts.c.customer_id).where(accounts.c.number == f.account), "by_account")
        )
    if f.begins is not None:
        # Not `like`: the plan is made before the text is known, and only these use the index then.
        name, low = func.lower(c.name), func.lower(cast(f.begins, Text))
        matching = select(c.id.label("customer_id")).where(
            name.op("~>=~")(low), name.op("~<~")(low.op("||")(_LAST))
        )
        wanted.append(_among(matching, "by_name"))
    return wanted


def _among(ids: Select[Any], name: str) -> ColumnElement[bool]:
    """Found first and by their index: else PostgreSQL may walk through all customers in the list's order, looking for
    those few."""
    few = ids.cte(name).prefix_with("materialized", dialect="postgresql")
    return customers.c.id.in_(select(few.c.customer_id))
