"""Finding a caller: the one statement against the ORM way and against raw asyncpg, same rows, same run.

The ORM way is what most would write: mapped classes, a session a look-up, `selectinload` for what hangs on a customer,
one more query for the last calls. Raw asyncpg sends our statement and does nothing with the answer: the floor.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg
from sqlalchemy import ForeignKey, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from sqlalchemy.sql.expression import text

from bench.table import Row, show
from card_api.lookup.repository import FIND, LookupRepository
from card_api.lookup.schemas import Question
from services.embedded import EmbeddedPostgres
from services.migrate import upgrade
from shared.db import create_engine

_CUSTOMERS = 50_000
# Each way runs for as long: the first look-ups warm its connection and are not counted.
_WARM = 100
_LOOKUPS = 1000
_TARGET = 2.0

Find = Callable[[str], Awaitable[int]]
"""Looks a number up; returns how many things it found, so that the ways can be compared."""

# One phone each and a second one for every other; accounts, tickets, orders and calls as a small provider has them.
_FILL = (
    "insert into categories values ('vip', 'VIP', '#b8860b', 10)",
    """insert into customers (source, external_id, name, category)
       select 'bench', n::text, 'Иванов Пётр ' || n, case when n % 20 = 0 then 'vip' end
       from generate_series(1, $1::int) n""",
    """insert into customer_phones (customer_id, e164, as_typed, purpose)
       select id, '+79' || lpad(external_id, 9, '0'), external_id, 'mobile' from customers""",
    """insert into customer_phones (customer_id, e164, as_typed, purpose)
       select id, '+74' || lpad(external_id, 9, '0'), external_id, 'contact' from customers
       where external_id::int % 2 = 0""",
    """insert into accounts (customer_id, source, external_id, number, status)
       select id, 'bench', external_id, 'D-' || external_id, 'active' from customers""",
    """insert into tickets (customer_id, source, external_id, number, subject, status, opened_at)
       select id, 'bench', external_id, 'T-' || external_id, 'No internet', 'open', now() from customers
       where external_id::int % 3 = 0""",
    """insert into orders (customer_id, source, external_id, number, title, amount, currency, ordered_at)
       select id, 'bench', external_id || '-' || k, k::text, 'Router', 3990, 'RUB', now() - k * interval '1 day'
       from customers, generate_series(1, 2) k""",
    """insert into calls (call_id, pbx, version, direction, state, customer_number, agents, started_at, document)
       select 'b-' || id || '-' || k, 'bench', 1, 'inbound', 'ended', e164, '{101}',
              now() - k * interval '3 days', '{}'
       from customer_phones, generate_series(1, 4) k""",
    "analyze",
)


class _Base(DeclarativeBase):
    pass


class _Category(_Base):
    __tablename__ = "categories"
    code: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str]
    colour: Mapped[str | None]
    priority: Mapped[int]


class _Account(_Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    source: Mapped[str]
    number: Mapped[str]
    status: Mapped[str | None]
    product: Mapped[str | None]


class _Ticket(_Base):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    source: Mapped[str]
    number: Mapped[str]
    subject: Mapped[str]
    status: Mapped[str]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    url: Mapped[str | None]


class _Order(_Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    source: Mapped[str]
    number: Mapped[str]
    title: Mapped[str]
    status: Mapped[str | None]
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None]
    ordered_at: Mapped[datetime | None]
    url: Mapped[str | None]


class _Name(_Base):
    __tablename__ = "customer_names"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    name: Mapped[str]
    source: Mapped[str]


class _Person(_Base):
    __tablename__ = "customer_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    name: Mapped[str]
    source: Mapped[str]


class _Phone(_Base):
    __tablename__ = "customer_phones"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    e164: Mapped[str]
    purpose: Mapped[str]


class _Customer(_Base):
    __tablename__ = "customers"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    external_id: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]
    greet_as: Mapped[str | None]
    manager: Mapped[str | None]
    url: Mapped[str | None]
    category_code: Mapped[str | None] = mapped_column("category", ForeignKey("categories.code"))
    category: Mapped[_Category | None] = relationship()
    phones: Mapped[list[_Phone]] = relationship()
    names: Mapped[list[_Name]] = relationship()
    people: Mapped[list[_Person]] = relationship()
    accounts: Mapped[list[_Account]] = relationship()
    tickets: Mapped[list[_Ticket]] = relationship()
    orders: Mapped[list[_Order]] = relationship()


class _Call(_Base):
    __tablename__ = "calls"
    call_id: Mapped[str] = mapped_column(primary_key=True)
    customer_number: Mapped[str | None]
    direction: Mapped[str]
    started_at: Mapped[datetime]
    end_reason: Mapped[str | None]
    queue: Mapped[str | None]
    talk_seconds: Mapped[int | None]


def our_way(engine: AsyncEngine) -> Find:
    repository = LookupRepository(engine)

    async def find(number: str) -> int:
        found = await repository.find(Question(number))
        return len(found.history) + sum(
            len(c.accounts) + len(c.tickets) + len(c.orders) for c in found.customers
        )

    return find


def orm_way(engine: AsyncEngine) -> Find:
    sessions = async_sessionmaker(engine)
    hanging_on_it = [
        selectinload(relation)
        for relation in (
            _Customer.category,
            _Customer.phones,
            _Customer.names,
            _Customer.people,
            _Customer.accounts,
            _Customer.tickets,
            _Customer.orders,
        )
    ]

    async def find(number: str) -> int:
        async with sessions() as session:
            wanted = select(_Customer).join(_Customer.phones).where(_Phone.e164 == number)
            customers = (await session.scalars(wanted.options(*hanging_on_it))).unique().all()
            numbers = [phone.e164 for customer in customers for phone in customer.phones] or [number]
            last = select(_Call).where(_Call.customer_number.in_(numbers))
            history = (await session.scalars(last.order_by(_Call.started_at.desc()).limit(11))).all()
            return len(history) + sum(len(c.accounts) + len(c.tickets) + len(c.orders) for c in customers)

    return find


def raw_way(pool: "asyncpg.Pool[asyncpg.Record]") -> Find:
    statement = FIND

    async def find(number: str) -> int:
        await pool.fetchval(statement, *Question(number))
        return 0

    return find


async def _per_second(find: Find, numbers: list[str]) -> tuple[float, int]:
    for number in numbers[:_WARM]:
        await find(number)
    began = time.perf_counter()
    found = 0
    for number in numbers[_WARM:]:
        found += await find(number)
    return (len(numbers) - _WARM) / (time.perf_counter() - began), found


async def _compare(url: str, customers: int) -> list[Row]:
    await upgrade(url)
    connection = await asyncpg.connect(url)
    for statement in _FILL:
        await connection.execute(statement, *([customers] if "$1" in statement else []))
    await connection.execute("vacuum")
    await connection.close()
    numbers = [f"+79{1 + (n * 7919) % customers:09}" for n in range(_WARM + _LOOKUPS)]
    engine = create_engine(url)
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1, server_settings={"jit": "off"})
    try:
        ours, things = await _per_second(our_way(engine), numbers)
        orm, same = await _per_second(orm_way(engine), numbers)
        raw, _ = await _per_second(raw_way(pool), numbers)
        async with engine.connect() as checked:
            phones = await checked.scalar(text("select count(*) from customer_phones"))
    finally:
        await pool.close()
        await engine.dispose()
    if things != same:
        raise RuntimeError(f"ours found {things} things, the ORM way {same}: not comparable")
    what = f"look-up of a caller, {customers // 1000}k customers, {(phones or 0) // 1000}k numbers"
    return [
        Row(
            what=what,
            ours=f"{ours:.0f}/s ({1000 / ours:.2f} ms)",
            beside=f"ORM {orm:.0f}/s ({1000 / orm:.2f} ms)",
            ratio=ours / orm,
            target=f"at least {_TARGET:g}×",
            good=ours / orm >= _TARGET,
        ),
        Row(
            what="the same, beside raw asyncpg without reading the answer",
            ours=f"{ours:.0f}/s",
            beside=f"raw {raw:.0f}/s ({1000 / raw:.2f} ms)",
            ratio=ours / raw,
            target="the floor",
            good=True,
        ),
    ]


def run(customers: int = _CUSTOMERS) -> list[Row]:
    """Two rows: beside the ORM way, beside raw asyncpg. Raises RuntimeError if the ways did not find the same."""
    with tempfile.TemporaryDirectory(prefix="callcard-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder, durable=False).start()
        try:
            return asyncio.run(_compare(server.url, customers))
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=_CUSTOMERS)
    sys.exit(0 if show(run(parser.parse_args().customers)) else 1)
