"""The product on a Redis Cluster: two gateways, agents whose channels are at different masters, and masters that go."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.crc import key_slot

from card_api.calls.consumer import DEAD_STREAM
from card_api.ingest.store import TOLD, TOLD_DUE
from services.runtime import Target
from services.simulator.config import FULL_ACCOUNT
from services.simulator.simulator import SimCall, Simulator
from shared import bus
from shared.contracts.call import CallEndReason
from shared.contracts.card import Card, CardState
from shared.floor import floor_channel, floor_phones_key, floor_queues_key
from shared.presence import left_key, presence_key
from shared.push import DeskReader, agent_channel, bus_name
from shared.settings import PbxSettings
from tests.clusters import ValkeyCluster, until
from tests.e2e.conftest import CLIENT, CLIENT_NAME, link
from tests.e2e.stack import Stack, Tab, product

# The channel of 101 is at the master that has a replica; 102 and the calls themselves are at another.
MOVED, STAYS = "101", "102"


def of(call: SimCall, *states: CardState) -> Callable[[Card], bool]:
    return lambda card: card.call_id == f"main-{call.uniqueid}" and card.state in states


@pytest.mark.parametrize(
    "names",
    [
        [
            *(bus.CALLS_STREAM, bus.lease_key("a"), bus.fence_key("b"), bus.open_calls_key("c")),
            *(bus.ended_calls_key("d"), bus.pbx_status_key("e"), DEAD_STREAM, TOLD, TOLD_DUE),
            *(floor_queues_key("f"), floor_phones_key("g"), floor_channel("h")),
        ],
        [bus.AGENT_PHONES, bus.AGENT_PHONES_CHANGED],
        [bus_name("agent:1"), presence_key("agent:1"), left_key("agent:1")],
    ],
)
def test_what_is_written_or_said_in_one_step_is_in_one_slot(names: list[str]) -> None:
    assert len({key_slot(name.encode()) for name in names}) == 1


async def test_calls_go_on_through_a_planned_fail_over_and_through_a_killed_master(
    pbx: Simulator, cluster: ValkeyCluster, database_url: str, tmp_path: Path
) -> None:
    """One test, because the start of everything takes longer than what is told here."""
    host, port = pbx.address
    main = PbxSettings(
        host=host,
        port=port,
        username=FULL_ACCOUNT.username,
        secret=SecretStr(FULL_ACCOUNT.secret),
    )
    async with AsyncExitStack() as opened:
        opened.callback(cluster.start)  # who was killed comes back, for the tests after this one
        one = await opened.enter_async_context(product(database_url, cluster.url, tmp_path, {"main": main}))
        two = await opened.enter_async_context(
            product(database_url, cluster.url, tmp_path, {}, targets=(Target.GATEWAY,), samples=False)
        )
        tabs = [await one.tab(MOVED), await tab_at(two, MOVED, await one.token(MOVED))]
        other = await tab_at(two, STAYS, await one.token(STAYS))
        opened.push_async_callback(close, *tabs, other)
        await link(one, "up")  # as a supervisor's page asks

        planned = await pbx.place("direct_did", caller=CLIENT, agent=MOVED, pace="manual")
        for tab in tabs:
            assert (await tab.card(of(planned, CardState.RINGING))).caller.name == CLIENT_NAME
        redis = bus.connect_redis(cluster.url)
        opened.push_async_callback(redis.aclose)
        reader = DeskReader(redis)
        before = (await reader.read(agent_channel(MOVED))).position.epoch
        await cluster.fail_over()
        await planned.proceed()
        for tab in tabs:
            await tab.card(of(planned, CardState.ANSWERED))
        await planned.hang_up()
        for tab in tabs:
            await tab.empty()
        assert (await one.stored(f"main-{planned.uniqueid}")).end_reason is CallEndReason.COMPLETED
        # Whoever takes over may lack what was written last, so the card API writes the desks anew.
        await until(lambda: begun_anew(reader, before))

        await cluster.settled()
        rings = await pbx.place("direct_did", caller=CLIENT, agent=MOVED, pace="manual")
        for tab in tabs:
            await tab.card(of(rings, CardState.RINGING))
        (await cluster.master()).kill()
        # The one whose channel is elsewhere works as ever, also now.
        beside = await pbx.place("direct_did", caller=CLIENT, agent=STAYS, pace="manual")
        await other.card(of(beside, CardState.RINGING))
        await rings.proceed()
        for tab in tabs:
            await tab.card(of(rings, CardState.ANSWERED))
        after = await pbx.place("direct_did", caller=CLIENT, agent=MOVED, pace="manual")
        for tab in tabs:
            await tab.card(of(after, CardState.RINGING))
        for call in (rings, beside, after):
            await call.hang_up()
        for tab in (*tabs, other):
            await tab.empty()
        for call in (rings, beside, after):
            await one.stored(f"main-{call.uniqueid}")


async def begun_anew(reader: DeskReader, epoch: str) -> bool:
    return (await reader.read(agent_channel(MOVED))).position.epoch != epoch


async def tab_at(gateway: Stack, login: str, token: str) -> Tab:
    """A tab at the gateway that knows nobody: who signs in does so at the other."""
    address = gateway.address.replace("http://", "ws://") + "/connection/websocket"
    return await Tab(login, address, token).open()


async def close(*tabs: Tab) -> None:
    for tab in tabs:
        await tab.close()
