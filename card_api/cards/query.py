"""One card on request: after a reload, from a link, or for a supervisor."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from card_api.agents.directory import Agent, Directory
from card_api.audit.repository import AuditEntry
from card_api.audit.service import AuditService
from card_api.calls.facts import account_of, customer_end
from card_api.calls.repository import CallRepository
from card_api.cards.places import Place, places
from card_api.cards.render import NOTHING_KNOWN, Knowledge, Site, render
from card_api.cards.service import CardService
from card_api.database import DATABASE_ERRORS
from card_api.lookup.schemas import Found, Question
from card_api.sources.gather import Gatherer
from shared.contracts.call import Call, Direction
from shared.contracts.card import Card, CardState, SourceStatus
from shared.errors import NotFound, Unavailable


class Seen(NamedTuple):
    """A call, everybody it may be, and the card that somebody sees of it."""

    call: Call
    found: Found
    card: Card


class CardQuery:
    def __init__(
        self,
        open_cards: CardService,
        calls: CallRepository,
        gatherer: Gatherer,
        audit: AuditService,
        directory: Callable[[], Directory],
        site: Site,
        now: Callable[[], datetime],
    ) -> None:
        self._open = open_cards
        self._calls = calls
        self._gatherer = gatherer
        self._audit = audit
        self._directory = directory
        self._site = site
        self._now = now

    async def card(self, call_id: str, reader: Agent, of: str | None) -> Card:
        """The card of a call as `reader` may see it, noted in the audit log. Raises what `seen` raises."""
        card = (await self.seen(call_id, reader, of)).card
        detail = {"call_id": call_id, "customer_id": card.caller.customer_id, "agent": card.agent}
        self._audit.note(
            AuditEntry(self._now(), "agent", reader.login, "card.read", card.call.number, detail)
        )
        return card

    async def seen(self, call_id: str, reader: Agent, of: str | None = None) -> Seen:
        """The call with its card: the reader's own, or for a supervisor that of the agent `of` (default: of whoever
        talks, rings or did last). Raises `NotFound` also for a call that was not for them, so that nobody learns which
        ids exist; `Unavailable` when PostgreSQL is away."""
        call, version, knowledge = await self._find(call_id)
        place = _choose(places(call, self._directory()), reader, of)
        if place is None:
            raise _unknown(call_id)
        if knowledge is None:
            knowledge = await self._know(call)
        card = render(call, version, place, knowledge, self._directory(), self._site, self._now())
        return Seen(call, knowledge.found, card)

    async def _find(self, call_id: str) -> tuple[Call, int, Knowledge | None]:
        held = self._open.of(call_id)
        if held is not None:
            return held
        try:
            stored = await self._calls.get(call_id) if "\0" not in call_id else None
        except DATABASE_ERRORS:
            raise Unavailable("Calls cannot be read now: PostgreSQL is away.", {"Retry-After": "2"}) from None
        if stored is None:
            raise _unknown(call_id)
        return stored.call, stored.version, None

    async def _know(self, call: Call) -> Knowledge:
        """All sources within their deadlines, as when the call came in: whoever opens the card of a call that is over
        rings the customer back, and wants to know what is so now. A person waits for that longer than a phone rings."""
        if call.direction is Direction.INTERNAL:
            return NOTHING_KNOWN
        number = customer_end(call, self._site.country_of).number
        gathered = await self._gatherer.all(Question(number, account_of(call), call.call_id))
        looked_up_at = self._now() if gathered.own is SourceStatus.OK else None
        return Knowledge(gathered.found, gathered.reports, looked_up_at)


def _choose(concerned: list[Place], reader: Agent, of: str | None) -> Place | None:
    wanted = of or (None if reader.supervises else reader.login)
    if wanted is not None:
        if wanted != reader.login and not reader.supervises:
            return None
        return next((p for p in concerned if p.agent.login == wanted), None)
    living = [p for p in concerned if p.state is not CardState.CLOSED]
    talked = [p for p in concerned if p.answered_at is not None]
    own = [p for p in concerned if p.agent.login == reader.login]
    return next(iter([*own, *living, *reversed(talked), *reversed(concerned)]), None)


def _unknown(call_id: str) -> NotFound:
    return NotFound(f"No call {call_id[:100]!r} is known that rang at or was handled by this agent.")
