"""The simulator as a piece of `callcard run`: an AMI port with calls at a human pace, and the truth over HTTP."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from services.simulator.config import (
    DEFAULT_MIX,
    SimAccount,
    SimCaller,
    SimulatorConfig,
    make_agents,
    make_queues,
)
from services.simulator.simulator import Simulator
from services.simulator.truth import Truth
from shared.settings import Settings, SettingsError, SimulatorSettings

# Long enough to read a card before somebody answers; the phones ring a little longer than anybody needs.
HUMAN_RING = (3.0, 8.0)
RING_SECONDS = 12.0
# Short for a support line: with four agents and a call every seven seconds there is always somebody free soon.
HUMAN_TALK = (10.0, 30.0)
HUMAN_PATIENCE = (6.0, 20.0)

NDJSON = "application/x-ndjson"


@asynccontextmanager
async def simulator(
    settings: Settings, callers: Sequence[tuple[str, str | None]] = ()
) -> AsyncIterator[FastAPI]:
    """A simulated PBX, running, with random calls; yields its small HTTP application.

    callers: (number in E.164, name or None) to draw from; without any the simulator's own are used.
    SettingsError if the AMI port is taken.
    """
    pbx = Simulator(demo_config(settings.simulator, callers))
    host, port = settings.simulator.host, settings.simulator.port
    try:
        await pbx.start(host, port)
    except OSError as error:
        raise SettingsError(
            f"The simulator's AMI port {port} on {host} cannot be used ({(error.strerror or str(error)).lower()}). "
            "Stop what uses it, or set CALLCARD_SIMULATOR__PORT to another one."
        ) from None
    pbx.run_traffic()
    try:
        yield http(pbx)
    finally:
        await pbx.stop()


def demo_config(
    settings: SimulatorSettings, callers: Sequence[tuple[str, str | None]] = ()
) -> SimulatorConfig:
    """The settings' PBX, with people who take their time."""
    agents = make_agents(settings.agents)
    config = SimulatorConfig(
        agents=agents,
        queues=tuple(replace(queue, ring_seconds=RING_SECONDS) for queue in make_queues(agents)),
        accounts=(SimAccount(settings.username, settings.secret.get_secret_value()),),
        calls_per_second=settings.calls_per_minute / 60,
        seed=settings.seed,
        mix=DEFAULT_MIX,
        ring=HUMAN_RING,
        talk=HUMAN_TALK,
        patience=HUMAN_PATIENCE,
        noise=settings.noise,
    )
    if callers:
        config = replace(config, callers=tuple(SimCaller(number, name) for number, name in callers))
    return config


def http(pbx: Simulator) -> FastAPI:
    """`/simulator/truth`: every call that has ended, one JSON a line; `/simulator/open`: those that go on."""
    app = FastAPI(title="Callcard simulator", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"ok": True, "ami": f"{pbx.address[0]}:{pbx.address[1]}", "calls": len(pbx.open)}

    @app.get("/simulator/truth")
    async def truth() -> StreamingResponse:
        return StreamingResponse(lines(pbx.truth), media_type=NDJSON)

    @app.get("/simulator/open")
    async def going_on() -> StreamingResponse:
        return StreamingResponse(lines(pbx.open), media_type=NDJSON)

    return app


def lines(truths: Sequence[Truth]) -> Iterator[bytes]:
    """One JSON a line."""
    for one in truths:
        yield orjson.dumps(one.to_dict(), option=orjson.OPT_APPEND_NEWLINE)
