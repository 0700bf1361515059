"""Signed out, switched off, other rights: every gateway closes the agent's tabs at once and takes no older token."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
import websockets
from redis.asyncio import Redis

from shared.push import PushPublisher
from shared.push_control import (
    CONTROL_CHANNEL,
    RIGHTS_CHANGED,
    SIGNED_OUT,
    SWITCHED_OFF,
    Farewell,
    disconnect,
)
from tests.push_gateway.conftest import StartGateway
from tests.push_gateway.helpers import Running, make_card, token


@pytest.mark.parametrize("farewell", [SIGNED_OUT, SWITCHED_OFF, RIGHTS_CHANGED])
async def test_all_tabs_of_the_agent_are_closed_on_every_gateway_and_nobody_elses(
    gateway: Running,
    start_gateway: StartGateway,
    publisher: PushPublisher,
    redis: Redis,
    farewell: Farewell,
) -> None:
    other = await start_gateway()
    async with gateway.raw() as here, other.raw() as there, gateway.raw() as colleague:
        await here.connect()
        await there.connect()
        await colleague.connect("102")
        await disconnect(redis, "101", farewell, datetime.now(UTC))
        assert await here.closed() == (farewell.code, farewell.reason)
        assert await there.closed() == (farewell.code, farewell.reason)
        await publisher.publish_card(make_card(agent="102"))
        assert (await colleague.hear())["push"]["pub"]["offset"] == 1


async def test_an_older_token_is_refused_so_that_the_sdk_asks_for_a_new_one(
    gateway: Running, redis: Redis
) -> None:
    older = token()
    await asyncio.sleep(0.002)  # the token tells milliseconds
    async with gateway.raw() as first, gateway.raw() as second:
        await first.ask({"id": 1, "connect": {"token": older}})
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        await first.closed()
        assert (await second.ask({"id": 1, "connect": {"token": older}}))["error"]["code"] == 109
        assert "connect" in await second.connect()
        assert (await second.ask({"id": 2, "refresh": {"token": older}}))["error"]["code"] == 109


async def test_a_newer_connection_outlives_the_order(gateway: Running, redis: Redis) -> None:
    before = datetime.now(UTC)
    await asyncio.sleep(0.002)
    async with gateway.raw() as client:
        await client.connect()
        await disconnect(redis, "101", SIGNED_OUT, before)
        await redis.publish(CONTROL_CHANNEL, "not an order")
        assert await client.ask({"id": 2, "ping": {}}) == {"id": 2, "ping": {}}


async def test_an_order_that_was_missed_without_a_link_is_carried_out_when_it_is_back(
    start_gateway: StartGateway, redis: Redis
) -> None:
    older = token()
    await asyncio.sleep(0.002)
    await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))  # nobody hears it: no gateway runs
    gateway = await start_gateway()

    async def refused() -> bool:
        # Who is quicker than the reading of what was ordered is closed by it and comes back.
        with contextlib.suppress(websockets.ConnectionClosed):
            async with gateway.raw() as client:
                reply = await client.ask({"id": 1, "connect": {"token": older}})
                return bool(reply.get("error", {}).get("code") == 109)
        return False

    async with asyncio.timeout(10):
        while not await refused():
            pass


async def test_a_tab_that_was_connected_while_the_link_was_away_is_closed_when_it_is_back(
    gateway: Running, redis: Redis
) -> None:
    async with gateway.raw() as client:
        await client.connect()
        # The order is written, and the message about it is lost.
        await redis.client_kill_filter(_type="pubsub")
        await redis.zadd(f"{CONTROL_CHANNEL}:revoked", {"101": datetime.now(UTC).timestamp()})
        assert await client.closed() == (4001, "token ended")


async def test_after_a_loss_of_data_revoked_tokens_stay_revoked(gateway: Running, redis: Redis) -> None:
    older = token()
    await asyncio.sleep(0.002)
    async with gateway.raw() as client:
        await client.connect()
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        await client.closed()
    await redis.flushall()
    await redis.client_kill_filter(_type="pubsub")
    async with gateway.raw() as late:

        async def answer() -> int:
            reply = await late.ask({"id": 1, "connect": {"token": older}})
            return int(reply.get("error", {}).get("code", 0))

        async with asyncio.timeout(10):
            while (code := await answer()) == 100:
                pass
        assert code == 109
