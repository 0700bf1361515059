"""The outbox behind which web hooks are: a delivery for each hook that wants the event, and its job."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

from card_api.events.outbox import Event, EventType
from card_api.jsonb import jsonb
from card_api.webhooks import jobs, zammad
from card_api.webhooks.body import envelope
from card_api.webhooks.book import HookBook, Listener

# The hook is locked so that nobody deletes it between this and the end of the transaction: a call must not fail to be
# stored because a web hook went away at that moment.
_ADD = text(
    """
    with hooks as (select id from webhooks where active for key share)
    insert into webhook_deliveries (webhook_id, event_id, type, subject, number, payload)
    select r.webhook_id, r.event_id, r.type, r.subject, r.number, r.payload
    from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        place integer, webhook_id uuid, event_id uuid, type text, subject text, number text, payload jsonb)
    join hooks on hooks.id = r.webhook_id
    order by r.place
    on conflict (webhook_id, event_id) do nothing
    returning id, webhook_id
    """
).bindparams(bindparam("rows", type_=Text))


class HookOutbox:
    """An `Outbox`."""

    def __init__(self, book: HookBook) -> None:
        self._book = book

    async def wanted(self, *types: EventType) -> bool:
        return await self._book.wanted(*types)

    async def add(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        if not events:
            return
        hooks = await self._book.listeners()
        rows = [_row(hook, event) for event in events for hook in hooks if _wants(hook, event)]
        if not rows:
            return
        for place, row in enumerate(rows):
            row["place"] = place
        added = (await connection.execute(_ADD, {"rows": jsonb(rows)})).all()
        await jobs.enqueue(connection, [(row.id, row.webhook_id) for row in added])


def _wants(hook: Listener, event: Event) -> bool:
    return event.type in hook.events and (hook.format != zammad.FORMAT or zammad.speaks_of(event.data))


def _row(hook: Listener, event: Event) -> dict[str, Any]:
    return {
        "webhook_id": hook.id,
        "event_id": event.id,
        "type": event.type,
        "subject": subject(event),
        "number": event.data.get("customer_number"),
        "payload": envelope(event),
    }


def subject(event: Event) -> str | None:
    """Whom or what the event is about: a call_id, a customer's id. Events of one subject go out in order."""
    about = event.data.get("call_id") or event.data.get("id")
    return None if about is None else str(about)
