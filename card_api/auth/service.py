"""Signing in, a password for a token; and out."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.agents.schemas import AgentView
from card_api.agents.service import AgentDirectory, tell_gateways
from card_api.auth.endings import TokenEndings
from card_api.auth.schemas import SignedIn, SignIn
from card_api.database import DATABASE_ERRORS, sentence
from shared.errors import Forbidden, TooManyRequests, Unauthorised, Unavailable
from shared.observability import logger
from shared.security import Passwords, TokenError, issue_token, verify_token

# Ten guesses in a quarter of an hour are a thousand a day: not enough for any password of eight characters, and more
# than a tired agent needs. Counted by login and address, so that nobody can lock a colleague out from elsewhere.
_GUESSES = 10
_GUESS_SECONDS = 900
# An Argon2 hash takes a core and 64 MB for some 50 ms: calls must go on ringing while others sign in.
_HASHING_AT_ONCE = 2


class AuthService:
    def __init__(
        self,
        agents: AgentRepository,
        directory: AgentDirectory,
        endings: TokenEndings,
        redis: Redis,
        secret: str,
        lifetime: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._agents = agents
        self._directory = directory
        self._endings = endings
        self._redis = redis
        self._secret = secret
        self._lifetime = lifetime
        self._now = now
        self._passwords: Passwords | None = None
        self._hashing = asyncio.Semaphore(_HASHING_AT_ONCE)
        self._log = logger("auth")

    async def sign_in(self, given: SignIn, address: str) -> SignedIn:
        """Raises `Unauthorised`, `TooManyRequests`, or `Unavailable` when PostgreSQL or Redis is away."""
        login = given.login.strip().lower()
        # Tokens that end while the password is being looked at end with this one: it may be the old password.
        began = self._now()
        key = _guesses_key(login, address)
        try:
            # Counted before it is looked at: of guesses that come together no more are looked at than one by one.
            await self._count_guess(key)
            try:
                known = await self._agents.credentials(login) if _storable(login) else None
            except DATABASE_ERRORS:
                await self._uncount_guess(key)  # nobody looked at it
                raise
            stored = known.password_hash if known and known.active else None
            if await self._verify(given.password.get_secret_value(), stored):
                await self._redis.delete(key)
            else:
                # Of a login that there is: what else people type there may be their password.
                self._log.warning("sign-in refused", login=login if known else "(nobody's)", address=address)
                raise Unauthorised("The login or the password is wrong.")
            agent = self._directory.current.by_login.get(login)
            if agent is None:
                # Added a moment ago: the directory has not heard of it yet.
                await self._directory.refresh()
                agent = self._directory.current.by_login.get(login)
        except DATABASE_ERRORS as error:
            self._log.error("nobody can sign in: postgresql is away", reason=sentence(error))
            raise Unavailable("Nobody can sign in now: PostgreSQL is away. Try again in a moment.") from None
        except RedisError as error:
            self._log.error("nobody can sign in: redis is away", reason=str(error))
            raise Unavailable("Nobody can sign in now: Redis is away. Try again in a moment.") from None
        if agent is None:
            raise Unauthorised("The login or the password is wrong.")
        return self._token(agent, began)

    def renew(self, agent: Agent, token: str) -> SignedIn:
        """A fresh token for one of ours that is still good. Raises `Forbidden` for one that another system signed: ours
        would outlive the session there."""
        now = self._now()
        try:
            verify_token(self._secret, token, now)
        except TokenError:
            raise Forbidden(
                "This token was signed by another system, and Callcard does not renew it: ask that system for a new "
                "one."
            ) from None
        return self._token(agent, now)

    async def sign_out(self, agent: Agent) -> None:
        """End every token of the agent and close every tab. Raises `Unavailable` when PostgreSQL is away; without Redis
        the tabs close when it is back."""
        try:
            saved = await self._agents.sign_out(agent.login)
        except DATABASE_ERRORS as error:
            self._log.error("nobody can sign out: postgresql is away", reason=sentence(error))
            raise Unavailable(
                "Signing out cannot be written down now: PostgreSQL is away. Try again in a moment.",
                {"Retry-After": "2"},
            ) from None
        if saved is None or saved.ending is None:
            return
        self._endings.add(agent.login, saved.ending.at.timestamp())
        if not await tell_gateways(self._redis, saved.ending):
            self._log.warning(
                "redis is away: tabs of who signed out close when it is back", login=agent.login
            )

    def _token(self, agent: Agent, at: datetime) -> SignedIn:
        token = issue_token(self._secret, agent.login, agent.role, at, self._lifetime)
        expires_at = datetime.fromtimestamp(int((at + self._lifetime).timestamp()), UTC)
        return SignedIn(token=token, expires_at=expires_at, agent=AgentView.of(agent))

    async def _verify(self, password: str, stored: str | None) -> bool:
        async with self._hashing:
            if self._passwords is None:
                self._passwords = await asyncio.to_thread(Passwords)
            return await asyncio.to_thread(self._passwords.verify, password, stored)

    async def _count_guess(self, key: str) -> None:
        """Raises `TooManyRequests` if it is one too many."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, _GUESS_SECONDS, nx=True)
            pipeline.ttl(key)
            guesses, _, seconds = await pipeline.execute()
        if guesses > _GUESSES:
            wait = max(1, int(seconds))
            raise TooManyRequests(
                f"Too many wrong passwords from here. Try again in {-(-wait // 60)} min.",
                {"Retry-After": str(wait)},
            )

    async def _uncount_guess(self, key: str) -> None:
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.decr(key)
            pipeline.expire(key, _GUESS_SECONDS, nx=True)  # it may have ended meanwhile
            await pipeline.execute()


def _guesses_key(login: str, address: str) -> str:
    """Hashed, because a login may be anything somebody typed, a password too."""
    return "callcard:signin:" + hashlib.sha256(f"{login}\n{address}".encode()).hexdigest()[:32]


def _storable(login: str) -> bool:
    """PostgreSQL's text has no NUL, so no agent has one either."""
    return "\0" not in login
