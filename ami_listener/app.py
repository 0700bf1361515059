"""Wiring of the listener: one follower a PBX, one publisher, a little HTTP for those who watch it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ami_listener.follower import PbxFollower
from ami_listener.metrics import ListenerMetrics
from ami_listener.publisher import Publisher
from ami_listener.spool import Spool
from shared.bus import connect_redis
from shared.contracts.call import PbxLink
from shared.settings import Settings

# Long enough for one round trip, short enough for the five seconds in which a process must end.
_FINISH_SECONDS = 1.0
# A health check that waits longer is itself a failure.
_PROBE_SECONDS = 1.0


@asynccontextmanager
async def ami_listener(settings: Settings, *, redis_url: str) -> AsyncIterator[FastAPI]:
    """The listener, running, for every PBX in the settings; yields its small HTTP application.

    Neither a PBX nor Redis needs to be there at the start: both are waited for, and /readyz says so.
    """
    redis = connect_redis(redis_url)
    spool = Spool(settings.data_dir / "spool" / "ended-calls.jsonl")
    followers: list[PbxFollower] = []

    def resend() -> None:
        for follower in followers:
            follower.resend()

    publisher = Publisher(redis, spool, on_return=resend)
    followers += [PbxFollower(name, pbx, settings.country, publisher) for name, pbx in settings.pbx.items()]
    publishing = asyncio.create_task(publisher.run(), name="publisher")
    try:
        for follower in followers:
            follower.start()
        yield _http(followers, publisher)
    finally:
        for follower in followers:
            await follower.close()
        publisher.stop()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await publisher.finish(_FINISH_SECONDS)
        await redis.aclose()


def _http(followers: list[PbxFollower], publisher: Publisher) -> FastAPI:
    app = FastAPI(title="Callcard AMI listener", docs_url=None, redoc_url=None, openapi_url=None)
    registry = CollectorRegistry()
    registry.register(ListenerMetrics(followers, publisher))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        reasons = [
            f"PBX {f.status.pbx}: {f.status.detail or 'not connected yet'}"
            for f in followers
            if f.status.link is not PbxLink.UP
        ]
        if not await publisher.reachable(_PROBE_SECONDS):
            reasons.append("Redis does not answer; calls are kept here until it does.")
        return JSONResponse(
            {"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
