"""What happens to customers, each time in one transaction: the rows, the event that tells of it, the audit entry."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.audit.service import AuditService
from card_api.customers import deletion, merging
from card_api.customers.actor import Actor
from card_api.customers.document import read_customer, read_customers
from card_api.customers.locks import Head, lock, lock_by_key
from card_api.customers.patching import patched
from card_api.customers.records import update_customer, upsert_customers
from card_api.customers.rows import CHILDREN, children_of, columns_of, rows_of
from card_api.customers.schemas import Customer, CustomerWrite
from card_api.customers.search import Filters, Found, search
from card_api.etag import etag, if_match
from card_api.events.outbox import Event, EventType, Outbox
from card_api.transaction import transaction
from shared.errors import Conflict, NotFound, PreconditionFailed


class CustomerService:
    """Methods that take a connection work in its transaction; who calls them commits. All raise the problems that
    REST answers with; `transaction` makes problems of PostgreSQL's errors."""

    def __init__(
        self,
        engine: AsyncEngine,
        audit: AuditService,
        outbox: Outbox,
        country: str,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._audit = audit
        self._outbox = outbox
        self._country = country
        self._now = now

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """For the methods that take a connection; commits at its end."""
        return transaction(self._engine)

    # --- reading ------------------------------------------------------------------------------------------------

    async def get(self, actor: Actor, id_: UUID) -> Customer:
        async with transaction(self._reading) as connection:
            customer = await _read(connection, id_)
        # Before the answer: what cannot be written down must not be told.
        self._audit.note(self._entry(actor, "customer.read", str(id_)))
        return customer

    async def search(
        self, actor: Actor, filters: Filters, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[list[Customer], Sequence[Found]]:
        """At most `limit` customers, and the places of `limit` + 1."""
        async with transaction(self._reading) as connection:
            places = await search(connection, filters, after, limit + 1)
            found = await read_customers(connection, [place.id for place in places[:limit]])
        # Whose they are and not what was asked for: that may be a name or a number.
        ids = [customer.id for customer in found]
        self._audit.note(self._entry(actor, "customers.listed", None, {"ids": ids}))
        return found, places

    # --- writing ------------------------------------------------------------------------------------------------

    async def create(self, connection: AsyncConnection, actor: Actor, given: CustomerWrite) -> Customer:
        [done] = await upsert_customers(connection, [rows_of(given, self._country)])
        if not done.created:
            raise Conflict(
                f"The customer {given.external_id!r} of {given.source!r} is there already: {done.id}. Change it with "
                f"PATCH /api/v1/customers/{done.id}, or PUT it whole."
            )
        return await self._told(connection, actor, EventType.CUSTOMER_CREATED, done.id)

    async def upsert(
        self, connection: AsyncConnection, actor: Actor, given: CustomerWrite, expected: str | None
    ) -> tuple[Customer, bool]:
        """(the customer, is it new). `expected`: If-Match."""
        if expected is not None:
            head = await lock_by_key(connection, given.source, given.external_id)
            if head is None:
                raise PreconditionFailed("There is no such customer yet: leave out If-Match to make it.")
            _expect(head, expected)
        [done] = await upsert_customers(connection, [rows_of(given, self._country)])
        if not done.changed:
            await write_audit(connection, [self._entry(actor, "customer.unchanged", str(done.id))])
            return await _read(connection, done.id), False
        event = EventType.CUSTOMER_CREATED if done.created else EventType.CUSTOMER_CHANGED
        return await self._told(connection, actor, event, done.id), done.created

    async def patch(
        self, connection: AsyncConnection, actor: Actor, id_: UUID, patch: Mapping[str, Any], expected: str
    ) -> Customer:
        """`patch`: a JSON merge patch of `CustomerBody`. Raises RequestValidationError if what comes out is none."""
        head = await _lock(connection, id_)
        _expect(head, expected)
        customer = await _read(connection, id_)
        body = patched(customer, patch)
        columns = columns_of(body)
        children = {child: children_of(body, child, self._country) for child in CHILDREN if child in patch}
        if not children and all(getattr(customer, name) == value for name, value in columns.items()):
            return customer
        await update_customer(connection, id_, head.source, columns, children)
        detail = {"fields": sorted(patch)}
        return await self._told(connection, actor, EventType.CUSTOMER_CHANGED, id_, detail)

    async def delete(
        self, connection: AsyncConnection, actor: Actor, id_: UUID, expected: str | None
    ) -> None:
        head = await _lock(connection, id_)
        if expected is not None:
            _expect(head, expected)
        released = await deletion.delete_customers(connection, [id_])
        await self._gone(connection, [head])
        await self._changed(connection, released)
        await write_audit(connection, [self._entry(actor, "customer.deleted", str(id_), _key(head))])

    async def merge(
        self, connection: AsyncConnection, actor: Actor, survivor: UUID, duplicates: Sequence[UUID]
    ) -> Customer:
        """These and all that are merged into them become one customer with `survivor`."""
        changed = await merging.merge(connection, survivor, list(dict.fromkeys(duplicates)))
        ids = [str(one) for one in changed if one != survivor]
        await self._changed(connection, changed)
        await write_audit(
            connection, [self._entry(actor, "customer.merged", str(survivor), {"duplicates": ids})]
        )
        return await _read(connection, survivor)

    async def unmerge(self, connection: AsyncConnection, actor: Actor, id_: UUID) -> Customer:
        """It is a customer of its own again."""
        survivor = await merging.unmerge(connection, id_)
        await self._changed(connection, [id_, survivor])
        entry = self._entry(actor, "customer.unmerged", str(id_), {"from": str(survivor)})
        await write_audit(connection, [entry])
        return await _read(connection, id_)

    async def touched(
        self, connection: AsyncConnection, actor: Actor, id_: UUID, detail: dict[str, Any]
    ) -> Customer:
        """Something that belongs to the record was added beside its source (by an agent, during a call)."""
        await merging.touch(connection, id_)
        return await self._told(connection, actor, EventType.CUSTOMER_CHANGED, id_, detail)

    # --- telling ------------------------------------------------------------------------------------------------

    async def _told(
        self,
        connection: AsyncConnection,
        actor: Actor,
        event: EventType,
        id_: UUID,
        detail: dict[str, Any] | None = None,
    ) -> Customer:
        """The customer as it is now, after the event and the audit entry are written."""
        customer = await _read(connection, id_)
        await self._outbox.add(connection, [Event(event, self._now(), customer.to_dict())])
        await write_audit(connection, [self._entry(actor, event.value, str(id_), detail)])
        return customer

    async def _changed(self, connection: AsyncConnection, ids: Sequence[UUID]) -> None:
        if await self._outbox.wanted(EventType.CUSTOMER_CHANGED):
            now = self._now()
            customers = await read_customers(connection, ids)
            events = [Event(EventType.CUSTOMER_CHANGED, now, customer.to_dict()) for customer in customers]
            await self._outbox.add(connection, events)

    async def _gone(self, connection: AsyncConnection, heads: Sequence[Head]) -> None:
        now = self._now()
        events = [
            Event(EventType.CUSTOMER_DELETED, now, {"id": str(head.id), **_key(head)}) for head in heads
        ]
        await self._outbox.add(connection, events)

    def _entry(
        self, actor: Actor, action: str, subject: str | None, detail: dict[str, Any] | None = None
    ) -> AuditEntry:
        return AuditEntry(self._now(), actor.kind, actor.audit, action, subject, detail or {})


async def _read(connection: AsyncConnection, id_: UUID) -> Customer:
    customer = await read_customer(connection, id_)
    if customer is None:
        raise _unknown(id_)
    return customer


async def _lock(connection: AsyncConnection, id_: UUID) -> Head:
    head = (await lock(connection, [id_])).get(id_)
    if head is None:
        raise _unknown(id_)
    return head


def _expect(head: Head, expected: str) -> None:
    if not if_match(expected, etag(head.revision)):
        raise PreconditionFailed(
            f"The customer has changed meanwhile: it is at {etag(head.revision)}. Read it again, then change it."
        )


def _key(head: Head) -> dict[str, str]:
    return {"source": head.source, "external_id": head.external_id}


def _unknown(id_: UUID) -> NotFound:
    return NotFound(f"No customer {id_} is known.")
