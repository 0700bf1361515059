"""The whole product in this process, on real servers, and browser tabs as unmodified Centrifuge clients.

Against any AMI: a real Asterisk or the simulator; the tests bring the PBX.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from centrifuge import Client, ClientEventHandler
from centrifuge.contexts import ConnectedContext, DisconnectedContext, ServerPublicationContext
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.calls.models import calls
from services.front import listen, serving
from services.runtime import Servers, Target, pieces
from services.samples import load_samples
from shared.bus import CALLS_STREAM, connect_redis, decode_update
from shared.contracts.call import Call, CallState
from shared.contracts.card import Card, CardState
from shared.contracts.push import DeskSnapshot
from shared.db import create_engine
from shared.push import DeskReader, agent_channel
from shared.revision import replaces
from shared.settings import PbxSettings, Settings
from tests.conftest import PASSWORD

# Longer than anything here takes on a busy machine, shorter than the test's own time limit: a card that does not
# come is then reported with what came instead.
DEADLINE = 15.0
# Between two looks at what tells no event when it changes (a row in the database, /readyz).
_LOOK_AGAIN = 0.02
SECRET = "a secret of the tests, long enough"
PIECES = (Target.API, Target.GATEWAY, Target.LISTENER)


class Tab(ClientEventHandler):
    """An agent's browser tab: what it was told, in order, and what it would show.

    heard: each card that was published to it, as it came. snapshots: the desk of each (re)connect.
    """

    def __init__(self, login: str, address: str, token: str) -> None:
        self.login = login
        self.heard: list[Card] = []
        self.snapshots: list[DeskSnapshot] = []
        self.disconnected: DisconnectedContext | None = None
        self._changed = asyncio.Condition()
        # No proxy of the environment between a test and its own loopback.
        self.client = Client(address, events=self, token=token, proxy=None)

    @property
    def snapshot(self) -> DeskSnapshot:
        """The desk as the last connect reply told it."""
        return self.snapshots[-1]

    @property
    def shown(self) -> dict[str, Card]:
        """The open cards on the screen by call_id, by the rule of the contract (`shared.revision`)."""
        newest = {card.call_id: card for card in self.snapshot.cards} if self.snapshots else {}
        for card in self.heard:
            if card.call_id not in newest or replaces(card.rev, newest[card.call_id].rev):
                newest[card.call_id] = card
        return {call_id: card for call_id, card in newest.items() if card.state is not CardState.CLOSED}

    async def card(self, want: Callable[[Card], bool], seconds: float = DEADLINE) -> Card:
        """The first card, of a snapshot or published, for which `want` is true; waits until it comes."""

        def found() -> Card | None:
            told = [*(card for snapshot in self.snapshots for card in snapshot.cards), *self.heard]
            return next((card for card in told if want(card)), None)

        card: Card | None = None

        def there() -> bool:
            nonlocal card
            card = found()
            return card is not None

        await self._until(there, seconds, "the card did not come")
        assert card is not None
        return card

    async def closed(self, call_id: str, seconds: float = DEADLINE) -> Card:
        """The closing card of a call."""
        return await self.card(lambda c: c.call_id == call_id and c.state is CardState.CLOSED, seconds)

    async def empty(self, seconds: float = DEADLINE) -> None:
        """Return when no card is open on the screen."""
        await self._until(lambda: not self.shown, seconds, "cards stay open")

    async def open(self) -> Self:
        """Connect; returns with the snapshot."""
        await self.client.connect()
        await self._until(lambda: bool(self.snapshots), DEADLINE, "no connect reply")
        return self

    async def close(self) -> None:
        await self.client.disconnect()

    async def _until(self, true: Callable[[], bool], seconds: float, complaint: str) -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(true)
        except TimeoutError:
            raise AssertionError(f"tab {self.login}: {complaint}; it had {self._told()}") from None

    def _told(self) -> str:
        lines = [
            f"{c.call_id} rev {c.rev} {c.state} {c.close_reason or ''} {c.match} {c.call.number}"
            for c in self.heard
        ]
        return "\n  ".join([f"{len(self.snapshots)} snapshots, {len(lines)} cards:", *lines])

    async def on_connected(self, ctx: ConnectedContext) -> None:
        async with self._changed:
            self.snapshots.append(DeskSnapshot.model_validate(ctx.data))
            self._changed.notify_all()

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self.disconnected = ctx

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        data: dict[str, Any] = ctx.pub.data
        if data["type"] != "card":
            return
        async with self._changed:
            self.heard.append(Card.model_validate(data["card"]))
            self._changed.notify_all()


class Stack:
    """The product, running. `address`: where its HTTP port answers, e.g. http://127.0.0.1:40001."""

    def __init__(self, address: str, http: httpx.AsyncClient, engine: AsyncEngine, redis: Redis) -> None:
        self.address = address
        self.http = http
        self._engine = engine
        self._redis = redis
        self._tabs: list[Tab] = []

    async def token(self, login: str, password: str = PASSWORD) -> str:
        """Sign in over REST."""
        answer = await self.http.post("/api/v1/auth/sign-in", json={"login": login, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    async def tab(self, login: str) -> Tab:
        """A tab of this agent, signed in and connected."""
        websocket = self.address.replace("http://", "ws://") + "/connection/websocket"
        tab = Tab(login, websocket, await self.token(login))
        self._tabs.append(tab)
        return await tab.open()

    async def ready(self, seconds: float = DEADLINE) -> None:
        """Wait until every piece says so: the PBX is seen, Redis and the database answer."""
        answer = await self.http.get("/readyz")
        try:
            async with asyncio.timeout(seconds):
                while answer.status_code != 200:
                    await asyncio.sleep(_LOOK_AGAIN)
                    answer = await self.http.get("/readyz")
        except TimeoutError:
            raise AssertionError(f"not ready: {answer.text}") from None

    async def published(self, login: str) -> int:
        """How many publications this agent's channel ever had: 0 is proof that nothing was sent, to any tab."""
        return (await DeskReader(self._redis).read(agent_channel(login))).position.offset

    async def said(self, call_id: str, state: CallState, seconds: float = DEADLINE) -> None:
        """Return when the listener has said that the call is in this state; while PostgreSQL is away only, because
        what is stored is taken out of the stream."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for _, fields in await self._redis.xrange(CALLS_STREAM):
                        if b"u" in fields:
                            update = decode_update(fields)
                            if update.call_id == call_id and update.call.state is state:
                                return
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise AssertionError(f"nobody said that {call_id} is {state}") from None

    async def stored(self, call_id: str, seconds: float = DEADLINE) -> Call:
        """The call as the record has it, once it has ended there."""
        query = select(calls.c.state, calls.c.document).where(calls.c.call_id == call_id)
        row = None
        try:
            async with asyncio.timeout(seconds):
                while row is None or row.state != CallState.ENDED:
                    async with self._engine.connect() as connection:
                        row = (await connection.execute(query)).one_or_none()
                    if row is None or row.state != CallState.ENDED:
                        await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise AssertionError(f"{call_id} is not stored as ended: {row}") from None
        return Call.model_validate(row.document)

    async def rings(
        self, call_id: str, want: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE
    ) -> list[dict[str, Any]]:
        """The call's rings as a supervisor sees them, once `want` is true of one."""
        headers = {"Authorization": f"Bearer {await self.token('104')}"}
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(seconds):
                while not any(want(ring) for ring in found):
                    await asyncio.sleep(_LOOK_AGAIN)
                    answer = await self.http.get(f"/api/v1/calls/{call_id}/rings", headers=headers)
                    found = answer.json()["items"] if answer.status_code == 200 else []
        except TimeoutError:
            raise AssertionError(f"the rings of {call_id} are {found}") from None
        return found

    async def close_tabs(self) -> None:
        for tab in self._tabs:
            await tab.close()


@asynccontextmanager
async def product(
    database_url: str,
    redis_url: str,
    folder: Path,
    pbx: Mapping[str, PbxSettings],
    *,
    targets: Sequence[Target] = PIECES,
    wait: bool = True,
    samples: bool = True,
    **settings: Any,
) -> AsyncIterator[Stack]:
    """The product on these servers, following these PBXs, with the sample customers and agents.

    folder: for the spool. wait: until everything is ready, the PBX too. samples: load them, if PostgreSQL is there.
    settings: more of them, by name.
    """
    at = Servers(database_url, redis_url, SECRET)
    async with AsyncExitStack() as stack:
        engine = create_engine(database_url)
        stack.push_async_callback(engine.dispose)
        redis = connect_redis(redis_url)
        stack.push_async_callback(redis.aclose)
        if samples:
            await load_samples(engine, PASSWORD)
        front = await stack.enter_async_context(
            pieces(Settings(pbx=dict(pbx), data_dir=folder, **settings), targets, at)
        )
        sock = listen("127.0.0.1", 0)
        address = await stack.enter_async_context(serving(front, sock, front.drain))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=address, timeout=DEADLINE, trust_env=False)
        )
        running = Stack(address, http, engine, redis)
        stack.push_async_callback(running.close_tabs)
        if wait:
            await running.ready()
        yield running
