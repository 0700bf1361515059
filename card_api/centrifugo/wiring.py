"""Who brings cards to the tabs, by the settings."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import APIRouter
from redis.asyncio import Redis

from card_api.centrifugo.catch_up import CatchUp
from card_api.centrifugo.client import Centrifugo, CentrifugoAway
from card_api.centrifugo.orders import Orders
from card_api.centrifugo.outbox import Outbox
from card_api.centrifugo.proxy import PushProxy
from card_api.centrifugo.publisher import CentrifugoPublisher
from card_api.centrifugo.router import centrifugo_router
from card_api.health.service import Check
from shared.jwks import Tokens
from shared.push import CardPublisher, DeskReader, PushPublisher
from shared.settings import Settings, SettingsError


async def _nothing_to_close() -> None:
    pass


@dataclass(frozen=True, slots=True)
class PushBackend:
    """`publisher` for the cards; the routers, tasks and checks that come with it. `connected`: does a tab listen to
    this channel? None: our own gateways write it down in Redis."""

    publisher: CardPublisher
    routers: tuple[APIRouter, ...] = ()
    runs: tuple[Callable[[], Awaitable[None]], ...] = ()
    checks: Mapping[str, Callable[[], Awaitable[Check]]] = field(default_factory=dict)
    close: Callable[[], Awaitable[None]] = _nothing_to_close
    connected: Callable[[str], Awaitable[bool]] | None = None


def push_backend(
    settings: Settings, redis: Redis, tokens: Tokens, now: Callable[[], datetime]
) -> PushBackend:
    """Our own gateway, or Centrifugo. Raises `SettingsError` if there is no secret for the talk with it.

    `tokens`: whoever calls keeps their keys up to date.
    """
    desks = PushPublisher(redis)
    if settings.push.backend == "gateway":
        return PushBackend(desks)
    secret = settings.push.centrifugo_secret
    if secret is None:
        raise SettingsError(
            "CALLCARD_PUSH__CENTRIFUGO_SECRET (or …_FILE) is missing, and CALLCARD_PUSH__BACKEND is centrifugo: "
            "openssl rand -hex 32 makes one; write it into Centrifugo's configuration too (docs/centrifugo.md)."
        )
    centrifugo = Centrifugo(settings.push.centrifugo_url, secret.get_secret_value())
    outbox = Outbox(centrifugo)
    catch_up = CatchUp(DeskReader(redis), outbox)
    proxy = PushProxy(redis, centrifugo, catch_up, tokens, now)

    async def answers() -> Check:
        try:
            return Check(ok=True, detail=f"version {await centrifugo.version()}")
        except CentrifugoAway as error:
            return Check(ok=False, detail=str(error))

    async def close() -> None:
        await catch_up.close()
        await centrifugo.close()

    return PushBackend(
        CentrifugoPublisher(desks, outbox),
        (centrifugo_router(proxy, secret.get_secret_value()),),
        (outbox.run, Orders(redis, outbox).run),
        {"centrifugo": answers},
        close,
        centrifugo.connected,
    )
