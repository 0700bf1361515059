"""Finding a caller the ORM way: mapped classes, a session a look-up, `selectinload` for what hangs on a customer."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ForeignKey, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

Find = Callable[[str], Awaitable[int]]
"""Looks a number up; returns how many things it found, so that the ways can be compared."""


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
