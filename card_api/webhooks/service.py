"""Setting web hooks up, trying them, and sending once more what was given up."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row

from card_api.webhooks import zammad
from card_api.webhooks.body import encoded, ping
from card_api.webhooks.book import HookBook
from card_api.webhooks.hooks import HookRepository, HookRow
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.schemas import WebhookPatch, WebhookWrite, refuse_unspoken
from card_api.webhooks.sender import Outcome, Receiver, Sender
from card_api.webhooks.signing import secret
from shared.errors import Conflict, NotFound, Unprocessable

# Each costs every event a row; who has more wants a message broker behind one of them.
MOST_HOOKS = 50


class WebhookService:
    """Raises the `Problem`s it names, and one of `DATABASE_ERRORS` when PostgreSQL is away.

    book: the copy in memory that this process writes events by; it hears of a change at once.
    """

    def __init__(
        self,
        hooks: HookRepository,
        deliveries: DeliveryRepository,
        sender: Sender,
        site_secret: str,
        now: Callable[[], datetime],
        book: HookBook | None = None,
    ) -> None:
        self._hooks = hooks
        self._deliveries = deliveries
        self._sender = sender
        self._site_secret = site_secret
        self._now = now
        self._book = book

    async def create(self, write: WebhookWrite) -> tuple[HookRow, str]:
        """(the hook, its secret). Raises `Conflict` if there are too many."""
        if len(await self._hooks.all()) >= MOST_HOOKS:
            raise Conflict(f"There are {MOST_HOOKS} web hooks already: delete one that nobody needs.")
        row = await self._hooks.add(write.name, write.url, write.format, write.wanted())
        await self._changed()
        return row, secret(self._site_secret, row.id, row.secret_version)

    async def all(self) -> Sequence[HookRow]:
        return await self._hooks.all()

    async def get(self, webhook_id: UUID) -> HookRow:
        """Raises `NotFound`."""
        return _there(await self._hooks.get(webhook_id))

    async def change(self, webhook_id: UUID, patch: WebhookPatch) -> HookRow:
        """Raises `NotFound`, `Unprocessable`."""
        row = await self.get(webhook_id)
        try:
            refuse_unspoken(row.format, patch.events)
        except ValueError as error:
            raise Unprocessable(f"{error}.") from None
        values: dict[str, Any] = patch.model_dump(exclude_none=True)
        if patch.events is not None:
            values["events"] = list(dict.fromkeys(str(e) for e in patch.events))
        if patch.active is not None:
            values["switched_off"] = None
        changed = _there(await self._hooks.change(webhook_id, values))
        await self._changed()
        return changed

    async def rotate(self, webhook_id: UUID) -> str:
        """A new secret; for a day the one before signs too. Raises `NotFound`."""
        row = _there(await self._hooks.rotate(webhook_id))
        return secret(self._site_secret, row.id, row.secret_version)

    async def delete(self, webhook_id: UUID) -> None:
        """Raises `NotFound`."""
        if not await self._hooks.delete(webhook_id):
            raise NotFound(_UNKNOWN)
        await self._changed()

    async def try_out(self, webhook_id: UUID) -> Outcome:
        """Send something harmless now; what comes of it is not noted anywhere. Raises `NotFound`."""
        row = await self.get(webhook_id)
        receiver = Receiver(row.id, row.url, row.secret_version, row.secret_rotated_at)
        number = str(uuid4())
        bodies = zammad.trial(number) if row.format == zammad.FORMAT else [ping(row.name, self._now())]
        ms = 0.0
        for body in bodies:
            outcome = await self._sender.send(receiver, number, encoded(body))
            ms += outcome.ms
            if not outcome.delivered:
                break
        return Outcome(outcome.status_code, outcome.error, round(ms, 1))

    async def deliveries(
        self, webhook_id: UUID, state: str | None, before: int | None, limit: int
    ) -> Sequence[Row[Any]]:
        """Raises `NotFound`."""
        await self.get(webhook_id)
        return await self._hooks.deliveries(webhook_id, state, before, limit)

    async def delivery(self, webhook_id: UUID, delivery_id: int) -> Row[Any]:
        """Raises `NotFound`."""
        row = await self._hooks.delivery(webhook_id, delivery_id)
        if row is None:
            raise NotFound("This web hook has no such delivery; those done are kept for some days only.")
        return row

    async def replay(self, webhook_id: UUID, delivery_id: int) -> None:
        """Raises `NotFound`, `Conflict`."""
        _sending(await self.get(webhook_id))
        row = await self.delivery(webhook_id, delivery_id)
        if not await self._deliveries.replay(webhook_id, delivery_id, self._now()):
            raise Conflict(
                "What it said was erased with the person it was about."
                if row.payload is None
                else "This delivery is still on its way; it cannot be replayed before it is done."
            )

    async def replay_dead(self, webhook_id: UUID) -> int:
        """How many. Raises `NotFound`, `Conflict`."""
        _sending(await self.get(webhook_id))
        return await self._deliveries.replay_dead(webhook_id, self._now())

    async def _changed(self) -> None:
        if self._book is not None:
            await self._book.refresh()


_UNKNOWN = "There is no web hook with this id."


def _there(row: HookRow | None) -> HookRow:
    if row is None:
        raise NotFound(_UNKNOWN)
    return row


def _sending(row: HookRow) -> None:
    if not row.active:
        raise Conflict("This web hook is switched off: set active to true first.")
