"""Customers out: as their sources said them, page after page, each a line that a bulk load takes as it is.

What others have added to a record (a number an agent typed in) is not its source's and is not here: GET of the
customer shows it. Pages go by the moment of the last change, so a reader that is slow holds no transaction open; a
record that is changed meanwhile comes once more, later.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import DateTime, Integer, Row, Text, Uuid, bindparam
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers.bulk.columns import FIELDS, cell
from card_api.database import DATABASE_ERRORS
from shared.numbers import MAX_FIELD

# A page is a few milliseconds of PostgreSQL and less than one of ours.
_PAGE = 200
# Seconds to wait for a PostgreSQL that is busy, or is started anew, before the next tries: whoever has read half a
# million would have to begin again.
_AGAIN = (0.2, 1.0, 5.0)
# A number of one town, or the second of `8 (495) 123-45-67/68`: only its E.164 form says the same everywhere. A text
# with so many digits, of which the last are the number's, is the number.
_WHOLE_NUMBER = 10
_LAST = 7
# Before anything was changed here.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which customers; None: all."""

    source: str | None = None
    category: str | None = None
    updated_since: datetime | None = None


def _rows(table: str, **columns: str) -> str:
    fields = ", ".join(f"'{name}', {value}" for name, value in columns.items())
    return (
        f"(select coalesce(json_agg(json_build_object({fields}) order by r.id), '[]') "  # noqa: S608
        f"from {table} r where r.customer_id = c.id and r.source = c.source)"
    )


def _same(*names: str) -> dict[str, str]:
    return {name: f"r.{name}" for name in names}


_DIGITS = "regexp_replace(r.as_typed, '[^0-9]', '', 'g')"
# As people write it, with what was taken out of the field when it was read.
_NUMBER = f"""
    left(
        case when r.e164 is not null
            and (length({_DIGITS}) < {_WHOLE_NUMBER} or right({_DIGITS}, {_LAST}) <> right(r.e164, {_LAST}))
            then r.e164 else r.as_typed end
        || case when r.extension is null or position('ext=' in r.as_typed) > 0 then '' else ' ext. ' || r.extension end
        || coalesce(', ' || r.remark, ''),
        {MAX_FIELD})
"""

_LINE = f"""
    json_build_object(
        'source', c.source, 'external_id', c.external_id, 'kind', c.kind, 'name', c.name, 'greet_as', c.greet_as,
        'category', c.category, 'manager', c.manager, 'country', c.country, 'url', c.url, 'tags', c.tags,
        'attributes', c.attributes, 'preferences', c.preferences,
        'phones', {_rows("customer_phones", number=_NUMBER, purpose="r.purpose")},
        'names', (select coalesce(json_agg(r.name order by r.id), '[]') from customer_names r
                  where r.customer_id = c.id and r.source = c.source),
        'people', {_rows("customer_people", **_same("name", "role"))},
        'accounts', {_rows("accounts", **_same("number", "external_id", "status", "product"))},
        'orders', {
    _rows(
        "orders",
        **_same("number", "external_id", "title", "status"),
        amount="cast(r.amount as text)",
        **_same("currency", "ordered_at", "url"),
    )
},
        'tickets', {
    _rows("tickets", **_same("number", "external_id", "subject", "status", "opened_at", "closed_at", "url"))
})
"""  # noqa: S608 - constants of this file

_SELECT = text(
    f"""
    select c.updated_at, c.id, cast({_LINE} as text) as line from customers c
    where (c.updated_at, c.id) > (:at, :id)
    and (:source is null or c.source = :source) and (:category is null or c.category = :category)
    order by c.updated_at, c.id limit :page
    """  # noqa: S608
).bindparams(
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("id", type_=Uuid),
    bindparam("source", type_=Text),
    bindparam("category", type_=Text),
    bindparam("page", type_=Integer),
)


async def export_pages(engine: AsyncEngine, wanted: Wanted, page: int = _PAGE) -> AsyncIterator[list[str]]:
    """JSON of a `CustomerWrite` each, a page at a time. Raises one of `DATABASE_ERRORS` when PostgreSQL is away: for
    the first page at once, later when it has stayed away for a while."""
    at, last = wanted.updated_since or _FIRST, UUID(int=0)
    values = {"source": wanted.source, "category": wanted.category, "page": page}
    pauses: Sequence[float] = ()
    while True:
        rows = await _page(engine, {**values, "at": at, "id": last}, pauses)
        if rows:
            yield [row.line for row in rows]
        if len(rows) < page:
            return
        at, last, pauses = rows[-1].updated_at, rows[-1].id, _AGAIN


async def _page(engine: AsyncEngine, values: dict[str, Any], pauses: Sequence[float]) -> Sequence[Row[Any]]:
    for pause in pauses:
        with suppress(*DATABASE_ERRORS):
            return await _read(engine, values)
        await asyncio.sleep(pause)
    return await _read(engine, values)


async def _read(engine: AsyncEngine, values: dict[str, Any]) -> Sequence[Row[Any]]:
    async with engine.connect() as connection:
        return (await connection.execute(_SELECT, values)).all()


async def count_customers(engine: AsyncEngine, wanted: Wanted) -> int:
    """How many they are now."""
    statement = text(
        "select count(*) from customers c where (cast(:at as timestamptz) is null or c.updated_at >= :at) "
        "and (:source is null or c.source = :source) and (:category is null or c.category = :category)"
    ).bindparams(
        bindparam("at", type_=DateTime(timezone=True)),
        bindparam("source", type_=Text),
        bindparam("category", type_=Text),
    )
    async with engine.connect() as connection:
        found: int = (
            await connection.execute(
                statement,
                {"at": wanted.updated_since, "source": wanted.source, "category": wanted.category},
            )
        ).scalar_one()
    return found


async def ndjson_lines(pages: AsyncIterator[list[str]]) -> AsyncIterator[str]:
    """A line a customer."""
    async for page in pages:
        yield "".join(line + "\n" for line in page)


async def csv_lines(pages: AsyncIterator[list[str]]) -> AsyncIterator[str]:
    """The same as CSV: a line of columns, then a customer a record."""
    columns = ("source", "external_id", *(f for f in FIELDS if f not in ("source", "external_id")))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    async for page in pages:
        for line in page:
            customer = orjson.loads(line)
            writer.writerow([cell(field, customer[field]) for field in columns])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
