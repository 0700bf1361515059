"""Bringing one delivery to its receiver: look, send, write down what came of it."""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from card_api.agents.directory import Directory
from card_api.webhooks import zammad
from card_api.webhooks.body import encoded
from card_api.webhooks.repository import DeliveryRepository, Due
from card_api.webhooks.retry import TRIES, ZAMMAD_TRIES, wait_after
from card_api.webhooks.sender import Outcome, Sender
from shared.observability import logger

# An earlier event of the same call is on its way just now: it is there in a moment, or has a later time of its own.
_BEHIND_SECONDS = 0.2

SWITCHED_OFF = "The web hook is switched off."
ERASED = "What it said was erased with the person it was about."


class Courier:
    """`deliver` is what a job does. At least once: a crash between the answer and the note of it repeats.

    directory: whose phone is whose, asked only for Zammad. chance: a random number in [0, 1). count: told of each try
    whether it was `delivered`, `failed` or the last and so `dead`.
    """

    def __init__(
        self,
        repository: DeliveryRepository,
        sender: Sender,
        directory: Callable[[], Awaitable[Directory]],
        now: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._repository = repository
        self._sender = sender
        self._directory = directory
        self._now = now
        self._chance = chance
        self._count = count
        self._log = logger("webhooks")

    async def deliver(self, delivery_id: int) -> timedelta | None:
        """Try once. None: there is nothing more to do; else when to come again. Raises one of `DATABASE_ERRORS`."""
        due = await self._repository.due(delivery_id)
        if due is None:
            return None  # delivered by another worker, or the hook is no more
        now = self._now()
        if not due.active:
            await self._repository.bury(due, SWITCHED_OFF, now)
            return None
        if due.payload is None:
            await self._repository.bury(due, ERASED, now)
            return None
        if due.behind_until is not None:
            return max(due.behind_until - now, timedelta(0)) + timedelta(seconds=_BEHIND_SECONDS)
        outcome = await self._sender.send(due.receiver, str(due.event_id), await self._body(due))
        return await self._note(due, outcome)

    async def _body(self, due: Due) -> bytes:
        assert due.payload is not None
        if due.format == zammad.FORMAT:
            return encoded(zammad.body(due.payload, await self._directory()))
        return encoded(due.payload)

    async def _note(self, due: Due, outcome: Outcome) -> timedelta | None:
        now = self._now()
        said = {
            "webhook": str(due.receiver.webhook_id),
            "delivery": due.id,
            "type": due.type,
            "status": outcome.status_code,
        }
        if outcome.delivered:
            await self._repository.delivered(due, outcome, now)
            self._count("delivered")
            self._log.debug("delivered", ms=outcome.ms, **said)
            return None
        tries = ZAMMAD_TRIES if due.format == zammad.FORMAT else TRIES
        wait = None if outcome.gone else wait_after(due.attempts + 1, tries, self._chance)
        await self._repository.failed(due, outcome, now, None if wait is None else now + wait)
        self._count("dead" if wait is None else "failed")
        if outcome.gone:
            self._log.warning("a web hook is switched off: its receiver answered 410 Gone", **said)
        elif wait is None:
            self._log.warning("a delivery is given up; it can be replayed", tries=due.attempts + 1, **said)
        else:
            self._log.info(
                "a delivery failed and is tried again", seconds=round(wait.total_seconds()), **said
            )
        return wait
