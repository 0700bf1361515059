"""Centrifugo in the gateway's place: simulator, listener, card API, Centrifugo, an unmodified centrifuge-python.

With the configuration of docs/centrifugo.md. Each test runs against a stand-in, and against a real Centrifugo where the
command is found (on PATH or in .tools, where `make centrifugo` puts it).
"""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from centrifuge import Client
from centrifuge.exceptions import ReplyError
from centrifuge.handlers import SubscriptionEventHandler
from pydantic import SecretStr
from redis.asyncio import Redis

from services.runtime import Target
from services.simulator.simulator import Simulator
from shared.contracts.card import Card, CardState
from shared.push_control import RIGHTS_CHANGED, SIGNED_OUT, disconnect
from shared.push_scripts import HISTORY_LENGTH, HISTORY_SECONDS, KEEP_SECONDS
from shared.security import issue_token
from shared.settings import PushSettings
from tests.e2e.conftest import CLIENT, CLIENT_NAME, Start
from tests.e2e.stack import DEADLINE, PIECES, Stack, Tab
from tests.e2e.standin import StandIn, stand_in

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests for centrifugo"
AUTH_SECRET = "a secret of the tests, long enough"

Run = Callable[[dict[str, Any]], AbstractAsyncContextManager[StandIn | None]]


def documented(port: int, api: str) -> dict[str, Any]:
    """The configuration of docs/centrifugo.md, with what it says to replace replaced."""
    text = (ROOT / "docs" / "centrifugo.md").read_text()
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert block
    filled = block[1].replace("SECRET", SECRET).replace("http://127.0.0.1:8080", api)
    config: dict[str, Any] = json.loads(filled)
    config["http_server"]["port"] = port
    return config


def _command() -> str | None:
    return shutil.which("centrifugo") or shutil.which("centrifugo", path=ROOT / ".tools")


