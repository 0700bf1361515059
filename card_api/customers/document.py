"""SQL that reads customers as REST shows them: one statement, JSON built in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

from card_api.customers.schemas import Customer


def _rows(table: str, order: str, **columns: str) -> str:
    fields = ", ".join(f"'{name}', {value}" for name, value in {**columns, "source": "r.source"}.items())
    return (
        f"(select coalesce(json_agg(json_build_object({fields}) order by {order}), '[]') "  # noqa: S608
        f"from {table} r where r.customer_id = c.id)"
    )


def _same(*names: str) -> dict[str, str]:
    return {name: f"r.{name}" for name in names}


_PHONES = _rows(
    "customer_phones", "r.id", **_same("e164", "as_typed", "kind", "purpose", "extension", "remark")
)
_NAMES = _rows("customer_names", "r.said_at desc, r.id", **_same("name", "said_at"))
_PEOPLE = _rows("customer_people", "r.id", **_same("name", "role"))
_ACCOUNTS = _rows("accounts", "r.id", **_same("external_id", "number", "status", "product"))
_ORDERS = _rows(
    "orders",
    "r.ordered_at desc nulls last, r.id",
    **_same("external_id", "number", "title", "status", "currency", "ordered_at", "url"),
    amount="cast(r.amount as text)",
)
_TICKETS = _rows(
    "tickets",
    "r.opened_at desc nulls last, r.id",
    **_same("external_id", "number", "subject", "status", "opened_at", "closed_at", "url"),
)

DOCUMENT = f"""
    json_build_object(
        'id', c.id, 'source', c.source, 'external_id', c.external_id, 'merged_into', c.merged_into,
        'merged', (select coalesce(json_agg(d.id order by d.id), '[]') from customers d where d.merged_into = c.id),
        'revision', c.revision, 'kind', c.kind, 'name', c.name, 'greet_as', c.greet_as, 'category', c.category,
        'manager', c.manager, 'country', c.country, 'url', c.url, 'tags', c.tags, 'attributes', c.attributes,
        'preferences', c.preferences, 'created_at', c.created_at, 'updated_at', c.updated_at,
        'phones', {_PHONES}, 'names', {_NAMES}, 'people', {_PEOPLE}, 'accounts', {_ACCOUNTS}, 'orders', {_ORDERS},
        'tickets', {_TICKETS})
"""  # noqa: S608 - constants of this file
"""A `Customer` as JSON, of a row `c` of customers."""

_GET = text(
    f"""
    select cast({DOCUMENT} as text) from unnest(:ids) with ordinality as w(id, n) join customers c on c.id = w.id
    order by w.n
    """  # noqa: S608
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def read_customers(connection: AsyncConnection, ids: Sequence[UUID]) -> list[Customer]:
    """Those of these that are there, in this order."""
    found = await connection.execute(_GET, {"ids": list(ids)})
    return [Customer.model_validate_json(document) for document in found.scalars()]


async def read_customer(connection: AsyncConnection, id_: UUID) -> Customer | None:
    return next(iter(await read_customers(connection, [id_])), None)
