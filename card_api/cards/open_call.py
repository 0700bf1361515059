"""A call that goes on, as the card service holds it."""

import asyncio
from dataclasses import dataclass, field, replace

from card_api.cards.places import Place
from card_api.cards.render import NOTHING_KNOWN, Knowledge
from card_api.sources.gather import Asking
from shared.contracts.call import Call
from shared.contracts.card import CardState
from shared.revision import LAST_ENRICHMENT

# What is known outranks "not known yet" of the same version, also of a process that ended meanwhile: without this, a
# restart after a database outage could not correct the cards of before. Fifteen patches of either kind have room.
KNOWN = 16


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call with what is known of its caller and what each agent's screen shows.

    asking: the question under way, or answered. answered: our own tables have said something about it. learned: how
    often what is known has changed. shown: each agent's card as it was published last.
    """

    call: Call
    version: int
    knowledge: Knowledge = NOTHING_KNOWN
    asking: Asking | None = None
    answered: bool = False
    learned: int = 0
    failed_at: float | None = None
    grace: asyncio.TimerHandle | None = None
    grace_over: bool = False
    shown: dict[str, object] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Is the answer of our own tables worth waiting for?"""
        return self.asking is not None and not self.answered and not self.grace_over

    def change(self, call: Call, version: int) -> None:
        """The call is another one now. Its cards outrank all of before, so there is room for patches again."""
        self.call, self.version = call, version
        base = KNOWN if self.knowledge.looked_up_at is not None else 0
        if self.knowledge.enrichment > base:
            self.knowledge = replace(self.knowledge, enrichment=base)

    def forget_caller(self) -> None:
        """It is about somebody else now."""
        self.knowledge = Knowledge(enrichment=self.knowledge.enrichment)

    def learn(self, knowledge: Knowledge) -> None:
        """More is known. `knowledge.enrichment` is not looked at: it is the next one."""
        enrichment = self.knowledge.enrichment + 1
        if knowledge.looked_up_at is not None:
            enrichment = max(enrichment, KNOWN)
        self.knowledge = replace(knowledge, enrichment=min(enrichment, LAST_ENRICHMENT))
        self.learned += 1

    def outbid(self, login: str, enrichment: int) -> None:
        """A desk has a card of this version with a higher enrichment, of a process before us: go beyond it."""
        higher = min(max(enrichment + 1, self.knowledge.enrichment), LAST_ENRICHMENT)
        self.knowledge = replace(self.knowledge, enrichment=higher)
        self.shown.pop(login, None)

    def face(self, place: Place) -> object:
        """What must differ for a card to be published again. A closed card stays as it was when it closed."""
        if place.state is CardState.CLOSED:
            return place.state, place.close_reason, place.ringing_at, place.ended_at
        call = self.call
        return (
            place.state,
            place.ringing_at,
            place.answered_at,
            call.state,
            call.did,
            call.queue.name if call.queue else None,
            len(call.digits),
            self.asking.question if self.asking else None,
            self.learned,
        )
