"""Wiring of the listener: one follower a PBX, one publisher, a little HTTP for those who watch it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ami_listener.agents import AgentPhoneBook
from ami_listener.floor_publisher import FloorPublisher
from ami_listener.follower import PbxFollower
from ami_listener.lease import Lease, LeaseKeeper, Standing
from ami_listener.metrics import ListenerMetrics
from ami_listener.publisher import Publisher
from ami_listener.spool import claim_spool
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
    spool = claim_spool(settings.data_dir / "spool")
    owner = secrets.token_hex(8)
    leases = {name: Lease(name, owner) for name in settings.pbx}
    followers: dict[str, PbxFollower] = {}
    publisher = Publisher(redis, spool, leases.values(), on_refused=lambda: keeper.look())
    floors, phones = FloorPublisher(redis), AgentPhoneBook(redis)
    keeper = LeaseKeeper(
        redis,
        leases.values(),
        on_taken=lambda lease: followers[lease.pbx].taken(),
        on_denied=lambda lease: publisher.hush(lease.pbx),
    )
    for name, pbx in settings.pbx.items():
        followers[name] = PbxFollower(
            name, pbx, settings.country, publisher, floors, phones, leases[name], on_seeing=keeper.look
        )
    running = [
        asyncio.create_task(part.run(), name=name)
        for name, part in (
            ("publisher", publisher),
            ("floors", floors),
            ("phones", phones),
            ("leases", keeper),
        )
    ]
    try:
        for follower in followers.values():
            follower.start()
        yield _http(list(followers.values()), publisher)
    finally:
        for follower in followers.values():
            await follower.close()
        publisher.stop()
        floors.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await publisher.finish(_FINISH_SECONDS)
        await keeper.release(_FINISH_SECONDS)
        spool.close()
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
        standings = {f.status.pbx: f.lease.standing for f in followers}
        standby = all(standing is Standing.STANDBY for standing in standings.values())
        status = "not ready" if reasons else "standby" if standby else "ready"
        return JSONResponse({"status": status, "reasons": reasons, "pbx": standings}, 503 if reasons else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
