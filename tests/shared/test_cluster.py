"""A Redis Cluster is used like one Redis, wherever its slots are and wherever they go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from card_api.listening import listen
from shared.bus import connect_redis
from shared.cluster import ClusterRedis, incarnation
from shared.cluster_link import link_to
from shared.contracts.card import CardState
from shared.presence import Moved, Presence
from shared.push import DeskReader, PushPublisher, agent_channel
from tests.clusters import ValkeyCluster, logins_at, until
from tests.shared.test_push import make_card


@pytest.fixture
async def client(cluster: ValkeyCluster) -> AsyncIterator[Redis]:
    redis = connect_redis(cluster.url)
    yield redis
    await redis.aclose()


async def test_commands_and_pipelines_go_where_their_keys_are(client: Redis) -> None:
    link = link_to(client)
    keys = [f"key-{at}" for at in range(30)]
    answers = await link.call_all([("SET", key, at) for at, key in enumerate(keys)])
    assert answers == [b"OK"] * 30
    assert await link.call_all([("GET", key) for key in keys]) == [str(at).encode() for at in range(30)]
    assert await client.get("key-7") == b"7"
    assert sorted([key.decode() async for key in client.scan_iter("key-*")]) == sorted(keys)
    async with client.pipeline(transaction=True) as both:
        both.incr("key-7")
        both.expire("key-7", 60)
        assert await both.execute() == [8, True]


async def test_a_node_that_is_used_as_if_it_were_all_says_what_to_write(cluster: ValkeyCluster) -> None:
    redis = connect_redis(f"redis://127.0.0.1:{cluster.nodes[1].port}/0")
    key = agent_channel(next(logins_at(2)))
    try:
        for wrong in (redis.get(key), link_to(redis).call("GET", key)):
            with pytest.raises(RedisError, match=r"redis\+cluster://.*CALLCARD_REDIS__URL"):
                await wrong
    finally:
        await redis.aclose()


async def test_a_slot_that_went_elsewhere_is_followed(cluster: ValkeyCluster) -> None:
    """By a link, a command and a pipeline alike; each has learned the old place before."""
    clients = [connect_redis(cluster.url) for _ in range(3)]
    home, other = cluster.nodes[1], cluster.nodes[2]
    key = agent_channel(next(logins_at(1)))
    link = link_to(clients[0])
    assert [await link.call("INCR", key), *[await client.incr(key) for client in clients[1:]]] == [1, 2, 3]
    await cluster.move_slot(key, home, other)
    try:
        beside = ("SET", agent_channel(next(logins_at(0))), 1)
        assert await link.call_all([("INCR", key), beside]) == [4, b"OK"]
        assert await clients[1].incr(key) == 5
        assert (await cast("ClusterRedis", clients[1]).slots()).owner(key) == ("127.0.0.1", other.port)
        async with clients[2].pipeline(transaction=True) as both:
            both.incr(key)
            both.expire(key, 60)
            assert await both.execute() == [6, True]
    finally:
        await cluster.move_slot(key, other, home)
        for client in clients:
            await client.aclose()


async def test_a_slot_that_is_on_its_way_is_asked_for_at_both_ends(
    client: Redis, cluster: ValkeyCluster
) -> None:
    link, home, other = link_to(client), cluster.nodes[1], cluster.nodes[2]
    login = next(logins_at(1))
    here, there, too = (f"{{agent:{login}}}:{at}" for at in range(3))
    slot = key_slot(here.encode())
    await client.set(here, "stays")
    await other.say("CLUSTER", "SETSLOT", slot, "IMPORTING", await home.id())
    await home.say("CLUSTER", "SETSLOT", slot, "MIGRATING", await other.id())
    try:
        assert await link.call_all([("GET", here), ("SET", there, "new")]) == [b"stays", b"OK"]
        assert await client.set(too, "as well") is True
        assert (await client.get(here), await client.get(there)) == (b"stays", b"new")
    finally:
        for node in (home, other):
            await node.say("CLUSTER", "SETSLOT", slot, "STABLE")


async def test_a_node_that_sees_the_cluster_broken_is_not_believed(
    client: Redis, cluster: ValkeyCluster
) -> None:
    key, other = agent_channel(next(logins_at(1))), cluster.nodes[2]
    # Until it hears of the owner again, in about a second.
    await other.say("CLUSTER", "DELSLOTS", key_slot(key.encode()))
    slots = await cast("ClusterRedis", client).refresh(("127.0.0.1", other.port))
    assert slots.owner(key) == ("127.0.0.1", cluster.nodes[1].port)


async def test_a_planned_fail_over_loses_nothing_and_has_the_desks_put_back(
    client: Redis, cluster: ValkeyCluster
) -> None:
    publisher, reader = PushPublisher(client), DeskReader(client)
    login = next(logins_at(0))
    card = make_card(agent=login)
    await publisher.rebuild_desk([], [login])
    assert await publisher.desk_is_fresh()
    assert await publisher.publish_card(card) == 1
    before = await incarnation(client)

    await cluster.fail_over()

    assert await publisher.publish_card(make_card("main-2", agent=login)) == 2
    state = await reader.read(agent_channel(login))
    assert len(state.cards) == 2
    assert await incarnation(client) != before
    assert not await publisher.desk_is_fresh()
    await publisher.rebuild_desk([card.model_copy(update={"rev": 2, "state": CardState.CLOSED})], [login])
    assert await publisher.desk_is_fresh()
    after = await reader.read(agent_channel(login), state.position)
    assert not after.recovered
    assert [raw for raw in after.cards if b"main-1" in raw] == []
    assert len(after.cards) == 1


async def test_a_killed_master_costs_nobody_else_and_its_replica_is_found(
    client: Redis, cluster: ValkeyCluster
) -> None:
    """Also by who listens to a channel for ever, as the card API does."""
    name = f"callcard:{{agent:{next(logins_at(0))}}}"
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    begun: asyncio.Queue[bool] = asyncio.Queue()
    listening = asyncio.create_task(listen(client, name, begun.put, heard.put))
    try:
        async with asyncio.timeout(15):
            assert await begun.get() is False
            assert await client.publish(name, b"one") == 1
            assert await heard.get() == b"one"
            (await cluster.master()).kill()
            gone, there = (make_card(agent=next(logins_at(share))) for share in (0, 1))
            lost, taken = await PushPublisher(client).publish_cards([gone, there])
            assert isinstance(lost, RedisError)
            assert taken is None
            here = [Moved(agent_channel(card.agent), False, [("tab", card.agent)]) for card in (gone, there)]
            presence = Presence(client)
            assert await presence.tell(here) == await presence.prolong(here) == [here[0]]
            assert await presence.prolong(here[1:]) == []
            # Whether all desks are whole is kept at the killed one.
            state = await DeskReader(client).read(agent_channel(there.agent))
            assert (state.cards, state.complete) == ((there.to_json(),), True)
            assert await begun.get() is True

            async def told() -> bool:
                with suppress(RedisError, OSError):
                    return bool(await client.publish(name, b"two"))
                return False

            await until(told)
            assert await heard.get() == b"two"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        cluster.start()
