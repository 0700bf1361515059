"""Whose phone is which, for the listeners: the directory as one Redis key."""

from redis.asyncio import Redis

from card_api.agents.directory import Directory
from shared.bus import AGENT_PHONES, AGENT_PHONES_CHANGED
from shared.contracts.agents import AgentPhone, AgentPhones


def phones_of(directory: Directory) -> AgentPhones:
    """In one order, so that the same phones are the same bytes."""
    pairs = sorted(
        (endpoint, pbx or "", login)
        for login, agent in directory.by_login.items()
        for endpoint, pbx in agent.endpoints
    )
    return AgentPhones(
        phones=[AgentPhone(endpoint=endpoint, pbx=pbx or None, agent=login) for endpoint, pbx, login in pairs]
    )


async def publish_phones(redis: Redis, directory: Directory) -> bool:
    """Make the key say what the directory says, and tell who listens; True if it was not so already.

    Raises RedisError or OSError when Redis is away. Several card APIs may do this at once: they read the same tables.
    """
    wanted = phones_of(directory).to_json()
    if await redis.get(AGENT_PHONES) == wanted:
        return False
    async with redis.pipeline(transaction=True) as both:
        both.set(AGENT_PHONES, wanted)
        both.publish(AGENT_PHONES_CHANGED, b"")
        await both.execute()
    return True
