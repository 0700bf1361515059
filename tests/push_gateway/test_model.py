"""Any order of connects, drops, publications, restarts, lost links, trimmed and lost histories: in the end every tab
shows exactly its agent's open cards, has never seen a colleague's, and was never told an offset twice.

Real gateways, real sockets, a real Valkey; the tabs do what the SDKs do (remember the last offset, come back with it).
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import websockets
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from push_gateway.codes import Close
from services.embedded import EmbeddedValkey
from shared.bus import connect_redis
from shared.contracts.card import Card
from shared.push import PushPublisher, agent_channel, log_key
from tests.push_gateway.helpers import RawClient, Running, make_card, running_gateway

LOGINS = ("101", "102")
GATEWAYS = 2
logins = st.sampled_from(LOGINS)


class Tab:
    """What a page with an SDK does, and what it has been told."""

    def __init__(self, login: str) -> None:
        self.login = login
        self.shown: dict[str, int] = {}
        self.position: tuple[str, int] | None = None
        self.fence = -1
        self.client: RawClient | None = None
        self._stack = contextlib.AsyncExitStack()

    async def connect(self, gateway: Running) -> None:
        """Until there is a connection: Redis may be on its way back."""
        self.client = await self._stack.enter_async_context(gateway.raw(close_timeout=0.1))
        subs = {}
        if self.position is not None:
            epoch, offset = self.position
            subs = {agent_channel(self.login): {"recover": True, "epoch": epoch, "offset": offset}}
        while "error" in (reply := await self.client.connect(self.login, subs=subs)):
            assert reply["error"]["code"] == 100
            await asyncio.sleep(0.05)  # an SDK backs off as well; without it the gateway answers 111
        self._connected(reply["connect"])

    def _connected(self, result: dict[str, Any]) -> None:
        subscription = result["subs"][agent_channel(self.login)]
        desk = result["data"]
        if subscription["recovered"]:
            assert self.position is not None
            missed = [p["offset"] for p in subscription["publications"]]
            assert missed == list(range(self.position[1] + 1, subscription["offset"] + 1))
            for publication in subscription["publications"]:
                self._look_at(publication["data"])
        else:
            assert subscription["publications"] == []
        self.position = (desk["epoch"], desk["offset"])
        assert self.position == (subscription["epoch"], subscription["offset"])
        assert {card["agent"] for card in desk["cards"]} <= {self.login}
        if desk["complete"]:
            self.shown = {card["call_id"]: card["rev"] for card in desk["cards"]}

    async def read_until(self, fence: int) -> bool:
        """Take what comes until the fence; False if the connection was closed before."""
        assert self.client is not None
        try:
            while self.fence < fence:
                message = await self.client.hear(10)
                if message == {}:
                    await self.client.say({})
                elif "pub" in message.get("push", {}):
                    self._published(message["push"])
        except websockets.ConnectionClosed:
            code = self.client.socket.close_code
            assert code in (3001, 3010), code
            assert Close(code, "").reconnect
            await self.drop()
            return False
        return True

    def _published(self, push: dict[str, Any]) -> None:
        assert push["channel"] == agent_channel(self.login)
        assert self.position is not None
        epoch, offset = self.position
        assert push["pub"]["offset"] > offset, "an offset was told twice, or out of order"
        self.position = (epoch, push["pub"]["offset"])
        data = push["pub"]["data"]
        self._look_at(data)
        if data["type"] == "card":
            card = data["card"]
            if card["state"] == "closed":
                self.shown.pop(card["call_id"], None)
            else:
                self.shown[card["call_id"]] = card["rev"]

    def _look_at(self, data: dict[str, Any]) -> None:
        if data["type"] == "card":
            assert data["card"]["agent"] == self.login, "a colleague's card"
        else:
            self.fence = max(self.fence, data["n"])

    async def drop(self) -> None:
        """The network is gone without a word."""
        if self.client is not None:
            self.client.socket.transport.abort()
            self.client = None
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        await stack.aclose()


class Machine(RuleBasedStateMachine):
    """The truth is `cards`: what the card API would say is open."""

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis_url = redis_url
        self.rev = 0
        self.fences = 0
        self.cards: dict[tuple[str, str], Card] = {}
        self.tabs: list[Tab] = []
        self.do(self._start())

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(work, 30))

    async def _start(self) -> None:
        self.redis: Redis = connect_redis(self.redis_url)
        await self.redis.flushall()
        self.publisher = PushPublisher(self.redis)
        await self.publisher.rebuild_desk([], LOGINS)
        self.stacks = [contextlib.AsyncExitStack() for _ in range(GATEWAYS)]
        self.gateways = [await stack.enter_async_context(self._gateway()) for stack in self.stacks]

    def _gateway(self) -> contextlib.AbstractAsyncContextManager[Running]:
        return running_gateway(self.redis_url)

    @rule(login=logins, call=st.integers(0, 2), state=st.sampled_from(["ringing", "answered", "closed"]))
    def publish(self, login: str, call: int, state: str) -> None:
        self.rev += 1
        # A call that is over never rings again: it has another name each time.
        open_now = [c for (who, c) in self.cards if who == login and c.startswith(f"{call}-")]
        name = open_now[0] if open_now else f"{call}-{self.rev}"
        card = make_card(name, self.rev, state, login)
        if state == "closed":
            self.cards.pop((login, name), None)
        else:
            self.cards[login, name] = card
        self.do(self._publish(card))

    async def _publish(self, card: Card) -> None:
        await self.publisher.publish_card(card)

    @rule(login=logins, gateway=st.integers(0, GATEWAYS - 1))
    @precondition(lambda self: len(self.tabs) < 5)
    def open_tab(self, login: str, gateway: int) -> None:
        self.tabs.append(tab := Tab(login))
        self.do(tab.connect(self.gateways[gateway]))

    @rule(which=st.integers(0, 4))
    @precondition(lambda self: bool(self.tabs))
    def drop_tab(self, which: int) -> None:
        self.do(self.tabs[which % len(self.tabs)].drop())

    @rule(which=st.integers(0, 4), gateway=st.integers(0, GATEWAYS - 1))
    @precondition(lambda self: bool(self.tabs))
    def come_back(self, which: int, gateway: int) -> None:
        tab = self.tabs[which % len(self.tabs)]
        if tab.client is None:
            self.do(tab.connect(self.gateways[gateway]))

    @rule(which=st.integers(0, GATEWAYS - 1))
    def restart_gateway(self, which: int) -> None:
        self.do(self._restart_gateway(which))

    async def _restart_gateway(self, which: int) -> None:
        await self.stacks[which].aclose()
        self.stacks[which] = contextlib.AsyncExitStack()
        self.gateways[which] = await self.stacks[which].enter_async_context(self._gateway())

    @rule()
    def cut_the_bus(self) -> None:
        self.do(self._cut_the_bus())

    async def _cut_the_bus(self) -> None:
        await self.redis.client_kill_filter(_type="pubsub")

    @rule(login=logins, keep=st.integers(0, 2))
    def trim(self, login: str, keep: int) -> None:
        self.do(self._trim(login, keep))

    async def _trim(self, login: str, keep: int) -> None:
        await self.redis.xtrim(log_key(agent_channel(login)), maxlen=keep, approximate=False)

    @rule()
    def redis_forgets(self) -> None:
        self.do(self._redis_forgets())

    async def _redis_forgets(self) -> None:
        await self.redis.flushall()
        await self.publisher.rebuild_desk(list(self.cards.values()), LOGINS)

    @rule()
    def look(self) -> None:
        self.do(self._look())

    async def _look(self) -> None:
        """Everybody comes back and hears everything: then the screens must be the truth."""
        for tab in self.tabs:
            if tab.client is None:
                await tab.connect(self.gateways[0])
        await self._fence()
        for tab in self.tabs:
            while not await tab.read_until(self.fences):
                await tab.connect(self.gateways[0])
                await self._fence()  # the last one may be behind the tab's position already
            truth = {name: card.rev for (login, name), card in self.cards.items() if login == tab.login}
            assert tab.shown == truth

    async def _fence(self) -> None:
        """A publication that everybody can wait for."""
        self.fences += 1
        for login in LOGINS:
            await self.publisher.publish(agent_channel(login), b'{"type":"fence","n":%d}' % self.fences)

    def teardown(self) -> None:
        try:
            self.do(self._look())
        finally:
            self.do(self._end())
            self.loop.close()

    async def _end(self) -> None:
        for tab in self.tabs:
            await tab.drop()
        for stack in self.stacks:
            await stack.aclose()
        await self.redis.aclose()


def test_whatever_happens_every_tab_shows_its_agents_cards(valkey: EmbeddedValkey) -> None:
    run_state_machine_as_test(
        lambda: Machine(valkey.url),
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,  # a machine without air is no mistake of ours
            suppress_health_check=list(HealthCheck),
        ),
    )
