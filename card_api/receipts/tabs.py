"""What is known of an agent's tabs, from whom they are connected to."""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from card_api.receipts.ring import Tabs
from shared.presence import Presence
from shared.push import agent_channel

AskTabs = Callable[[str], Awaitable[Tabs]]
"""login -> what is known now. Raises RedisError or OSError if nobody can be asked."""


def tabs_of_gateway(redis: Redis) -> AskTabs:
    """As our own gateways write it down in Redis."""
    presence = Presence(redis)

    async def ask(login: str) -> Tabs:
        channel = agent_channel(login)
        if await presence.present(channel):
            return Tabs(connected=True)
        left = await presence.last_left(channel)
        return Tabs(False, left.at, left.code) if left is not None else Tabs(connected=False)

    return ask


def tabs_of(connected: Callable[[str], Awaitable[bool]]) -> AskTabs:
    """Of a server that knows who is connected to a channel, and nothing of who was."""

    async def ask(login: str) -> Tabs:
        return Tabs(await connected(agent_channel(login)))

    return ask
