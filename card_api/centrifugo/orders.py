"""Orders to end an agent's connections (`shared.push_control`) on their way to Centrifugo."""

from pydantic import ValidationError
from redis.asyncio import Redis

from card_api.centrifugo.client import disconnect
from card_api.centrifugo.outbox import Outbox
from card_api.listening import listen
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
        # login -> the moment of the last order we know; None before the first look.
        self._known: dict[str, float] | None = None
        self._log = logger("centrifugo")

    async def run(self) -> None:
        await listen(self._redis, CONTROL_CHANNEL, self._begun, self._hear)

    async def _begun(self, _: bool) -> None:
        revoked = await read_revoked(self._redis)
        known = self._known if self._known is not None else revoked
        for login, before in revoked.items():
            if before > known.get(login, 0.0):
                await self._carry_out(
                    Disconnect(login=login, before=before, code=TOKEN_ENDED.code, reason=TOKEN_ENDED.reason)
                )
        self._known = revoked

    async def _hear(self, payload: bytes) -> None:
        order = self._parse(payload)
        if order is not None and self._known is not None:
            self._known[order.login] = max(order.before, self._known.get(order.login, 0.0))
            await self._carry_out(order)

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
