"""The listeners' picture of whose phone is which: written when the tables change, and again when Redis lost it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.directory import Agent, Directory
from card_api.agents.phones import phones_of, publish_phones
from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentDirectory, AgentService
from card_api.background import end
from shared.bus import AGENT_PHONES, AGENT_PHONES_CHANGED, AGENTS_CHANGED
from shared.contracts.agents import AgentPhone, AgentPhones

ANNA = Agent("anna", "Анна", "101", endpoints=(("PJSIP/101", None), ("SIP/7", "branch")))
GONE = Agent("gone", "Gone", "102", active=False, endpoints=(("PJSIP/102", None),))


async def heard(redis: Redis, what: AgentPhones) -> None:
    """Wait for the message after which the key says this."""
    async with asyncio.timeout(10), redis.pubsub() as subscription:
        await subscription.subscribe(AGENT_PHONES_CHANGED)
        async for _ in subscription.listen():
            raw = await redis.get(AGENT_PHONES)
            if raw is not None and AgentPhones.model_validate_json(raw) == what:
                return


class TestPhones:
    def test_active_agents_in_one_order(self) -> None:
        one = phones_of(Directory.of([GONE, ANNA, Agent("b", "B", endpoints=(("PJSIP/101", "branch"),))]))
        assert [(phone.endpoint, phone.pbx, phone.agent) for phone in one.phones] == [
            ("PJSIP/101", None, "anna"),
            ("PJSIP/101", "branch", "b"),
            ("SIP/7", "branch", "anna"),
        ]
        assert one.at("branch") == {"PJSIP/101": "b", "SIP/7": "anna"}
        assert one.at("main") == {"PJSIP/101": "anna"}

    async def test_nobody_is_woken_for_what_is_so_already(self, redis: Redis) -> None:
        directory = Directory.of([ANNA])
        assert await publish_phones(redis, directory)
        assert not await publish_phones(redis, directory)
        assert await publish_phones(redis, Directory())


@pytest.fixture
async def running(engine: AsyncEngine, redis: Redis) -> AsyncIterator[AgentDirectory]:
    directory = AgentDirectory(AgentRepository(engine), redis)
    task = asyncio.create_task(directory.run())
    await directory.known()
    yield directory
    await end([task])


class TestDirectory:
    async def test_a_saved_agents_phone_reaches_the_listeners(
        self, running: AgentDirectory, engine: AsyncEngine, redis: Redis
    ) -> None:
        wanted = AgentPhones(phones=[AgentPhone(endpoint="PJSIP/101", agent="anna")])
        waiting = asyncio.create_task(heard(redis, wanted))
        await AgentService(AgentRepository(engine), redis).save(
            Agent("anna", "Анна", "101", endpoints=(("PJSIP/101", None),))
        )
        await waiting

    async def test_a_redis_that_lost_its_data_has_it_again(
        self, running: AgentDirectory, redis: Redis
    ) -> None:
        await heard(redis, AgentPhones())
        await redis.flushall()
        waiting = asyncio.create_task(heard(redis, AgentPhones()))
        await redis.publish(
            AGENTS_CHANGED, b""
        )  # as any wake-up: a new subscription, a change, half a minute
        await waiting
