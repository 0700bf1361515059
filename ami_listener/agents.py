"""Whose phone is which: a copy of what the card API keeps in Redis, for the tracker's rules.

Without it (Redis away since the start, no agents yet, a card API that does not run) calls are followed all the same:
agents' phones are then told by the settings and by their names, and an agent is named by the extension.
"""

from collections.abc import Callable, Mapping

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener.clock import Clock, SystemClock
from ami_listener.tracker.endpoints import EndpointRules
from shared.bus import AGENT_PHONES, AGENT_PHONES_CHANGED
from shared.contracts.agents import AgentPhones
from shared.observability import logger
from shared.phone import normalise
from shared.settings import PbxSettings

# A restarted Redis is back within a second or two; nobody waits for the agents' names meanwhile.
_RETRY_SECONDS = 1.0


class AgentPhoneBook:
    """`run()` keeps the copy true until cancelled; `endpoints(pbx)` reads it at any time.

    on_change callbacks are called in the event loop, after the copy became another one. A call that is open then keeps
    the ends it has: whose phone a channel is was judged when it appeared, and a leg must not change its agent in the
    middle of a conversation. Channels that appear later are judged anew.
    """

    def __init__(self, redis: Redis, *, clock: Clock | None = None) -> None:
        self._redis = redis
        self._clock = clock or SystemClock()
        self._log = logger("agents")
        self._current = AgentPhones()
        self._callbacks: list[Callable[[], None]] = []

    def endpoints(self, pbx: str) -> Mapping[str, str]:
        """Endpoint (`PJSIP/101`) → login of the agent whose phone it is at this PBX; empty while nothing is known."""
        return self._current.at(pbx)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def run(self) -> None:
        """Until cancelled. A Redis that is away costs nothing but news: the copy stays as it is."""
        away = False
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(AGENT_PHONES_CHANGED)
                    # The first message is the subscription itself: what is read from then on misses no change.
                    async for _ in subscription.listen():
                        await self._read()
                        away = False
            except (RedisError, OSError):
                if not away:
                    away = True
                    self._log.warning(
                        "redis is away: agents' phones are told by what was known of them before",
                        phones=len(self._current.phones),
                    )
            except Exception:  # a defect must not end the reading for ever
                self._log.exception("the agents' phones could not be read")
            await self._clock.sleep(_RETRY_SECONDS)

    async def _read(self) -> None:
        raw = await self._redis.get(AGENT_PHONES)
        if raw is None:
            # Never written, or Redis lost its data: the card API writes it again. What was known is still the best.
            return
        try:
            read = AgentPhones.model_validate_json(raw)
        except ValueError:
            self._log.error("the list of agents' phones in Redis is not readable; the one of before is kept")
            return
        if read == self._current:
            return
        self._current = read
        self._log.info("the agents' phones are known", phones=len(read.phones))
        for callback in self._callbacks:
            callback()


def rules_for(settings: PbxSettings, country: str, agents: Mapping[str, str]) -> EndpointRules:
    """What is known of a PBX's ends: the settings, the agents' phones; the rest is guessed. `country`: ISO code of
    numbers without a country code, if the PBX has none of its own."""
    country = settings.country or country
    return EndpointRules(
        agents=agents,
        agent_patterns=tuple(settings.agents),
        trunk_patterns=tuple(settings.trunks),
        internal_contexts=tuple(settings.internal_contexts),
        inbound_contexts=tuple(settings.inbound_contexts),
        variables=frozenset(settings.variables),
        normalise=lambda raw: normalise(raw, country),
    )
