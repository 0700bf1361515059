"""Agents: adding them (the command), and a directory that follows the tables."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import IntegrityError

from card_api.agents.directory import Agent, Directory
from card_api.agents.endings import Ending
from card_api.agents.phones import publish_phones
from card_api.agents.repository import AgentRepository, Saved
from card_api.background import end
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, sentence
from card_api.listening import listen
from shared.bus import AGENTS_CHANGED
from shared.observability import logger
from shared.push_control import disconnect
from shared.security import Passwords

# The login is a part of the push channel's name and of tokens.
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_ENDPOINT = re.compile(r"[A-Za-z0-9]+/[^\s/;]{1,100}")
# Short ones are guessed from a list within the rate limit.
_SHORTEST_PASSWORD = 8
# In case a message on the bus was missed.
_REFRESH_SECONDS = 30.0
# Redis answers in a millisecond or is away; the directory must not stand still meanwhile.
_TELL_SECONDS = 3.0


class AgentError(Exception):
    """What is wrong with an agent that was to be saved: a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Done:
    """`new`: was the agent added? `ended`: have tokens ended by it? `told`: do the gateways know that already?"""

    new: bool = False
    ended: bool = False
    told: bool = True


class AgentService:
    """What `callcard agent` does."""

    def __init__(self, repository: AgentRepository, redis: Redis) -> None:
        self._repository = repository
        self._redis = redis
        self._log = logger("agents")

    async def save(self, agent: Agent, password: str | None = None) -> Done:
        """Create or update an agent and tell everybody. Raises `AgentError` with what to do instead.

        `password` None keeps the one there is (a new agent then cannot sign in). Another password or role, and being
        switched off, close the agent's tabs.
        """
        agent = checked(agent)
        password_hash = None
        if password is not None:
            if len(password) < _SHORTEST_PASSWORD:
                raise AgentError(f"The password is too short: use at least {_SHORTEST_PASSWORD} characters.")
            password_hash = await asyncio.to_thread(Passwords().hash, password)
        try:
            saved = await self._repository.save(agent, password_hash)
        except IntegrityError:
            endpoints = ", ".join(endpoint for endpoint, _ in agent.endpoints)
            raise AgentError(
                f"One of the endpoints ({endpoints}) belongs to another agent. Take it from them first, or say for "
                "which PBX it is."
            ) from None
        return await self._told(saved)

    async def switch(self, login: str, active: bool) -> Done:
        """Switch an agent on, or off: the tabs close, and nobody signs in as that agent. Raises `AgentError`."""
        return await self._told(_known(login, await self._repository.switch(_login(login), active)))

    async def sign_out(self, login: str) -> Done:
        """End the agent's sessions, in every tab. Raises `AgentError`."""
        return await self._told(_known(login, await self._repository.sign_out(_login(login))))

    async def _told(self, saved: Saved) -> Done:
        # First, so that a tab that comes back at once gets a token with the new role.
        await self.announce()
        told = saved.ending is None or await tell_gateways(self._redis, saved.ending)
        return Done(saved.new, saved.ending is not None, told)

    async def announce(self) -> None:
        """Tell whoever keeps a copy. Redis away: they read the tables every half a minute anyhow."""
        try:
            await self._redis.publish(AGENTS_CHANGED, b"")
        except (RedisError, OSError):
            self._log.warning("redis is away: the change of agents takes effect within 30 s")


async def tell_gateways(redis: Redis, ending: Ending) -> bool:
    """Have the agent's tabs closed at once; False if Redis is away: then who follows the tables (`TokenEndings`) does
    it when it is back."""
    try:
        async with asyncio.timeout(_TELL_SECONDS):
            await disconnect(redis, ending.login, ending.farewell, ending.at)
    except (RedisError, OSError):  # TimeoutError is one
        return False
    return True


def _login(text: str) -> str:
    """As it is kept: `checked`. PostgreSQL's text has no NUL, so no login has one."""
    return text.strip().lower().replace("\0", "")


def _known(login: str, saved: Saved | None) -> Saved:
    if saved is None:
        raise AgentError(f"There is no agent {login!r}. callcard agent list shows them.")
    return saved


def checked(agent: Agent) -> Agent:
    """The agent with a login in small letters. Raises `AgentError`."""
    login = agent.login.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise AgentError(
            f"The login {agent.login!r} cannot be used: begin with a letter a-z or a digit, then letters, digits and "
            ". _ @ - (at most 64)."
        )
    if not agent.name.strip():
        raise AgentError("The name is empty: say what colleagues call the agent.")
    if agent.role not in ("agent", "supervisor", "admin"):
        raise AgentError(f"There is no role {agent.role!r}: use agent, supervisor or admin.")
    for endpoint, _ in agent.endpoints:
        if not _ENDPOINT.fullmatch(endpoint):
            raise AgentError(
                f"The endpoint {endpoint!r} is none: write it as the PBX does, technology and name, e.g. PJSIP/101."
            )
    return replace(agent, login=login, name=agent.name.strip())


class AgentDirectory:
    """Keeps `current` true to the tables: read at the start, on each message, and every half a minute. Each time the
    listeners' picture in Redis is made true too, so a Redis that lost its data has it again after half a minute."""

    def __init__(self, repository: AgentRepository, redis: Redis) -> None:
        self._repository = repository
        self._redis = redis
        self._changed: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self._log = logger("agents")
        self._known = asyncio.Event()
        self.current = Directory()

    @property
    def loaded(self) -> bool:
        """Have the tables been read? Until then `current` is empty, and says nothing."""
        return self._known.is_set()

    async def known(self) -> None:
        """Return when the tables have been read."""
        await self._known.wait()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Called after `current` became another one."""
        self._changed.append(callback)

    async def run(self) -> None:
        """Until cancelled."""
        listening = asyncio.create_task(listen(self._redis, AGENTS_CHANGED, self._begun, self._heard))
        try:
            backoff = Backoff()
            while True:
                self._wake.clear()
                try:
                    await self.refresh()
                except DATABASE_ERRORS as error:
                    if backoff.fresh:
                        self._log.warning("the agents cannot be read yet", reason=sentence(error))
                    await asyncio.sleep(backoff.next())
                    continue
                except Exception as error:  # the directory of before is better than none
                    self._log.error("the agents cannot be read", exc_info=error)
                backoff.reset()
                await self._tell_listeners()
                try:
                    async with asyncio.timeout(_REFRESH_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            await end([listening])

    async def refresh(self) -> None:
        """Read the tables now."""
        read = Directory.of(await self._repository.all())
        changed = read != self.current
        self.current = read
        self._known.set()
        if changed:
            for callback in self._changed:
                callback()

    async def _tell_listeners(self) -> None:
        if not self.loaded:  # an empty picture would say that there are no agents
            return
        try:
            async with asyncio.timeout(_TELL_SECONDS):
                await publish_phones(self._redis, self.current)
        except (RedisError, OSError):  # TimeoutError is one; `_begun` wakes us when Redis is back
            self._log.warning("redis is away: the listeners learn of a change of agents when it is back")

    async def _begun(self, _: bool) -> None:
        self._wake.set()  # something may have changed before we listened

    async def _heard(self, _: bytes) -> None:
        self._wake.set()
