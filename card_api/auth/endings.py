"""Tokens that ended before their time: the API refuses them, and the gateways are told what they may have missed.

The agents table is the record, so nothing is forgotten when Redis is. This process hears of an ending at once, from the
gateways' own control channel; what it did not hear it reads from the table, within half a minute. While Redis or
PostgreSQL is away, what is known stays known, and nobody is signed out for that.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.agents.endings import Standing, missed
from card_api.agents.repository import AgentRepository
from card_api.agents.service import tell_gateways
from card_api.background import end
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, sentence
from card_api.listening import listen
from shared.observability import logger
from shared.push_control import CONTROL_CHANNEL, Disconnect, read_revoked

# For endings that nobody told of: a command without Redis, a link that was away.
_READ_SECONDS = 30.0
# As long as the gateways remember (`shared.push_control`): no token of another system lives longer.
_REMEMBERED = timedelta(days=31)
# Of another system's tokens; they should be much shorter.
_SHORTEST = timedelta(days=1)
# Redis answers in a millisecond or is away.
_TELL_SECONDS = 3.0


class TokenEndings:
    """`ended` is asked with every request and costs a look into a dictionary. Run `run` as a task. `lifetime`: of our
    tokens."""

    def __init__(
        self,
        repository: AgentRepository,
        redis: Redis,
        now: Callable[[], datetime],
        lifetime: timedelta = _SHORTEST,
    ) -> None:
        self._repository = repository
        self._redis = redis
        self._now = now
        self._lifetime = max(lifetime, _SHORTEST)
        self._before: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._log = logger("auth")
        self.loaded = False
        """Has the table been read? Until then nobody knows which tokens have ended."""

    def ended(self, login: str, issued_at: datetime | None) -> bool:
        """Is a token that was issued then good for nothing any more? One that does not say when is older than any
        ending."""
        issued = issued_at.timestamp() if issued_at else 0.0
        return issued < self._before.get(login, 0.0)

    def add(self, login: str, before: float) -> None:
        """Tokens of the agent end that were issued before this moment, in seconds since 1970."""
        self._before[login] = max(before, self._before.get(login, 0.0))

    async def run(self) -> None:
        """Until cancelled."""
        listening = asyncio.create_task(listen(self._redis, CONTROL_CHANNEL, self._begun, self._hear))
        backoff = Backoff()
        try:
            while True:
                self._wake.clear()
                try:
                    await self.read()
                    backoff.reset()
                except DATABASE_ERRORS as error:
                    if backoff.fresh:
                        self._log.warning("ended tokens cannot be read", reason=sentence(error))
                    await asyncio.sleep(backoff.next())
                    continue
                except Exception as error:  # what was known is better than nothing
                    self._log.error("ended tokens cannot be read", exc_info=error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_READ_SECONDS):
                        await self._wake.wait()
        finally:
            await end([listening])

    async def read(self) -> None:
        """Read the table now, and tell the gateways what they do not know. Raises one of `DATABASE_ERRORS`."""
        agents = await self._repository.ended_since(self._now() - _REMEMBERED)
        for agent in agents:
            if agent.tokens_from is not None:
                self.add(agent.login, agent.tokens_from.timestamp())
        self.loaded = True
        await self._tell_missed(agents)

    async def _tell_missed(self, agents: list[Standing]) -> None:
        if not agents:
            return
        try:
            async with asyncio.timeout(_TELL_SECONDS):
                revoked = await read_revoked(self._redis)
        except (RedisError, OSError):  # TimeoutError is one; `_begun` wakes us when Redis is back
            return
        # What ended longer ago than a token lives is of no tab that is open.
        since = self._now() - self._lifetime
        for ending in missed(agents, revoked, since):
            if not await tell_gateways(self._redis, ending):
                return

    async def _begun(self, _: bool) -> None:
        self._wake.set()  # something may have ended before we listened

    async def _hear(self, payload: bytes) -> None:
        with contextlib.suppress(ValidationError):  # none of ours: the gateways say so in their log
            order = Disconnect.model_validate_json(payload)
            if order.ends_token:
                self.add(order.login, order.before)
