"""SQL that writes customers' records with all that belongs to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TextClause, text

from card_api.customers.rows import CHILDREN, CustomerRows, Row

# Rows travel as one JSON parameter: one statement whatever their number, prepared once.
_FIELDS = {
    "kind": "text",
    "name": "text",
    "greet_as": "text",
    "category": "text",
    "manager": "text",
    "country": "text",
    "url": "text",
    "tags": "text[]",
    "attributes": "jsonb",
    "preferences": "jsonb",
}


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of a record that was said. Neither created nor changed: the source had said the same before."""

    id: UUID
    revision: int
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class _Child:
    table: str
    columns: dict[str, str]
    # What makes two rows of a customer and source the same row; the table has a unique index on it.
    key: tuple[str, ...]


_TABLES = {
    "phones": _Child(
        "customer_phones",
        dict.fromkeys(("e164", "as_typed", "purpose", "kind", "extension", "remark"), "text"),
        ("coalesce({0}e164, {0}as_typed)", "coalesce({0}extension, '')"),
    ),
    "names": _Child("customer_names", {"name": "text"}, ("{0}name",)),
    "people": _Child("customer_people", {"name": "text", "role": "text"}, ("{0}name",)),
    "accounts": _Child(
        "accounts",
        dict.fromkeys(("external_id", "number", "status", "product"), "text"),
        ("{0}external_id",),
    ),
    "orders": _Child(
        "orders",
        {
            **dict.fromkeys(("external_id", "number", "title", "status", "currency", "url"), "text"),
            "amount": "numeric",
            "ordered_at": "timestamptz",
        },
        ("{0}external_id",),
    ),
    "tickets": _Child(
        "tickets",
        {
            **dict.fromkeys(("external_id", "number", "subject", "status", "url"), "text"),
            "opened_at": "timestamptz",
            "closed_at": "timestamptz",
        },
        ("{0}external_id",),
    ),
}


def _statement(sql: str, **types: Any) -> TextClause:
    return text(sql).bindparams(*(bindparam(name, type_=kind) for name, kind in types.items()))


# In one order everywhere, so that two loads never wait for each other's rows. The clock's time and not the
# transaction's: what follows by it (search.py) counts on a row's time being after its lock.
_UPSERT = _statement(
    f"""
    insert into customers (source, external_id, {", ".join(_FIELDS)}, said, updated_at)
    select r.source, r.external_id, {", ".join("r." + c for c in _FIELDS)}, decode(r.said, 'hex'), clock_timestamp()
    from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        source text, external_id text, {", ".join(f"{c} {t}" for c, t in _FIELDS.items())}, said text)
    order by r.source, r.external_id
    on conflict (source, external_id) do update set
        {", ".join(f"{c} = excluded.{c}" for c in _FIELDS)}, said = excluded.said,
        revision = customers.revision + 1, updated_at = excluded.updated_at
    where customers.said is distinct from excluded.said
    returning source, external_id, id, revision, xmax = 0 as created
    """,  # noqa: S608 - only the column names above are put in; the values are bound
    rows=Text,
)

_KNOWN = _statement(
    """
    select c.source, c.external_id, c.id, c.revision
    from jsonb_to_recordset(cast(:keys as jsonb)) as r(source text, external_id text)
    join customers c on c.source = r.source and c.external_id = r.external_id
    """,
    keys=Text,
)

# A category that nobody has described yet goes by its code.
_CATEGORIES = _statement(
    """
    insert into categories (code, label) select code, code from unnest(:codes) as r(code) order by code
    on conflict do nothing
    """,
    codes=ARRAY(Text),
)

_UPDATE = _statement(
    f"""
    update customers c
    set {", ".join(f"{c} = r.{c}" for c in _FIELDS)}, said = null,
        revision = c.revision + 1, updated_at = clock_timestamp()
    from jsonb_to_record(cast(:row as jsonb)) as r({", ".join(f"{c} {t}" for c, t in _FIELDS.items())})
    where c.id = :id
    """,  # noqa: S608
    row=Text,
    id=Uuid,
)


