"""The piece `worker`: jobs that nobody waits for. Today: web hooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from card_api.agents.directory import Directory
from card_api.agents.repository import AgentRepository
from card_api.background import running
from card_api.webhooks.delivery import Courier
from card_api.webhooks.hooks import HookRepository
from card_api.webhooks.postman import HEARTBEAT, Postman
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.sender import Sender
from shared.db import create_engine
from shared.settings import Settings

# Zammad is told names; a new colleague's may be missing for so long.
_NAMES_SECONDS = 30.0


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def worker(
    settings: Settings,
    *,
    database_url: str,
    auth_secret: str,
    now: Callable[[], datetime] = _now,
    heartbeat: timedelta = HEARTBEAT,
) -> AsyncIterator[FastAPI]:
    """The worker, running until the block is left; yields its small HTTP application. Several may run.

    Starts when PostgreSQL is away too: it says so in the log and under /readyz, and waits for it.
    """
    engine = create_engine(database_url)
    sender = Sender(auth_secret, settings.webhooks.allow_private, now)
    try:
        deliveries = DeliveryRepository(engine)
        registry = CollectorRegistry()
        tries = Counter("callcard_webhook_tries", "Requests to web hooks", ["outcome"], registry=registry)
        courier = Courier(
            deliveries,
            sender,
            _directory(AgentRepository(engine)),
            now,
            count=lambda outcome: tries.labels(outcome).inc(),
        )
        postman = Postman(
            database_url,
            HookRepository(engine),
            courier,
            deliveries,
            now,
            keep_delivered=timedelta(days=settings.webhooks.keep_delivered_days),
            keep_dead=timedelta(days=settings.webhooks.keep_dead_days),
            heartbeat=heartbeat,
        )
        async with running(postman.run):
            yield _http(postman, registry)
    finally:
        await sender.close()
        await engine.dispose()


def _directory(agents: AgentRepository) -> Callable[[], Awaitable[Directory]]:
    """Whose phone is whose, read when it is asked for and kept for a moment."""
    kept = (0.0, Directory())

    async def directory() -> Directory:
        nonlocal kept
        if kept[0] <= monotonic():
            kept = (monotonic() + _NAMES_SECONDS, Directory.of(await agents.all()))
        return kept[1]

    return directory


def _http(postman: Postman, registry: CollectorRegistry) -> FastAPI:
    app = FastAPI(title="Callcard worker", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        reasons = [] if postman.working else ["PostgreSQL gives no jobs; web hooks wait until it does."]
        status = "not ready" if reasons else "ready"
        return JSONResponse({"status": status, "reasons": reasons}, 503 if reasons else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
