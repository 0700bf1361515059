"""The writing end of the push bus when Centrifugo keeps the tabs."""

from collections.abc import Collection, Iterable, Sequence

from redis.exceptions import RedisError

from card_api.centrifugo.client import disconnect, publish
from card_api.centrifugo.outbox import Outbox
from shared.contracts.card import Card
from shared.push import PushPublisher, agent_channel, card_publication
from shared.push_control import Farewell
from shared.revision import LAST_ENRICHMENT, parts

# The protocol's own code for "your state is not good any more": an SDK reconnects at once, and has the desk anew.
DESK_REBUILT = Farewell(3010, "insufficient state")


class CentrifugoPublisher:
    """Desk first, tabs second: a snapshot that is read after a publication has what was published.

    Redis decides what is new, as ever. What it took goes into the outbox; only the newest of each agent and call waits
    there.
    """

    def __init__(self, desks: PushPublisher, outbox: Outbox) -> None:
        self._desks = desks
        self._outbox = outbox

    async def publish_cards(self, cards: Sequence[Card]) -> list[int | RedisError | None]:
        """As `PushPublisher.publish_cards`. A card that its desk has already is told all the same: whoever put it there
        may have ended before telling it. Centrifugo drops what it was told twice."""
        known = await self._desks.publish_cards(cards)
        for card, rev in zip(cards, known, strict=True):
            if rev is None or rev == card.rev:
                self._tell(card)
        return known

    async def rebuild_desk(self, cards: Iterable[Card], logins: Collection[str]) -> None:
        """As `PushPublisher.rebuild_desk`: every tab is asked to reconnect, and gets its desk anew."""
        await self._desks.rebuild_desk(cards, logins)
        for login in logins:
            self._outbox.put(("disconnect", login), disconnect(login, DESK_REBUILT.code, DESK_REBUILT.reason))

    async def desk_is_fresh(self) -> bool:
        return await self._desks.desk_is_fresh()

    def _tell(self, card: Card) -> None:
        _, enrichment = parts(card.rev)
        # The last enrichment may come again with the same rev and other contents (`shared.revision.replaces`).
        once = "" if enrichment == LAST_ENRICHMENT else f"{card.call_id}:{card.rev}"
        channel = agent_channel(card.agent)
        self._outbox.put((channel, card.call_id), publish(channel, card_publication(card), once))
