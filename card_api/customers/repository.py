"""All SQL that writes customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Table, Uuid, bindparam, delete, func
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import any_

from card_api.customers.models import (
    accounts,
    categories,
    customer_names,
    customer_people,
    customer_phones,
    customers,
    orders,
    tickets,
)


@dataclass(frozen=True, slots=True)
class CategoryRecord:
    code: str
    label: str
    colour: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PhoneRecord:
    """`e164` is searched, `as_typed` is shown to who typed it."""

    e164: str
    as_typed: str
    purpose: str = "contact"


@dataclass(frozen=True, slots=True)
class AccountRecord:
    number: str
    status: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    number: str
    title: str
    status: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    ordered_at: datetime | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TicketRecord:
    number: str
    subject: str
    status: str
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """A customer whole, as one source knows them. `external_id` is the source's key; the numbers of accounts, orders
    and tickets are theirs."""

    external_id: str
    name: str
    kind: str = "person"
    greet_as: str | None = None
    category: str | None = None
    manager: str | None = None
    tags: tuple[str, ...] = ()
    url: str | None = None
    phones: tuple[PhoneRecord, ...] = ()
    names: tuple[str, ...] = ()
    people: tuple[tuple[str, str | None], ...] = ()
    accounts: tuple[AccountRecord, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    tickets: tuple[TicketRecord, ...] = ()


async def upsert_categories(connection: AsyncConnection, records: Sequence[CategoryRecord]) -> None:
    """Create these categories or make them as given."""
    if not records:
        return
    rows = [{"code": r.code, "label": r.label, "colour": r.colour, "priority": r.priority} for r in records]
    await connection.execute(_upsert(categories, rows, key=("code",)))


async def upsert_customers(
    connection: AsyncConnection, source: str, records: Sequence[CustomerRecord]
) -> dict[str, UUID]:
    """Create these customers of `source` or make them as given, with everything that belongs to them; what the source
    does not say any more is gone. Returns our ids by external id. The transaction is the caller's; each external_id
    may come once."""
    if not records:
        return {}
    rows = [
        {
            "source": source,
            "external_id": r.external_id,
            "kind": r.kind,
            "name": r.name,
            "greet_as": r.greet_as,
            "category": r.category,
            "manager": r.manager,
            "tags": list(r.tags),
            "url": r.url,
        }
        for r in records
    ]
    statement = _upsert(customers, rows, key=("source", "external_id"), touch=True)
    answer = await connection.execute(statement.returning(customers.c.external_id, customers.c.id))
    ids: dict[str, UUID] = {row.external_id: row.id for row in answer}
    for table, children in _children(source, records, ids):
        wanted = bindparam("ids", list(ids.values()), type_=ARRAY(Uuid))
        await connection.execute(delete(table).where(table.c.customer_id == any_(wanted)))
        if children:
            await connection.execute(insert(table).values(children))
    return ids


def _children(
    source: str, records: Sequence[CustomerRecord], ids: dict[str, UUID]
) -> list[tuple[Table, list[dict[str, Any]]]]:
    phones, names, people, contracts, bought, asked = [], [], [], [], [], []
    for r in records:
        own = {"customer_id": ids[r.external_id]}
        theirs = {**own, "source": source}
        phones += [{**own, "e164": p.e164, "as_typed": p.as_typed, "purpose": p.purpose} for p in r.phones]
        names += [{**theirs, "name": name} for name in r.names]
        people += [{**theirs, "name": name, "role": role} for name, role in r.people]
        contracts += [
            {**theirs, "external_id": a.number, "number": a.number, "status": a.status, "product": a.product}
            for a in r.accounts
        ]
        bought += [
            {
                **theirs,
                "external_id": o.number,
                "number": o.number,
                "title": o.title,
                "status": o.status,
                "amount": o.amount,
                "currency": o.currency,
                "ordered_at": o.ordered_at,
                "url": o.url,
            }
            for o in r.orders
        ]
        asked += [
            {
                **theirs,
                "external_id": t.number,
                "number": t.number,
                "subject": t.subject,
                "status": t.status,
                "opened_at": t.opened_at,
                "closed_at": t.closed_at,
                "url": t.url,
            }
            for t in r.tickets
        ]
    return [
        (customer_phones, phones),
        (customer_names, names),
        (customer_people, people),
        (accounts, contracts),
        (orders, bought),
        (tickets, asked),
    ]


def _upsert(table: Table, rows: list[dict[str, Any]], key: tuple[str, ...], *, touch: bool = False) -> Any:
    statement = insert(table).values(rows)
    changed: dict[str, Any] = {name: statement.excluded[name] for name in rows[0] if name not in key}
    if touch:
        changed["updated_at"] = func.now()
    return statement.on_conflict_do_update(index_elements=list(key), set_=changed)
