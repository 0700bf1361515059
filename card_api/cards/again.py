"""Telling the other processes that a call's caller is known better now, or that somebody is to be forgotten."""

import secrets

from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.cards.service import CardService
from card_api.listening import listen
from shared.observability import logger

CHANNEL = "callcard:again"
"""Pub/sub, `<process> <call_id>`: the identity, the notes or the customer of a call have changed. Whoever holds the
call looks again. `<process> *`: somebody was erased, so nobody remembers callers."""

# No id of a call: those are `pbx-uniqueid`.
_EVERYBODY = "*"


class Again:
    """`tell` after the change is in the tables. `run()` hears what other processes tell, until it is cancelled."""

    def __init__(self, redis: Redis, cards: CardService) -> None:
        self._redis = redis
        self._cards = cards
        self._name = secrets.token_hex(4)
        self._log = logger("cards")

    async def tell(self, call_id: str) -> None:
        """Show it on all screens; returns when those of this process's calls are on their way. Redis away: the other
        processes look again when it is back."""
        await self._publish(call_id)
        await self._cards.look_again(call_id).wait()

    async def forget_callers(self) -> None:
        """Somebody was erased: what any process remembers of callers goes. Raises nothing, as `tell`."""
        self._cards.forget_callers()
        await self._publish(_EVERYBODY)

    async def _publish(self, what: str) -> None:
        try:
            await self._redis.publish(CHANNEL, f"{self._name} {what}".encode())
        except (RedisError, OSError):
            self._log.warning("redis is away: other processes learn of it when it is back", call_id=what)

    async def run(self) -> None:
        await listen(self._redis, CHANNEL, self._begun, self._hear)

    async def _begun(self, missed: bool) -> None:
        if missed:  # one after the other: calls that ring meanwhile go first
            self._cards.forget_callers()
            for call_id in self._cards.open_ids:
                await self._cards.look_again(call_id).wait()

    async def _hear(self, payload: bytes) -> None:
        who, _, what = payload.decode(errors="replace").partition(" ")
        if who == self._name:
            return
        if what == _EVERYBODY:
            self._cards.forget_callers()
        else:
            self._cards.look_again(what)
