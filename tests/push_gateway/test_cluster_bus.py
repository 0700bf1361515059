"""Gateways on a Redis Cluster: what agents get while the slots of their channels move, and masters go."""

import asyncio

import httpx
from redis.asyncio import Redis

from shared.bus import connect_redis
from shared.push import PushPublisher, agent_channel
from tests.clusters import ValkeyCluster, logins_at
from tests.push_gateway.helpers import RawClient, Running, make_card, running_gateway

# Some before, some under way, some after.
CARDS = 120


async def publish(redis: Redis, logins: list[str], half: asyncio.Event) -> None:
    """Cards of calls of their own, one after the other, so that each is a publication."""
    publisher = PushPublisher(redis)
    for number in range(CARDS):
        for login in logins:
            await publisher.publish_card(make_card(f"main-{number}", agent=login))
        if number == CARDS // 3:
            half.set()


async def linked(gateway: Running) -> None:
    """Until it hears the cluster."""
    async with httpx.AsyncClient(verify=False) as http, asyncio.timeout(10):
        while (await http.get(f"{gateway.http}/readyz")).status_code != 200:
            pass


async def everything(tab: RawClient) -> list[int]:
    """The offsets of what this tab got, up to the last."""
    offsets: list[int] = []
    while not offsets or offsets[-1] < CARDS:
        # Besides, the other tab of the agent comes in.
        if "pub" in (push := (await tab.hear(15)).get("push", {})):
            offsets.append(push["pub"]["offset"])
    return offsets


async def test_a_slot_that_moves_costs_no_publication_and_repeats_none(cluster: ValkeyCluster) -> None:
    """Two gateways, two agents with channels at different masters; one of them moves while cards come."""
    moving, staying = next(logins_at(1)), next(logins_at(2))
    redis, under_way = connect_redis(cluster.url), asyncio.Event()
    await PushPublisher(redis).rebuild_desk([], [moving, staying])
    async with (
        running_gateway(cluster.url) as one,
        running_gateway(cluster.url) as two,
        one.raw() as here,
        two.raw() as there,
        two.raw() as other,
    ):
        for gateway in (one, two):
            await linked(gateway)
        for tab, login in ((here, moving), (there, moving), (other, staying)):
            assert "connect" in await tab.connect(login)
        publishing = asyncio.create_task(publish(redis, [moving, staying], under_way))
        await under_way.wait()
        await cluster.move_slot(agent_channel(moving), cluster.nodes[1], cluster.nodes[2])
        try:
            for tab in (here, there, other):
                assert await everything(tab) == list(range(1, CARDS + 1))
        finally:
            await publishing
            await cluster.move_slot(agent_channel(moving), cluster.nodes[2], cluster.nodes[1])
    await redis.aclose()
