"""The push gateway, wired: WebSocket, health and metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from push_gateway.channels import Identity
from push_gateway.gateway import Gateway
from push_gateway.hub import Hub
from push_gateway.limits import Limits
from push_gateway.metrics import Metrics
from push_gateway.presence import PresenceKeeper
from shared.bus import connect_redis
from shared.jwks import Tokens
from shared.presence import Presence
from shared.settings import Settings


@contextlib.asynccontextmanager
async def push_gateway(settings: Settings, *, redis_url: str, auth_secret: str) -> AsyncIterator[FastAPI]:
    """The gateway's application, its link to Redis kept as long as the context.

    Redis may be away at the start. `app.state.drain` is an async function that sends every tab away with 3001; call it
    before the HTTP server stops. Serve it with uvicorn's `ws="websockets-sansio"` and without deflate.
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
    gateway = Gateway(
        redis, hub, keeper, metrics, authenticate, settings.allowed_origins, Limits.of(settings.push)
    )
    hub.control = gateway
    app = FastAPI(title="Callcard push gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.drain = gateway.drain
    app.add_api_websocket_route("/connection/websocket", gateway.handle)

    @app.get("/healthz")
    async def alive() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/readyz")
    async def ready() -> JSONResponse:
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
        yield app
    finally:
        await gateway.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hub.close()
        await keeper.close()
        await redis.aclose()
