"""Notes about customers: written down during a call or by another system, read by whoever has the next one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.audit.service import AuditService
from card_api.customers.actor import Actor
from card_api.customers.locks import exists
from card_api.customers.notes import NewNote, add_note, delete_note, read_notes
from card_api.customers.requests import NoteWrite
from card_api.transaction import transaction
from shared.contracts.card import Note
from shared.errors import NotFound


class NoteService:
    """All methods raise the problems that REST answers with."""

    def __init__(self, engine: AsyncEngine, audit: AuditService, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._audit = audit
        self._now = now

    async def list(
        self, actor: Actor, customer_id: UUID, after: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[Note]:
        async with transaction(self._reading) as connection:
            await _expect(connection, customer_id)
            found = await read_notes(connection, customer_id, after, limit)
        self._audit.note(self._entry(actor, "notes.read", customer_id))
        return found

    async def add(
        self, connection: AsyncConnection, actor: Actor, customer_id: UUID, given: NoteWrite
    ) -> Note:
        await _expect(connection, customer_id)
        new = NewNote(given.text, actor.kind, actor.shown, given.call_id)
        note = await add_note(connection, customer_id, new)
        await write_audit(connection, [self._entry(actor, "note.added", customer_id, note.id)])
        return note

    async def delete(self, actor: Actor, customer_id: UUID, note_id: UUID) -> None:
        async with transaction(self._engine) as connection:
            if not await delete_note(connection, customer_id, note_id):
                raise NotFound(f"The customer {customer_id} has no note {note_id}.")
            await write_audit(connection, [self._entry(actor, "note.deleted", customer_id, str(note_id))])

    def _entry(self, actor: Actor, action: str, customer_id: UUID, note: str | None = None) -> AuditEntry:
        detail = {"note": note} if note else {}
        return AuditEntry(self._now(), actor.kind, actor.audit, action, str(customer_id), detail)


async def _expect(connection: AsyncConnection, customer_id: UUID) -> None:
    if not await exists(connection, customer_id):
        raise NotFound(f"No customer {customer_id} is known.")
