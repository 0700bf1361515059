"""Web hooks on a real PostgreSQL, and a receiver on loopback."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.agents.directory import Directory
from card_api.events.outbox import Event, EventType
from card_api.webhooks.book import HookBook
from card_api.webhooks.delivery import Courier
from card_api.webhooks.hooks import HookRepository
from card_api.webhooks.models import webhook_deliveries, webhooks
from card_api.webhooks.outbox import HookOutbox
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.sender import Sender
from tests.card_api.conftest import SECRET
from tests.card_api.makers import DIRECTORY
from tests.card_api.webhooks.receiver import Receiver, receiving

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALL = [str(t) for t in EventType]


@dataclass
class Clock:
    """What time it is; only the test moves it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta | float) -> None:
        self.now += by if isinstance(by, timedelta) else timedelta(seconds=by)


@dataclass
class Hooks:
    """The parts, wired to one database, with a clock of the test."""

    engine: AsyncEngine
    clock: Clock
    sender: Sender
    book: HookBook = field(init=False)
    outbox: HookOutbox = field(init=False)
    deliveries: DeliveryRepository = field(init=False)
    hooks: HookRepository = field(init=False)
    courier: Courier = field(init=False)

    def __post_init__(self) -> None:
        self.book = HookBook(self.engine)
        self.outbox = HookOutbox(self.book)
        self.deliveries = DeliveryRepository(self.engine)
        self.hooks = HookRepository(self.engine)

        async def directory() -> Directory:
            return DIRECTORY

        self.courier = Courier(self.deliveries, self.sender, directory, self.clock, random.Random(1).random)

    async def add(self, url: str, events: list[str] | None = None, format_: str = "callcard") -> UUID:
        row = await self.hooks.add("CRM", url, format_, ALL if events is None else events)
        await self.book.refresh()
        found: UUID = row.id
        return found

    async def say(self, *events: Event) -> list[int]:
        """Say these events; returns the deliveries they made."""
        before = {row.id for row in await self.rows()}
        async with self.engine.begin() as connection:
            await self.outbox.add(connection, events)
        return [row.id for row in await self.rows() if row.id not in before]

    async def rows(self) -> list[Any]:
        async with self.engine.connect() as connection:
            statement = select(webhook_deliveries).order_by(webhook_deliveries.c.id)
            return list(await connection.execute(statement))

    async def row(self, delivery_id: int) -> Any:
        return next(row for row in await self.rows() if row.id == delivery_id)

    async def hook(self, webhook_id: UUID) -> Any:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(webhooks).where(webhooks.c.id == webhook_id))).one()

    async def jobs(self) -> int:
        async with self.engine.connect() as connection:
            statement = text("select count(*) from pgqueuer where status in ('queued', 'picked')")
            return int(await connection.scalar(statement) or 0)


def event(type_: EventType = EventType.CALL_STARTED, call_id: str = "main-1.1", **data: Any) -> Event:
    return Event(type_, START, {"call_id": call_id, "customer_number": "+79001112233", **data})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as it:
        yield it


@pytest.fixture
async def hooks(engine: AsyncEngine) -> AsyncIterator[Hooks]:
    clock = Clock()
    sender = Sender(SECRET, True, clock)
    yield Hooks(engine, clock, sender)
    await sender.close()
