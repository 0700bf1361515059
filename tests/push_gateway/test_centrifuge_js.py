"""An unmodified centrifuge-js, in node, against the gateway."""

import asyncio
import contextlib
import fcntl
import json
import shutil
import subprocess
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.push import PushPublisher, bus_name
from shared.push_control import RIGHTS_CHANGED, SIGNED_OUT, disconnect
from tests.push_gateway.helpers import SECRET, Running, make_card, token

JS = Path(__file__).parent / "js"
# What centrifuge-js and ws are tested with.
NODE_MAJOR = 20


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> str:
    """The command `node`, with the packages of js/package-lock.json installed beside the script."""
    command, npm = shutil.which("node"), shutil.which("npm")
    version = _output([command, "--version"]) if command else ""
    if command is None or npm is None or int(version.strip("v\n").split(".")[0]) < NODE_MAJOR:
        reason = f"centrifuge-js was NOT tested: no node {NODE_MAJOR} or newer with npm (found {version or 'none'})"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    cache = request.config.cache
    assert cache is not None
    with (cache.mkdir("centrifuge-js") / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the parallel test processes installs
        installed, wanted = JS / "node_modules" / ".wanted", (JS / "package-lock.json").read_text()
        if not installed.exists() or installed.read_text() != wanted:
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts"], cwd=JS, capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = f"centrifuge-js was NOT tested: npm ci failed: {done.stderr[-500:]}"
                warnings.warn(reason, stacklevel=1)
                pytest.skip(reason)
            installed.write_text(wanted)
    return command


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Tab:
    """The driven client: orders in, events out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def order(self, do: str, **fields: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    async def event(self) -> dict[str, Any]:
        assert self._process.stdout
        async with asyncio.timeout(20):
            line = await self._process.stdout.readline()
        assert line, "the client ended"
        event: dict[str, Any] = json.loads(line)
        return event

    async def next(self, name: str) -> dict[str, Any]:
        """The next event of this name; other ones before it are dropped."""
        while (event := await self.event())["event"] != name:
            pass
        return event


@contextlib.asynccontextmanager
async def js_tab(node: str, gateway: Running) -> AsyncIterator[Tab]:
    process = await asyncio.create_subprocess_exec(
        node, str(JS / "client.mjs"), gateway.url, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Tab(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_snapshot_publications_recovery_and_receipts(
    node: str, gateway: Running, publisher: PushPublisher
) -> None:
    await publisher.publish_card(make_card(rev=1))
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token())
        assert [card["rev"] for card in (await tab.next("connected"))["data"]["cards"]] == [1]
        subscribed = await tab.next("subscribed")
        assert subscribed["streamPosition"]["offset"] == 1
        await publisher.publish_card(make_card(rev=2))
        published = await tab.event()
        assert (published["event"], published["offset"]) == ("publication", 2)
        assert published["data"]["card"]["caller"]["name"] == "Анна Ким"

        tab.order("kill")
        await tab.next("connecting")
        # Of two calls: a newer card of one call may replace the older.
        await publisher.publish_card(make_card("main-3", rev=3, state="closed"))
        await publisher.publish_card(make_card(rev=4, state="closed"))
        # Depending on when the client is back, it recovers the two or hears them live: once each, in order.
        await tab.next("connected")
        subscribed = await tab.next("subscribed")
        assert subscribed["wasRecovering"]
        assert subscribed["recovered"]
        for rev in (3, 4):
            published = await tab.event()
            assert (published["event"], published["offset"]) == ("publication", rev)
            assert published["data"]["card"]["rev"] == rev

        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 4})
        assert (await tab.next("rpc"))["result"] == {}


async def test_a_short_token_is_renewed_on_the_living_connection(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token(seconds=2))
        await tab.next("connected")
        tab.order("token", token=token())
        await tab.next("getToken")
        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 1})
        # Commands are answered in order: nothing but the answer came since, so the connection lives on.
        assert (await tab.event())["event"] == "rpc"


async def test_an_expired_token_is_replaced_and_a_forged_one_is_the_end(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token(seconds=-60))
        assert (await tab.next("error"))["error"]["code"] == 109
        tab.order("token", token=token())
        await tab.next("connected")
    async with js_tab(node, gateway) as stranger:
        stranger.order("connect", token=token(secret=SECRET + "x"))
        assert (await stranger.next("disconnected"))["code"] == 3500


async def test_channels(node: str, gateway: Running, publisher: PushPublisher) -> None:
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token())
        await tab.next("subscribed")
        tab.order("subscribe", channel="agent:102")
        assert (await tab.next("client unsubscribed"))["code"] == 103
        tab.order("subscribe", channel="notices")
        await tab.next("client subscribed")
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await tab.next("client publication"))["data"] == {"type": "notice"}


async def test_drain_and_the_way_back(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token())
        await tab.next("connected")
        await gateway.app.state.drain()
        assert (await tab.next("connecting"))["code"] == 3001


async def test_presence_history_and_other_tabs(node: str, gateway: Running, publisher: PushPublisher) -> None:
    for rev in (1, 2, 3):
        await publisher.publish_card(make_card(rev=rev))
    async with js_tab(node, gateway) as tab:
        tab.order("connect", token=token())
        own = (await tab.next("connected"))["client"]
        async with gateway.raw() as other:
            client = (await other.connect())["connect"]["client"]
            joined = await tab.next("join")
            assert joined["channel"] == "agent:101"
            assert (joined["info"]["client"], joined["info"]["user"]) == (client, "101")
            tab.order("presence", channel="agent:101")
            present = await tab.next("presence")
            assert set(present["clients"]) == {own, client}
            assert (present["stats"]["numClients"], present["stats"]["numUsers"]) == (2, 1)
        assert (await tab.next("leave"))["info"]["client"] == client
        tab.order("history", channel="agent:101", options={"limit": 2, "reverse": True})
        assert (await tab.next("history"))["offsets"] == [3, 2]


async def test_a_board_begun_anew_and_an_end_of_rights(
    node: str, gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with js_tab(node, gateway) as tab:
        older = token(role="supervisor")
        tab.order("connect", token=older)
        await tab.next("connected")
        tab.order("subscribe", channel="line:support")
        await tab.next("client subscribed")
        await redis.delete(f"{bus_name('line:support')}:meta", f"{bus_name('line:support')}:history")
        await publisher.publish("line:support", b'{"type":"line"}')
        await tab.next("client subscribed")  # by itself, on the same connection
        await publisher.publish("line:support", b'{"type":"line","n":2}')
        assert (await tab.next("client publication"))["data"] == {"type": "line", "n": 2}

        await disconnect(redis, "101", RIGHTS_CHANGED, datetime.now(UTC))
        assert (await tab.next("connecting"))["code"] == 4000
        await tab.next("getToken")  # the older token is refused as an expired one
        tab.order("token", token=token())
        await tab.next("connected")
        assert (await tab.next("client unsubscribed"))["code"] == 103
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        assert (await tab.next("disconnected"))["code"] == 4500
