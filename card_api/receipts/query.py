"""Reading rings: all its SQL. Newest first, each filter on an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.receipts.models import rings
from card_api.receipts.schemas import RingItem

_SHOWN = [rings.c[name] for name in RingItem.model_fields]


@dataclass(frozen=True, slots=True)
class RingFilter:
    """What a ring must be; None: whatever it is. unseen: was there a reason why no tab had shown it in time? after:
    (rang, call_id, agent) of the last ring of the page before."""

    agent: str | None = None
    unseen: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str, str] | None = None


class RingQuery:
    """Raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def find(self, wanted: RingFilter, most: int) -> Sequence[Any]:
        """At most so many rows with the columns of `RingItem`."""
        async with self._engine.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(statement(wanted, most))).all()
            return rows

    async def of_call(self, call_id: str) -> Sequence[Any]:
        """The rings of one call, in order."""
        wanted = select(*_SHOWN).where(rings.c.call_id == call_id).order_by(rings.c.rang, rings.c.agent)
        async with self._engine.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(wanted)).all()
            return rows


def statement(wanted: RingFilter, most: int) -> Select[Any]:
    """The statement that finds them."""
    newest_first = (rings.c.rang.desc(), rings.c.call_id.desc(), rings.c.agent.desc())
    return select(*_SHOWN).where(*_conditions(wanted)).order_by(*newest_first).limit(most)


def _conditions(wanted: RingFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.agent is not None:
        found.append(rings.c.agent == wanted.agent)
    if wanted.unseen is not None:
        found.append(rings.c.unseen.is_not(None) if wanted.unseen else rings.c.unseen.is_(None))
    if wanted.since is not None:
        found.append(rings.c.rang >= wanted.since)
    if wanted.until is not None:
        found.append(rings.c.rang < wanted.until)
    if wanted.after is not None:
        at, call_id, agent = wanted.after
        key = tuple_(rings.c.rang, rings.c.call_id, rings.c.agent)
        found.append(key < tuple_(literal(at), literal(call_id), literal(agent)))
    return found
