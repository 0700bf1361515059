"""What happened that other systems want to hear of, said in the transaction that made it happen.

Whoever changes something names the event beside the change; who hears of it (web hooks) is nobody's business here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection


class EventType(StrEnum):
    CALL_STARTED = "call.started"
    CALL_ANSWERED = "call.answered"
    CALL_ENDED = "call.ended"
    CALL_MISSED = "call.missed"
    CUSTOMER_CREATED = "customer.created"
    CUSTOMER_CHANGED = "customer.changed"
    CUSTOMER_DELETED = "customer.deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """`data`: plain JSON types, the `Customer` or the call as REST shows it. `id`: the same event said again (a call
    that is read twice) has the same one, and goes out once."""

    type: EventType
    at: datetime
    data: dict[str, Any]
    id: UUID = field(default_factory=uuid4)


class Outbox(Protocol):
    async def add(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Enqueue what these events cause, in the transaction of `connection`: both happen or neither."""
        ...

    async def wanted(self, *types: EventType) -> bool:
        """Would anybody hear of an event of these types? Asks memory, no server: it saves making events for nobody."""
        ...


class NobodyListens:
    """An outbox for where there is nobody to tell: the import of samples, a test."""

    async def add(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        return None

    async def wanted(self, *types: EventType) -> bool:
        return False
