"""Setting web hooks up, trying them, and sending once more what was given up."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.etag import etag, if_match
from card_api.webhooks import zammad
from card_api.webhooks.body import encoded, ping
from card_api.webhooks.book import HookBook
from card_api.webhooks.hooks import HookRepository, HookRow
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.schemas import WebhookPatch, WebhookWrite, refuse_unspoken
from card_api.webhooks.sender import Outcome, Receiver, Sender
from card_api.webhooks.signing import FIRST_VERSION, secret
from shared.errors import Conflict, NotFound, PreconditionFailed, Problem, Unprocessable

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

    async def create(self, write: WebhookWrite, connection: AsyncConnection | None = None) -> HookRow:
        """In the transaction of `connection`, if one is given; call `changed` when it is committed. Raises
        `Unprocessable`, and `Conflict` if there are too many."""
        self._refuse_nowhere(write.url)
        if len(await self._hooks.all(connection)) >= MOST_HOOKS:
            raise Conflict(f"There are {MOST_HOOKS} web hooks already: delete one that nobody needs.")
        return await self._hooks.add(write.name, write.url, write.format, write.wanted(), connection)

    def secret(self, webhook_id: UUID, version: int = FIRST_VERSION) -> str:
        """It is stored nowhere: the same is made whenever it is needed."""
        return secret(self._site_secret, webhook_id, version)

    async def all(self) -> Sequence[HookRow]:
        return await self._hooks.all()

    async def get(self, webhook_id: UUID) -> HookRow:
        """Raises `NotFound`."""
        return _there(await self._hooks.get(webhook_id))

    async def change(self, webhook_id: UUID, patch: WebhookPatch, match: str | None = None) -> HookRow:
        """`match`: If-Match. Raises `NotFound`, `PreconditionFailed`, `Unprocessable`."""
        row = await self.get(webhook_id)
        at = _expected(row, match)
        if patch.url is not None:
            self._refuse_nowhere(patch.url)
        try:
            refuse_unspoken(row.format, patch.events)
        except ValueError as error:
            raise Unprocessable(f"{error}.") from None
        values: dict[str, Any] = patch.model_dump(exclude_none=True)
        if patch.events is not None:
            values["events"] = list(dict.fromkeys(str(e) for e in patch.events))
        if patch.active is not None:
            values["switched_off"] = None
        changed = await self._hooks.change(webhook_id, values, at)
        if changed is None:
            raise _gone_or_changed(at)
        await self.changed()
        return changed

    async def rotate(self, webhook_id: UUID, connection: AsyncConnection | None = None) -> int:
        """A new secret, of the version that is returned; for a day the one before signs too. In the transaction of
        `connection`, if one is given. Raises `NotFound`."""
        version: int = _there(await self._hooks.rotate(webhook_id, connection)).secret_version
        return version

    async def delete(self, webhook_id: UUID, match: str | None = None) -> None:
        """`match`: If-Match. Raises `NotFound`, `PreconditionFailed`."""
        at = _expected(await self.get(webhook_id), match)
        if not await self._hooks.delete(webhook_id, at):
            raise _gone_or_changed(at)
        await self.changed()

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

    async def changed(self) -> None:
        """This process writes events by what is committed."""
        if self._book is not None:
            await self._book.refresh()

    def _refuse_nowhere(self, url: str) -> None:
        """What no delivery would ever reach is said when it is set, not by a delivery that fails."""
        reason = self._sender.refusal(url)
        if reason is not None:
            raise Unprocessable(f"`url` leads nowhere: {reason}.")


_UNKNOWN = "There is no web hook with this id."


def _there(row: HookRow | None) -> HookRow:
    if row is None:
        raise NotFound(_UNKNOWN)
    return row


def tag_of(row: HookRow) -> str:
    """ETag of what somebody sets about a hook; how it fares changes with each delivery."""
    return etag(round(row.updated_at.timestamp() * 1_000_000))


def _expected(row: HookRow, match: str | None) -> datetime | None:
    """`updated_at` that must hold still when it is changed; None: any."""
    if match is None:
        return None
    if not if_match(match, tag_of(row)):
        raise PreconditionFailed(
            f"The web hook has changed meanwhile: it is at {tag_of(row)}. Read it again, then change it."
        )
    at: datetime = row.updated_at
    return at


def _gone_or_changed(at: datetime | None) -> Problem:
    """Between the reading and the writing."""
    if at is None:
        return NotFound(_UNKNOWN)
    return PreconditionFailed("The web hook is being changed by somebody else: read it again.")


def _sending(row: HookRow) -> None:
    if not row.active:
        raise Conflict("This web hook is switched off: set active to true first.")
