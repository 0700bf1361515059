"""Centrifugo asks: may this one connect, go on, hear that channel; and it hands on what a tab says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.centrifugo import answers
from card_api.centrifugo.catch_up import CatchUp
from card_api.centrifugo.client import Centrifugo, CentrifugoAway
from card_api.centrifugo.schemas import ConnectAsked, Meta, RefreshAsked, RpcAsked, SubscribeAsked
from shared.contracts.push import CardSeen, Receipt
from shared.desk import desk_json
from shared.jwks import Tokens
from shared.observability import logger
from shared.push import DeskReader, add_receipt, agent_channel
from shared.push_control import TOKEN_ENDED, revoked_before
from shared.push_rights import Right, right_to_hear
from shared.security import TokenClaims, TokenError
from shared.token_keys import UnknownKeyError

# So often Centrifugo asks whether a connection may go on: the latest moment at which an order to end it that everybody
# missed has its effect. 5,000 tabs ask 17 times a second.
RECHECK_SECONDS = 300

# A connection ends so long before its token does, as with the gateway, so that the page can get a new one with the old;
# of a short-lived one after nine tenths of its life.
RENEW_EARLY_SECONDS = 60

RECEIPTS = ("card.shown", "card.opened")


class PushProxy:
    """Every method returns the JSON that Centrifugo is answered; none raises for what a tab says or what is away."""

    def __init__(
        self,
        redis: Redis,
        centrifugo: Centrifugo,
        catch_up: CatchUp,
        tokens: Tokens,
        now: Callable[[], datetime],
    ) -> None:
        self._redis = redis
        self._reader = DeskReader(redis)
        self._centrifugo = centrifugo
        self._catch_up = catch_up
        self._tokens = tokens
        self._now = now
        self._log = logger("centrifugo")

    async def connect(self, asked: ConnectAsked) -> bytes:
        """Whose connection it is, and the desk as it is now.

        Position first, then state: a publication with a higher offset than the snapshot's comes after it, or is in it
        already and known by its rev. What comes before Centrifugo has subscribed the connection, `CatchUp` brings.
        """
        token = asked.data.get("token") if isinstance(asked.data, dict) else None
        if not isinstance(token, str) or not token:
            return answers.UNAUTHORIZED
        try:
            claims = self._tokens.verify(token, self._now())
        except UnknownKeyError:
            return answers.INTERNAL  # temporary: the SDK comes again, and then the key may be known
        except TokenError as error:
            return answers.farewell(TOKEN_ENDED if error.expired else answers.INVALID_TOKEN)
        meta = _meta(claims, self._now())
        channel = agent_channel(claims.login)
        try:
            if meta.issued_at < await revoked_before(self._redis, claims.login):
                return answers.farewell(TOKEN_ENDED)
            position = await self._centrifugo.position(channel)
            state = await self._reader.read(channel)
        except (RedisError, OSError) as error:
            what = "centrifugo" if isinstance(error, CentrifugoAway) else "redis"
            self._log.error("a tab could not connect", away=what, reason=str(error))
            return answers.INTERNAL
        self._catch_up.later(channel, state.position)
        desk = desk_json(claims.login, claims.role, replace(state, position=position), self._now())
        fields = {
            "user": claims.login,
            "expire_at": self._expire_at(meta),
            "subs": {channel: {}},
            "meta": meta.model_dump(),
        }
        return answers.connected(fields, desk)

    async def refresh(self, asked: RefreshAsked) -> bytes:
        """May the connection go on? If not, the tab has to connect with a new token."""
        try:
            revoked = asked.meta.issued_at < await revoked_before(self._redis, asked.user)
        except (RedisError, OSError):
            revoked = False  # nobody is cut off because Redis is; it is asked again
        if revoked or asked.meta.ends_at <= self._now().timestamp():
            return answers.result({"expired": True})
        return answers.result({"expire_at": self._expire_at(asked.meta)})

    def subscribe(self, asked: SubscribeAsked) -> bytes:
        """May the tab hear this channel? Asked for boards of lines and notices; an agent's own channel comes with the
        connection."""
        match right_to_hear(asked.user, asked.meta.role, asked.meta.channels, asked.channel):
            case Right.GRANTED:
                return answers.result({})
            case Right.DENIED:
                return answers.PERMISSION_DENIED
            case Right.UNKNOWN:
                return answers.UNKNOWN_CHANNEL

    async def rpc(self, asked: RpcAsked) -> bytes:
        """`card.shown` and `card.opened` go into the receipts stream. With Redis away a receipt is lost, as with the
        gateway."""
        if asked.method not in RECEIPTS:
            return answers.METHOD_NOT_FOUND
        receipt = self._receipt(asked)
        if receipt is None:
            return answers.BAD_REQUEST
        try:
            await add_receipt(self._redis, receipt)
        except (RedisError, OSError):
            self._log.warning("a receipt was lost: redis is away")
        return answers.result({"data": {}})

    def _receipt(self, asked: RpcAsked) -> Receipt | None:
        try:
            seen = CardSeen.model_validate(asked.data)
            fields: dict[str, Any] = {
                **seen.model_dump(),
                "what": asked.method,
                "agent": asked.user,
                "client": asked.client,
                "received_at": self._now(),
            }
            return Receipt.model_validate(fields)
        except ValidationError:
            return None

    def _expire_at(self, meta: Meta) -> int:
        """When Centrifugo asks next, in seconds since 1970."""
        now = self._now().timestamp()
        # One second ahead at least: what lies in the past is no answer.
        return int(max(min(meta.ends_at, now + RECHECK_SECONDS), now + 1))


def _meta(claims: TokenClaims, now: datetime) -> Meta:
    ends_at = claims.expires_at.timestamp()
    left = ends_at - now.timestamp()
    return Meta(
        role=claims.role,
        issued_at=claims.issued_at.timestamp() if claims.issued_at else 0.0,
        ends_at=ends_at - min(RENEW_EARLY_SECONDS, max(left, 0.0) / 10),
        channels=list(claims.channels),
    )
