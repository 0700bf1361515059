"""Calls of the past by what people look for them with: all its SQL. Newest first, each filter on an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, bindparam, literal, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.calls.models import calls
from card_api.calls.schemas import CallItem
from shared.contracts.call import CallEndReason, Direction


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What a call must be; None: whatever it is. number: E.164 of the customer's end. agent: the login of one who
    talked. since, until: its beginning, from and before. after: (started_at, call_id) of the last call of the page
    before."""

    number: str | None = None
    agent: str | None = None
    queue: str | None = None
    did: str | None = None
    direction: Direction | None = None
    missed: bool | None = None
    end_reason: CallEndReason | None = None
    customer_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str] | None = None


_SHOWN = [calls.c[name] for name in CallItem.model_fields]

# From a number of the customer, or said to be of the customer by somebody in the call; not if somebody said that it was
# another one, as numbers may be shared. Merged records are one customer. Arrays, so that each finds its index.
_OF_CUSTOMER = """
    (calls.customer_number = any(array(
        select p.e164 from customer_phones p
        where p.customer_id = any(array({group})) and p.e164 is not null))
    or calls.call_id = any(array(
        select i.call_id from call_identities i where i.customer_id = any(array({group})))))
    and not exists (
        select from call_identities i
        where i.call_id = calls.call_id and i.customer_id is not null and i.customer_id <> all(array({group})))
"""
_GROUP = """
    select g.id from customers g, customers c where c.id = :customer_id
    and (g.id = coalesce(c.merged_into, c.id) or g.merged_into = coalesce(c.merged_into, c.id))
"""


class CallSearch:
    """Raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def find(self, wanted: CallFilter, most: int) -> Sequence[Any]:
        """At most so many rows with the columns of `CallItem`."""
        async with self._engine.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(statement(wanted, most))).all()
            return rows


def statement(wanted: CallFilter, most: int) -> Select[Any]:
    """The statement that finds them."""
    newest_first = (calls.c.started_at.desc(), calls.c.call_id.desc())
    return select(*_SHOWN).where(*_conditions(wanted)).order_by(*newest_first).limit(most)


def _conditions(wanted: CallFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.number is not None:
        found.append(calls.c.customer_number == wanted.number)
    if wanted.agent is not None:
        found.append(calls.c.agents.op("@>", is_comparison=True)(literal([wanted.agent], ARRAY(Text))))
    if wanted.queue is not None:
        found.append(calls.c.queue == wanted.queue)
    if wanted.did is not None:
        found.append(calls.c.did == wanted.did)
    if wanted.direction is not None:
        found.append(calls.c.direction == wanted.direction.value)
    if wanted.missed is not None:
        found.append(calls.c.missed if wanted.missed else ~calls.c.missed)
    if wanted.end_reason is not None:
        found.append(calls.c.end_reason == wanted.end_reason.value)
    if wanted.customer_id is not None:
        customer = bindparam("customer_id", wanted.customer_id, type_=Uuid)
        found.append(text(_OF_CUSTOMER.format(group=_GROUP)).bindparams(customer))  # type: ignore[arg-type]
    if wanted.since is not None:
        found.append(calls.c.started_at >= wanted.since)
    if wanted.until is not None:
        found.append(calls.c.started_at < wanted.until)
    if wanted.after is not None:
        at, call_id = wanted.after
        found.append(tuple_(calls.c.started_at, calls.c.call_id) < tuple_(literal(at), literal(call_id)))
    return found
