"""The push gateway, wired: WebSocket, HTTP streaming, health and metrics."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Route

from push_gateway.channels import Identity
from push_gateway.clock import Clock
from push_gateway.connection import Around
from push_gateway.gateway import Gateway, node_channel
from push_gateway.hub import Direct, Hub
from push_gateway.limits import Limits
from push_gateway.metrics import Metrics
from push_gateway.origins import Origins
from push_gateway.presence import PresenceKeeper
from push_gateway.stream import Emulation, HttpStream
from push_gateway.websocket import WebSocketDoor
from shared.bus import connect_redis
from shared.jwks import Tokens
from shared.presence import Presence
from shared.push_control import CONTROL_CHANNEL
from shared.settings import Settings


@contextlib.asynccontextmanager
async def push_gateway(
    settings: Settings, *, redis_url: str, auth_secret: str
) -> AsyncIterator[WebSocketDoor]:
    """The gateway's application, its link to Redis kept as long as the context.

    Redis may be away at the start. `app.state.drain` is an async function that sends every tab away with 3001; call it
    before the HTTP server stops. Serve it with `ws=WebSocketProtocol` (`shared.websocket`) and without deflate.
    """
    redis = connect_redis(redis_url)
    metrics = Metrics()
    hub = Hub(redis, metrics)
    tokens = Tokens(settings.auth, auth_secret)

    def authenticate(token: str) -> Identity:
        now = datetime.now(UTC)
        claims = tokens.verify(token, now)
        return Identity(
            claims.login,
            claims.role,
            (claims.expires_at - now).total_seconds(),
            claims.channels,
            claims.issued_at.timestamp() if claims.issued_at else 0.0,
        )

    keeper = PresenceKeeper(Presence(redis))
    clock = Clock()
    node, limits = secrets.token_hex(4), Limits.of(settings.push)
    around = Around(node, redis, hub, keeper, Presence(redis), clock, metrics, limits)
    gateway = Gateway(around, authenticate, Origins(settings.allowed_origins))
    hub.listen(CONTROL_CHANNEL, Direct(gateway.ordered, gateway.read_orders))
    hub.listen(node_channel(node), Direct(gateway.passed_on))
    app = FastAPI(title="Callcard push gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.append(Route("/connection/http_stream", HttpStream(gateway)))
    app.router.routes.append(Route("/emulation", Emulation(gateway)))

    @app.get("/healthz")
    async def alive() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        if gateway.draining:
            return JSONResponse({"ok": False, "detail": "This process is about to end."}, 503)
        if hub.up:
            return JSONResponse({"ok": True})
        return JSONResponse(
            {"ok": False, "detail": "There is no link to Redis; open tabs are kept, new ones have to wait."},
            503,
        )

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    tasks = [
        asyncio.create_task(hub.run(), name="push-bus"),
        asyncio.create_task(keeper.run(), name="push-presence"),
    ]
    if tokens.ring is not None:
        tasks.append(asyncio.create_task(tokens.ring.run(), name="push-keys"))
    try:
        yield WebSocketDoor(gateway, app)
    finally:
        await gateway.drain()
        clock.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hub.close()
        await keeper.close()
        await redis.aclose()
