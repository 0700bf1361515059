"""Centrifugo's side of the talk: a stand-in, and what asks like it."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from card_api.centrifugo.client import Centrifugo
from tests.e2e.standin import StandIn, stand_in

SECRET = "a secret of the tests for centrifugo"
AUTH_SECRET = "a secret of the tests, long enough"


@pytest.fixture
def config() -> dict[str, Any]:
    """As far as the server API needs it; nothing listens at its address yet."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return {"http_server": {"address": "127.0.0.1", "port": port}, "http_api": {"key": SECRET}}


@pytest.fixture
async def centrifugo(config: dict[str, Any]) -> AsyncIterator[Centrifugo]:
    """A client of it, whether it runs or not."""
    client = Centrifugo(f"http://127.0.0.1:{config['http_server']['port']}/", SECRET)
    yield client
    await client.close()


@pytest.fixture
async def server(config: dict[str, Any]) -> AsyncIterator[StandIn]:
    async with stand_in(config) as running:
        yield running
