"""Who speaks for a PBX: of all listeners that follow it, the one that holds its lease in Redis.

All of them follow and track. One publishes; the others stand by, and the first to find the lease free takes it. Each
taking gets a fence, a number that only grows; whatever is written names it, and Redis refuses what names an old one.
So a listener that was paused or cut off cannot say anything any more once another has taken over, whatever it believes.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from enum import StrEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener.clock import Clock, SystemClock
from shared import bus
from shared.cluster_link import link_to
from shared.observability import logger
from shared.script import Script, run_scripts

# A kill -9 of the speaker must be over within three seconds; two leave one for noticing and taking over, and are far
# longer than a busy machine keeps a process waiting.
LEASE_SECONDS = 2.0
# Renewed eight times before it would end; a standby finds it free at most this much later.
LOOK_SECONDS = 0.25
# An answer that comes later than this would be of no use: the lease would be over before the next one.
_ANSWER_SECONDS = 1.0

# KEYS: lease, fence. ARGV: owner, milliseconds, does it see the PBX (1 or 0).
# Returns {mine (1 or 0), fence}. A holder without a link to the PBX makes way for one that has it.
_TAKE = Script("""
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'seeing')
local fence = held[2]
if held[1] ~= ARGV[1] then
  if held[1] and not (held[3] == '0' and ARGV[3] == '1') then return {0, fence} end
  -- Above every one before, also if Redis has forgotten which that was.
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  fence = string.format('%.0f', math.max((redis.call('GET', KEYS[2]) or 0) + 1, now))
  redis.call('SET', KEYS[2], fence)
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', fence, 'token', fence .. ':' .. ARGV[1])
end
redis.call('HSET', KEYS[1], 'seeing', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, fence}
""")

# KEYS: lease. ARGV: owner.
_RELEASE = Script("""
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")


class Standing(StrEnum):
    """What a listener is for a PBX. `unknown`: Redis did not say yet, or its lease has just been refused."""

    UNKNOWN = "unknown"
    SPEAKER = "speaker"
    STANDBY = "standby"


class Lease:
    """The lease of one PBX as this listener knows it. For commands: do one only while `held`, and name `fence`.

    fence: number of the present taking, None if this listener holds no lease. token: what a write must name.
    seeing: has this listener a link to the PBX? Set it by whoever knows.
    answered_at: when Redis last said who holds it, by the monotonic clock.
    """

    def __init__(self, pbx: str, owner: str | None = None, clock: Clock | None = None) -> None:
        self.pbx = pbx
        self.owner = owner or secrets.token_hex(8)
        self.standing = Standing.UNKNOWN
        self.fence: int | None = None
        self.seeing = False
        self.answered_at: float | None = None
        self._clock = clock or SystemClock()
        self._until = 0.0

    @property
    def held(self) -> bool:
        """Is it ours at this moment? False as well when Redis has not confirmed it in time."""
        return self.fence is not None and self._clock.monotonic() < self._until

    @property
    def token(self) -> str:
        return f"{self.fence}:{self.owner}"

    def confirmed(self, fence: int, asked_at: float) -> bool:
        """Redis says that it is ours; True if that is a new taking."""
        taken = fence != self.fence or self.standing is not Standing.SPEAKER
        self.fence, self.standing, self.answered_at = fence, Standing.SPEAKER, asked_at
        self._until = asked_at + LEASE_SECONDS
        return taken

    def denied(self, asked_at: float) -> bool:
        """Redis says that another listener has it; True if that is news."""
        news = self.standing is not Standing.STANDBY
        self.fence, self.standing, self.answered_at = None, Standing.STANDBY, asked_at
        return news

    def refused(self) -> None:
        """A write named our token and Redis did not take it: until it says who speaks, nobody knows."""
        self.fence, self.standing = None, Standing.UNKNOWN


class LeaseKeeper:
    """Takes and renews leases. `run()` until cancelled, then `release()`.

    on_taken, on_denied: told when this listener becomes the speaker for a PBX, and when another one is.
    """

    def __init__(
        self,
        redis: Redis,
        leases: Iterable[Lease],
        *,
        on_taken: Callable[[Lease], None],
        on_denied: Callable[[Lease], None],
        clock: Clock | None = None,
    ) -> None:
        self._leases = list(leases)
        self._link = link_to(redis)
        self._on_taken = on_taken
        self._on_denied = on_denied
        self._clock = clock or SystemClock()
        self._log = logger("lease")
        self._wake = asyncio.Event()
        self._answers = True

    def look(self) -> None:
        """Ask Redis at once who speaks: a link came up or went, or a write was refused."""
        self._wake.set()

    async def run(self) -> None:
        """Errors of Redis are waited out here and reach nobody."""
        while True:
            self._wake.clear()
            try:
                await self._ask()
            except (RedisError, OSError, TimeoutError) as error:
                if self._answers:
                    self._log.warning(
                        "Redis does not say who speaks for a PBX", reason=str(error) or type(error).__name__
                    )
                self._answers = False
            else:
                self._answers = True
            await self._pause()

    async def release(self, seconds: float) -> None:
        """Give back what is held, so that a standby need not wait for its end."""
        held = [lease for lease in self._leases if lease.fence is not None]
        commands = [_RELEASE.command([bus.lease_key(lease.pbx)], lease.owner) for lease in held]
        for lease in held:
            lease.refused()
        try:
            async with asyncio.timeout(seconds):
                await run_scripts(self._link, [_RELEASE], commands)
        except (RedisError, OSError, TimeoutError):
            pass  # it ends by itself

    async def _ask(self) -> None:
        asked_at = self._clock.monotonic()
        commands = [
            _TAKE.command(
                [bus.lease_key(lease.pbx), bus.fence_key(lease.pbx)],
                lease.owner,
                int(LEASE_SECONDS * 1000),
                int(lease.seeing),
            )
            for lease in self._leases
        ]
        async with asyncio.timeout(_ANSWER_SECONDS):
            answers = await run_scripts(self._link, [_TAKE], commands)
        for lease, (mine, fence) in zip(self._leases, answers, strict=True):
            if mine:
                if lease.confirmed(int(fence), asked_at):
                    self._log.info("this listener speaks for the PBX", pbx=lease.pbx, fence=lease.fence)
                    self._on_taken(lease)
            elif lease.denied(asked_at):
                self._log.info("another listener speaks for the PBX; this one stands by", pbx=lease.pbx)
                self._on_denied(lease)

    async def _pause(self) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(LOOK_SECONDS))
        wake = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleep, wake), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
