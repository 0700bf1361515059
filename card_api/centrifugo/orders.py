"""Orders to end an agent's connections (`shared.push_control`) on their way to Centrifugo."""

import asyncio

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.backoff import Backoff
from card_api.centrifugo.client import disconnect
from card_api.centrifugo.outbox import Outbox
from shared.observability import logger
from shared.push_control import CONTROL_CHANNEL, TOKEN_ENDED, Disconnect, read_revoked

# Of several card APIs one tells Centrifugo: a second time would close the tab that has just come back. The others hear
# the order in the same moment.
_TOLD_SECONDS = 60


class Orders:
    """`run()` until it is cancelled. An order that nobody heard has its effect when Centrifugo next asks whether the
    connection may go on (`RECHECK_SECONDS`)."""

    def __init__(self, redis: Redis, outbox: Outbox) -> None:
        self._redis = redis
        self._outbox = outbox
        self._log = logger("centrifugo")

    async def run(self) -> None:
        backoff = Backoff()
        known: dict[str, float] | None = None
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CONTROL_CHANNEL)
                    revoked = await read_revoked(self._redis)
                    for login, before in revoked.items():
                        if known is not None and before > known.get(login, 0.0):
                            await self._carry_out(
                                Disconnect(
                                    login=login,
                                    before=before,
                                    code=TOKEN_ENDED.code,
                                    reason=TOKEN_ENDED.reason,
                                )
                            )
                    known = revoked
                    backoff.reset()
                    async for message in subscription.listen():
                        order = self._parse(message["data"])
                        if order is not None:
                            known[order.login] = max(order.before, known.get(order.login, 0.0))
                            await self._carry_out(order)
            except (RedisError, OSError):
                pass  # the consumer says that Redis is away
            await asyncio.sleep(backoff.next())

    def _parse(self, payload: bytes) -> Disconnect | None:
        try:
            return Disconnect.model_validate_json(payload)
        except ValidationError:
            self._log.warning("an order to the gateways can't be read")
            return None

    async def _carry_out(self, order: Disconnect) -> None:
        told = f"callcard:push:told:{order.login}:{order.before}"
        if await self._redis.set(told, 1, nx=True, ex=_TOLD_SECONDS):
            self._outbox.put(("disconnect", order.login), disconnect(order.login, order.code, order.reason))
