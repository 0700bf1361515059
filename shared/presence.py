"""Who listens to a push channel, kept in Redis with a time-out, so that every gateway process says the same.

A channel's presence is one sorted set beside its other keys: `<client> <login>` -> milliseconds since 1970 after which
the client counts as gone. The process that has the client's connection prolongs it; when the process is killed nobody
does, and its clients vanish. Redis' clock alone decides, so the clocks of the machines do not matter.

In a channel that announces, `+ <client> <login>` and `- <client> <login>` are published on the channel's bus name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from shared.link import Command, RedisLink
from shared.push import bus_name

# Twice a prolongation may fail before a living client vanishes.
PRESENT_SECONDS = 30.0

# ARGV: bus name ('' = nobody is told), milliseconds to live, number of those who are here, these, those who left.
_TELL = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function say(what, who)
  if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], what .. ' ' .. who) end
end
local here = tonumber(ARGV[3])
for i = 4, #ARGV do
  if i < 4 + here then
    if redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[i]) == 1 then say('+', ARGV[i]) end
  elseif redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    say('-', ARGV[i])
  end
end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do
  redis.call('ZREM', KEYS[1], who)
  say('-', who)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_PRESENT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """Who came into a channel (or is still there) and who left it: (client, login) each."""

    channel: str
    announce: bool
    here: Sequence[tuple[str, str]] = field(default=())
    left: Sequence[tuple[str, str]] = field(default=())


class Presence:
    """Reads and writes presence. Every method raises `redis.RedisError` when Redis is away; again is safe."""

    def __init__(self, redis: Redis, seconds: float = PRESENT_SECONDS) -> None:
        self._link = RedisLink(redis)
        self._tell_sha = redis.register_script(_TELL).sha
        self._present = redis.register_script(_PRESENT)
        self._milliseconds = int(seconds * 1000)

    async def tell(self, moves: Sequence[Moved]) -> None:
        """Write what happened in several channels, in one round trip."""
        commands: list[Command] = [("EVALSHA", self._tell_sha, *self._arguments(moved)) for moved in moves]
        answers = await self._link.call_all(commands)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._link.call("SCRIPT", "LOAD", _TELL)
            answers = await self._link.call_all(commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer

    async def present(self, channel: str) -> dict[str, str]:
        """Who is in the channel: clients (one a tab) and their logins."""
        found = await self._present(keys=[presence_key(channel)], args=[])
        pairs = (who.decode().partition(" ") for who in found)
        return {client: login for client, _, login in pairs}

    def _arguments(self, moved: Moved) -> Command:
        bus = bus_name(moved.channel) if moved.announce else ""
        who = [f"{client} {login}" for client, login in (*moved.here, *moved.left)]
        return (1, presence_key(moved.channel), bus, self._milliseconds, len(moved.here), *who)


def presence_key(channel: str) -> str:
    """Sorted set: `<client> <login>` -> when it ends, in milliseconds since 1970."""
    return f"{bus_name(channel)}:presence"


def parse_presence(payload: bytes) -> tuple[str, str, str] | None:
    """('join' | 'leave', client, login) of a message of the bus; None if it is none about presence."""
    if payload[:2] not in (b"+ ", b"- "):
        return None
    client, _, login = payload[2:].decode().partition(" ")
    return ("join" if payload[:1] == b"+" else "leave"), client, login
