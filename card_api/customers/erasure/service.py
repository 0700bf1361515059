"""Erasing a person: everything in one transaction, and one audit entry that says that it was done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.audit.repository import AuditEntry, write_audit
from card_api.customers.actor import Actor
from card_api.customers.erasure.erasers import ERASERS, audit
from card_api.customers.erasure.person import Eraser, Person, find_person, find_stranger, owner_of
from card_api.customers.erasure.redis import RedisTraces
from card_api.customers.locks import Head, lock, lock_group
from card_api.events.outbox import Event, EventType, Outbox
from card_api.transaction import transaction
from shared.errors import Conflict, NotFound, Problem
from shared.observability import logger

# A person is erased once in a while, and the audit log is read whole for it: that may take longer than a request of
# every day may (shared.db).
_STATEMENT_MS = 600_000
# A call that goes on says the number again with its next update. One that is open for longer than this is a call whose
# end nobody has heard; a person's right does not wait for it.
_GOES_ON = timedelta(hours=12)
# Who looked at whom waits in the memory of each process for a moment before it is written (card_api.audit.service).
_QUEUED_SECONDS = 1.0

_TIMEOUT = text("select set_config('statement_timeout', :ms, true)")
_OPEN = text(
    """
    select call_id from calls where call_id = any(:call_ids) and state <> 'ended' and started_at > :since
    order by started_at limit 1
    """
).bindparams(bindparam("call_ids", type_=ARRAY(Text)))


class ErasureService:
    """`forget`: tells all processes to forget what they remember of callers. `erasers`: those of other domains, before
    ours."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        traces: RedisTraces,
        forget: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
        erasers: Sequence[Eraser] = (),
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._traces = traces
        self._forget = forget
        self._now = now
        self._erasers = (*erasers, *ERASERS)
        self._log = logger("erasure")

    async def erase(
        self, connection: AsyncConnection, actor: Actor, id_: UUID
    ) -> tuple[Person, dict[str, int]]:
        """Who it was, and what was taken out, by kind. Raises `NotFound`, and `Conflict` while the person is on the
        phone. After the commit: `finish`."""
        await connection.execute(_TIMEOUT, {"ms": str(_STATEMENT_MS)})
        person, heads = await group_of(connection, id_)
        return person, await self._take_out(connection, actor, "customer.erased", person, heads)

    async def erase_number(
        self, connection: AsyncConnection, actor: Actor, number: str
    ) -> tuple[Person, dict[str, int]]:
        """The same for a number (E.164) that no customer has. Raises `Conflict` if one has it, and while somebody is
        on the phone with it. After the commit: `finish`."""
        await connection.execute(_TIMEOUT, {"ms": str(_STATEMENT_MS)})
        owner = await owner_of(connection, number)
        if owner is not None:
            raise Conflict(
                f"This is a number of the customer {owner}: erase that one, with all that is theirs."
            )
        person = await find_stranger(connection, number)
        return person, await self._take_out(connection, actor, "number.erased", person, ())

    async def _take_out(
        self, connection: AsyncConnection, actor: Actor, action: str, person: Person, heads: Sequence[Head]
    ) -> dict[str, int]:
        going_on = await connection.scalar(
            _OPEN, {"call_ids": list(person.call_ids), "since": self._now() - _GOES_ON}
        )
        if going_on is not None:
            raise Conflict(f"A call of this person is going on ({going_on}). Erase them when it is over.")
        removed: dict[str, int] = {}
        for eraser in self._erasers:
            removed |= await eraser(connection, person)
        now = self._now()
        gone = [
            Event(
                EventType.CUSTOMER_DELETED,
                now,
                {"id": str(h.id), "source": h.source, "external_id": h.external_id},
            )
            for h in heads
        ]
        await self._outbox.add(connection, gone)
        entry = AuditEntry(now, actor.kind, actor.audit, action, person.pseudonym, {"removed": removed})
        await write_audit(connection, [entry])
        return removed

    async def finish(self, person: Person) -> None:
        """What was outside the tables when they were searched. Raises nothing: the person is erased."""
        await self._forget()
        await self._traces.clear(person.call_ids)
        await asyncio.sleep(_QUEUED_SECONDS)
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(_TIMEOUT, {"ms": str(_STATEMENT_MS)})
                await audit(connection, person)
        except Problem as error:
            self._log.error("the audit log was not searched again after an erasure", reason=error.detail)


async def group_of(connection: AsyncConnection, id_: UUID) -> tuple[Person, list[Head]]:
    """The person that this record is a part of, with the records, which are locked. Raises `NotFound`."""
    head = (await lock(connection, [id_])).get(id_)
    if head is None:
        raise NotFound(f"No customer {id_} is known.")
    survivor = head.merged_into or id_
    heads = await lock_group(connection, survivor)
    return await find_person(connection, survivor, [h.id for h in heads]), heads