def _dropping(child: _Child) -> TextClause:
    """Takes away what a source has said of these customers and does not say any more."""
    return _statement(
        f"""
        delete from {child.table} x using jsonb_to_recordset(cast(:owners as jsonb)) as o(customer_id uuid, source text)
        where x.customer_id = o.customer_id and x.source = o.source and not exists (
            select 1 from {_given(child)} where r.customer_id = x.customer_id
            and {" and ".join(f"{k.format('r.')} = {k.format('x.')}" for k in child.key)})
        """,  # noqa: S608
        owners=Text,
        rows=Text,
    )


def _putting(child: _Child) -> TextClause:
    key = ", ".join(k.format("") for k in child.key)
    other = [c for c in child.columns if c not in key.split(", ")]
    update = f"update set {', '.join(f'{c} = excluded.{c}' for c in other)}" if other else "nothing"
    return _statement(
        f"""
        insert into {child.table} (customer_id, source, {", ".join(child.columns)})
        select r.customer_id, r.source, {", ".join("r." + c for c in child.columns)} from {_given(child)}
        on conflict (customer_id, source, {key}) do {update}
        """,  # noqa: S608
        rows=Text,
    )


def _given(child: _Child) -> str:
    columns = ", ".join(f"{c} {t}" for c, t in child.columns.items())
    return f"jsonb_to_recordset(cast(:rows as jsonb)) as r(customer_id uuid, source text, {columns})"


_DROP = {name: _dropping(child) for name, child in _TABLES.items()}
_PUT = {name: _putting(child) for name, child in _TABLES.items()}


async def upsert_customers(connection: AsyncConnection, records: Sequence[CustomerRows]) -> list[Upserted]:
    """Create these records or make them as given, with everything that belongs to them; answers in their order.

    Replaces what their source has said before and nothing that others have. A record that its source says in the same
    words again is not touched. Of a key that comes twice the last counts. A batch is some dozen statements whatever
    its size. The transaction is the caller's. Raises IntegrityError and DataError for what PostgreSQL refuses.
    """
    last = {(r.source, r.external_id): r for r in records}
    await add_categories(connection, [r.columns["category"] for r in last.values()])
    rows = [
        {"source": r.source, "external_id": r.external_id, **r.columns, "said": r.said} for r in last.values()
    ]
    done = {
        (row.source, row.external_id): Upserted(row.id, row.revision, row.created, True)
        for row in await connection.execute(_UPSERT, {"rows": _json(rows)})
    }
    if done:
        old = [(key, upserted.id) for key, upserted in done.items() if not upserted.created]
        for child in CHILDREN:
            given = [
                {"customer_id": upserted.id, "source": key[0], **row}
                for key, upserted in done.items()
                for row in last[key].children[child]
            ]
            await _replace(connection, child, [(id_, key[0]) for key, id_ in old], given)
    same = [{"source": key[0], "external_id": key[1]} for key in last if key not in done]
    if same:
        for row in await connection.execute(_KNOWN, {"keys": _json(same)}):
            done[row.source, row.external_id] = Upserted(row.id, row.revision, False, False)
    return [done[r.source, r.external_id] for r in records]


async def update_customer(
    connection: AsyncConnection, id_: UUID, source: str, columns: Row, children: dict[str, list[Row]]
) -> None:
    """Make the record as given, and those of CHILDREN that are given; the others stay. It must be locked."""
    await add_categories(connection, [columns["category"]])
    await connection.execute(_UPDATE, {"row": _json(columns), "id": id_})
    for child, rows in children.items():
        given = [{"customer_id": id_, "source": source, **row} for row in rows]
        await _replace(connection, child, [(id_, source)], given)


async def add_categories(connection: AsyncConnection, codes: Collection[str | None]) -> None:
    """Make those of these categories that are not there."""
    wanted = sorted({code for code in codes if code is not None})
    if wanted:
        await connection.execute(_CATEGORIES, {"codes": wanted})


async def _replace(
    connection: AsyncConnection, child: str, owners: Sequence[tuple[UUID, str]], rows: Sequence[Row]
) -> None:
    parameter = _json(rows)
    if owners:
        known = _json([{"customer_id": id_, "source": source} for id_, source in owners])
        await connection.execute(_DROP[child], {"owners": known, "rows": parameter})
    if rows:
        await connection.execute(_PUT[child], {"rows": parameter})


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()  # default: asyncpg has a UUID of its own