@pytest.fixture(params=["stand-in", "real"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a Centrifugo with this configuration for as long as the block lasts."""
    if request.param == "stand-in":
        return stand_in
    command = _command()
    if command is None:
        reason = "Centrifugo was NOT tested: no command centrifugo; `make centrifugo` installs it where Go is"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)

    @asynccontextmanager
    async def real(config: dict[str, Any]) -> AsyncIterator[None]:
        path = tmp_path / "centrifugo.json"
        path.write_text(json.dumps(config))
        with (tmp_path / "centrifugo.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                command, "--config", str(path), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            address = f"http://127.0.0.1:{config['http_server']['port']}/health"
            async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(DEADLINE):
                while process.returncode is None and not await _healthy(http, address):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert process.returncode is None, (tmp_path / "centrifugo.log").read_text()
            yield None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return real


async def _healthy(http: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await http.get(address)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Push:
    """The product with Centrifugo beside it."""

    def __init__(self, stack: Stack, config: dict[str, Any], run: Run) -> None:
        self.stack = stack
        self._config = config
        self._run = run
        self.address = f"ws://127.0.0.1:{config['http_server']['port']}/connection/websocket"
        self.tabs: list[Tab] = []

    def running(self) -> AbstractAsyncContextManager[StandIn | None]:
        return self._run(self._config)

    def tab(self, login: str, said: dict[str, Any]) -> Tab:
        """A tab that says this when it connects; not connected yet."""
        tab = Tab(login, self.address, "")
        tab.client = Client(
            self.address, events=tab, data=said, proxy=None, min_reconnect_delay=0.05, max_reconnect_delay=0.2
        )
        self.tabs.append(tab)
        return tab

    async def signed_in(self, login: str) -> Tab:
        return await self.tab(login, {"token": await self.stack.token(login)}).open()


@pytest.fixture
async def push(start: Start, run: Run, tmp_path: Path) -> AsyncIterator[Push]:
    port = free_port()
    settings = PushSettings(
        backend="centrifugo",
        centrifugo_url=f"http://127.0.0.1:{port}",
        centrifugo_secret=SecretStr(SECRET),
    )
    pieces = tuple(piece for piece in PIECES if piece is not Target.GATEWAY)
    async with start(push=settings, targets=pieces, wait=False) as stack:
        push = Push(stack, documented(port, stack.address), run)
        yield push
        for tab in push.tabs:
            await tab.close()


def rings(card: Card) -> bool:
    return card.state is CardState.RINGING and card.timings.looked_up is not None


def token(login: str, **lifetime: float) -> str:
    return issue_token(AUTH_SECRET, login, "agent", datetime.now(UTC), timedelta(**lifetime))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 - these tell no event
            await asyncio.sleep(0.02)


async def gone(tab: Tab) -> int | None:
    """The code with which the tab was sent away for good."""
    await until(lambda: tab.disconnected is not None)
    return tab.disconnected and tab.disconnected.code


async def desks(tab: Tab, number: int) -> None:
    """Return when the tab has had so many snapshots."""
    await tab._until(lambda: len(tab.snapshots) >= number, DEADLINE, f"not {number} snapshots")


def test_the_documented_configuration_keeps_as_much_as_our_own_gateway() -> None:
    config = documented(8000, "http://127.0.0.1:8080")
    spaces = {one["name"]: one for one in config["channel"]["namespaces"]}
    assert set(spaces) == {"agent", "line"}
    for options in (*spaces.values(), config["channel"]["without_namespace"]):
        assert options["history_size"] == HISTORY_LENGTH
        assert options["history_ttl"] == f"{HISTORY_SECONDS}s"
        assert options["history_meta_ttl"] == f"{KEEP_SECONDS // 3600}h"
        assert options["force_recovery"] and options["force_positioning"]
        assert not [key for key in options if "publish" in key or "anonymous" in key]
    # An agent's channel comes with the connection; nobody subscribes to it.
    assert not spaces["agent"].get("subscribe_proxy_enabled")
    assert not spaces["agent"].get("allow_subscribe_for_client")
    limits = PushSettings()
    assert config["client"]["user_connection_limit"] == limits.connections_per_agent
    assert config["client"]["channel_limit"] == limits.channels


async def test_a_call_is_on_the_tab_from_ring_to_end(pbx: Simulator, push: Push) -> None:
    stack = push.stack
    answer = await stack.http.get("/readyz")
    assert (
        "does not answer at http://127.0.0.1:"
        in answer.json()["pieces"]["api"]["checks"]["centrifugo"]["detail"]
    )
    async with push.running():
        await stack.ready()
        one, two = await push.signed_in("101"), await push.signed_in("102")
        call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
        card = await one.card(rings)
        assert card.caller.name == CLIENT_NAME

        await one.client.rpc("card.shown", {"call_id": card.call_id, "rev": card.rev, "at": None})
        (ring,) = await stack.rings(card.call_id, lambda ring: ring["shown"])
        assert ring["agent"] == "101"
        with pytest.raises(ReplyError) as refused:
            await one.client.rpc("card.eaten", {})
        assert refused.value.code == 104

        await call.proceed()
        await one.card(lambda c: c.state is CardState.ANSWERED)
        # Who comes in mid-call has the card from the snapshot.
        late = await push.signed_in("101")
        assert [c.state for c in late.snapshot.cards] == [CardState.ANSWERED]
        await call.hang_up()
        await one.closed(card.call_id)
        await late.closed(card.call_id)
        assert (one.shown, two.heard) == ({}, [])


async def test_a_cut_tab_recovers_and_a_restarted_centrifugo_has_every_desk(
    pbx: Simulator, push: Push
) -> None:
    async with push.running():
        await push.stack.ready()
        tab = await push.signed_in("101")
        call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
        card = await tab.card(rings)
        assert tab.client._conn is not None
        tab.client._conn.transport.abort()
        await call.proceed()
        await tab.card(lambda c: c.state is CardState.ANSWERED)
        await desks(tab, 2)
        # Whether it came by recovery or live: once.
        assert len({c.rev for c in tab.heard}) == len(tab.heard)
    # Killed, with all it knew; the call goes on and ends meanwhile.
    await call.hang_up()
    await push.stack.stored(card.call_id)
    second = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    async with push.running():
        await desks(tab, 3)
        await tab.card(lambda c: c.call_id == f"main-{second.uniqueid}" and rings(c))
        assert [c.call_id for c in tab.snapshot.cards] == [f"main-{second.uniqueid}"]
        await second.hang_up()
        await tab.closed(f"main-{second.uniqueid}")


class Watch(SubscriptionEventHandler):  # type: ignore[misc]  # the SDK has no types
    """What became of a subscription: the error's code, 0 if it came about."""

    def __init__(self, channel: str, became: dict[str, int]) -> None:
        self._channel, self._became = channel, became

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._became[self._channel] = ctx.code

    async def on_subscribed(self, ctx: Any) -> None:
        self._became[self._channel] = 0


async def test_tokens_and_rights(push: Push, redis: Redis) -> None:
    async with push.running():
        await push.stack.ready()
        wrong = push.tab("101", {"token": "nonsense"})
        await wrong.client.connect()
        assert await gone(wrong) == 3500

        # Its token ends, and the page has a new one: the same tab goes on.
        said = {"token": token("101", seconds=2)}
        tab = await push.tab("101", said).open()
        said["token"] = token("101", hours=1)
        await desks(tab, 2)

        became: dict[str, int] = {}
        wanted = {"agent:102": 103, "line:support": 103, "secrets": 102, "notices": 0}
        for channel in wanted:
            await tab.client.new_subscription(channel, events=Watch(channel, became)).subscribe()
        await until(lambda: became == wanted)

        # Another role: the tab comes back with a token of a later moment, and with an older one it does not.
        await disconnect(redis, "101", RIGHTS_CHANGED, datetime.now(UTC))
        said["token"] = token("101", hours=1)
        await desks(tab, 3)
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        assert await gone(tab) == SIGNED_OUT.code
