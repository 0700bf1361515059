"""Who listens to a push channel, kept in Redis with a time-out, so that every gateway process says the same.

A channel's presence is one sorted set beside its other keys: `<client> <login>` -> milliseconds since 1970 after which
the client counts as gone. The process that has the client's connection prolongs it; when the process is killed nobody
does, and its clients vanish. The clock of the Redis that has the channel alone decides, so those of the machines do not
matter.

In a channel that announces, `+ <client> <login>` and `- <client> <login>` are published on the channel's bus name, and
who left last is remembered for a day: `<milliseconds since 1970> <close code>`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.cluster import ClusterRedis
from shared.cluster_link import link_to
from shared.link import Argument, Command
from shared.push import bus_name
from shared.script import Script, run_each, run_scripts

# As Centrifugo. Twice a prolongation may fail before a living client vanishes.
PRESENT_SECONDS = 60.0

# Longer than a shift: why nobody saw a call of this morning.
LEFT_SECONDS = 24 * 3600

# ARGV: bus name ('' = nobody is told), milliseconds to live, close code of who left last, seconds to remember that,
#       number of those who are here, these, those who left.
_TELL = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function say(what, who)
  if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], what .. ' ' .. who) end
end
local here, gone = tonumber(ARGV[5]), nil
for i = 6, #ARGV do
  if i < 6 + here then
    if redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[i]) == 1 then say('+', ARGV[i]) end
  elseif redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    say('-', ARGV[i])
    gone = ARGV[3]
  end
end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do
  redis.call('ZREM', KEYS[1], who)
  say('-', who)
  gone = gone or '0'
end
if gone and ARGV[1] ~= '' then
  redis.call('SET', KEYS[2], string.format('%.0f %s', now, gone), 'EX', ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

_PRESENT = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
""")


@dataclass(frozen=True, slots=True)
class Moved:
    """Who came into a channel (or is still there) and who left it: (client, login) each. `code`: the WebSocket close
    code of the one who left last, 0 if it went by itself."""

    channel: str
    announce: bool
    here: Sequence[tuple[str, str]] = field(default=())
    left: Sequence[tuple[str, str]] = field(default=())
    code: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """When the last client left a channel, and with which WebSocket close code; 0: it went by itself, or vanished."""

    at: datetime
    code: int


class Presence:
    """Reads and writes presence. Every method raises `redis.RedisError` when Redis is away; again is safe."""

    def __init__(self, redis: Redis, seconds: float = PRESENT_SECONDS) -> None:
        self._link = link_to(redis)
        self._milliseconds = int(seconds * 1000)
        # The nodes of a cluster have a clock each.
        self._one_clock = not isinstance(redis, ClusterRedis)
        # Redis' clock less ours that nobody sets, in milliseconds; None until it was read.
        self._clock_ahead: float | None = None

    async def tell(self, moves: Sequence[Moved]) -> list[Moved]:
        """Write what happened in several channels, in one round trip. Returns what could not be written: in a cluster
        some of the channels may be away. Raises RedisError if all are."""
        answers = await run_each(self._link, [_TELL], [self._command(moved) for moved in moves])
        failures = [answer for answer in answers if isinstance(answer, RedisError)]
        if failures and len(failures) == len(moves):
            raise failures[0]
        return [moved for moved, answer in zip(moves, answers, strict=True) if isinstance(answer, RedisError)]

    async def prolong(self, stays: Sequence[Moved]) -> list[Moved]:
        """Keep `here` of several channels for as long again, in one round trip. Returns what has to be told instead,
        because it is not so simple: who had vanished, channels with somebody whose time is over, what could not be
        written.

        Plain commands with one Redis: `tell` runs a script for each channel, and a ring would wait for dozens of them.
        """
        if not self._one_clock:
            return await self.tell(stays)
        ahead, ours = self._clock_ahead, time.monotonic() * 1000
        commands: list[Command] = [("TIME",)]
        if ahead is not None:
            for moved in stays:
                commands += self._prolong_commands(moved, int(ours + ahead))
        (now, *answers) = await self._link.call_all(commands)
        if not isinstance(now, RedisError):
            self._clock_ahead = int(now[0]) * 1000 + int(now[1]) / 1000 - ours
        if ahead is None:
            return list(stays)
        return [
            moved for at, moved in enumerate(stays) if answers[3 * at : 3 * at + 3] != [len(moved.here), 0, 1]
        ]

    def _prolong_commands(self, moved: Moved, now: int) -> tuple[Command, Command, Command]:
        key = presence_key(moved.channel)
        who: list[Argument] = []
        for client, login in moved.here:
            who += (now + self._milliseconds, f"{client} {login}")
        # Answered by how many were there (their time is another one now), how many should be gone, and 1.
        return (
            ("ZADD", key, "XX", "CH", *who),
            ("ZCOUNT", key, "-inf", now),
            ("PEXPIRE", key, self._milliseconds),
        )

    async def present(self, channel: str) -> dict[str, str]:
        """Who is in the channel: clients (one a tab) and their logins."""
        (found,) = await run_scripts(self._link, [_PRESENT], [_PRESENT.command([presence_key(channel)])])
        pairs = (who.decode().partition(" ") for who in found)
        return {client: login for client, _, login in pairs}

    async def last_left(self, channel: str) -> Left | None:
        """Who left a channel that announces last; None if nobody did within a day."""
        raw = await self._link.call("GET", left_key(channel))
        if raw is None:
            return None
        at, _, code = raw.decode().partition(" ")
        return Left(datetime.fromtimestamp(int(at) / 1000, UTC), int(code))

    def _command(self, moved: Moved) -> Command:
        bus = bus_name(moved.channel) if moved.announce else ""
        who = [f"{client} {login}" for some in (moved.here, moved.left) for client, login in some]
        keys = (presence_key(moved.channel), left_key(moved.channel))
        return _TELL.command(keys, bus, self._milliseconds, moved.code, LEFT_SECONDS, len(moved.here), *who)


def presence_key(channel: str) -> str:
    """Sorted set: `<client> <login>` -> when it ends, in milliseconds since 1970."""
    return f"{bus_name(channel)}:presence"


def left_key(channel: str) -> str:
    """String: who left last, `<milliseconds since 1970> <close code>`."""
    return f"{bus_name(channel)}:left"


def parse_presence(payload: bytes) -> tuple[str, str, str] | None:
    """('join' | 'leave', client, login) of a message of the bus; None if it is none about presence."""
    if payload[:2] not in (b"+ ", b"- "):
        return None
    client, _, login = payload[2:].decode().partition(" ")
    return ("join" if payload[:1] == b"+" else "leave"), client, login
