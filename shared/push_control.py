"""Ending an agent's connections to the push gateway, on every gateway process, at once.

`disconnect` writes the moment into Redis and tells every gateway. Each closes the agent's connections whose token is
older, and from then on takes no token of the agent that was issued before: a tab that comes back has to get a new one
from the page, and the page from the card API, which knows whether there is one to be had. A gateway that was without a
link to Redis at that moment reads what it missed when the link is back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field
from redis.asyncio import Redis

from shared.contracts.base import Contract

CONTROL_CHANNEL = "callcard:{push-control}"
"""Pub/sub: `Disconnect` as JSON. In the slot of the key below: who can hear orders can read those it has missed."""

_REVOKED = "callcard:{push-control}:revoked"
# No token lives longer than a month, so what was issued before needs no remembering.
_KEEP_SECONDS = 31 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why an agent's tabs are closed: a WebSocket close code and its reason. 4000-4499: the SDK comes back by itself,
    asking the page for a new token; 4500-4999: it does not."""

    code: int
    reason: str


SIGNED_OUT = Farewell(4500, "signed out")
SWITCHED_OFF = Farewell(4501, "switched off")
"""The agent may not work with Callcard any more."""
RIGHTS_CHANGED = Farewell(4000, "rights changed")
"""Another role, other lines: the same tab goes on with a new token, for which the old one is still good."""
PASSWORD_CHANGED = Farewell(4002, "password changed")
"""The page asks for a new token, does not get one for the old, and has the agent sign in."""
TOKEN_ENDED = Farewell(4001, "token ended")
"""For a gateway that missed the order and knows only that there was one: the page finds out what for."""


class Disconnect(Contract):
    """An order to every gateway."""

    login: str
    before: float = Field(description="tokens issued before this moment end: seconds since 1970, UTC")
    code: int = Field(ge=3000, le=4999)
    reason: str = Field(max_length=100, description="a close frame has room for 123 bytes")

    @property
    def ends_token(self) -> bool:
        """Is the token good for nothing any more? If not, it still is for asking for one with the new rights."""
        return self.code != RIGHTS_CHANGED.code


async def disconnect(redis: Redis, login: str, farewell: Farewell, now: datetime) -> None:
    """Close every connection of the agent whose token was issued before `now`, and take no such token any more.

    Call it after the change is committed. Raises `redis.RedisError` when Redis is away; again is safe.
    """
    before = now.timestamp()
    order = Disconnect(login=login, before=before, code=farewell.code, reason=farewell.reason)
    await redis.zremrangebyscore(_REVOKED, "-inf", before - _KEEP_SECONDS)
    # Written first: who hears nothing of the order reads this.
    await redis.zadd(_REVOKED, {login: before}, gt=True)
    await redis.publish(CONTROL_CHANNEL, order.to_json())


async def read_revoked(redis: Redis) -> dict[str, float]:
    """Agents whose older tokens have ended: login → the moment in seconds since 1970. Raises RedisError."""
    pairs: list[Any] = await redis.zrange(_REVOKED, 0, -1, withscores=True)
    return {login.decode(): float(at) for login, at in pairs}


async def revoked_before(redis: Redis, login: str) -> float:
    """Tokens of the agent that were issued before this moment have ended: seconds since 1970, 0 if there was no order.
    Raises RedisError."""
    return float(await redis.zscore(_REVOKED, login) or 0.0)
