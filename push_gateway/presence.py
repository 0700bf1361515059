"""This process' clients in the presence of their channels: written when they come and go, prolonged while they stay."""

import asyncio
import contextlib
import math
from collections.abc import Mapping

from redis.exceptions import RedisError

from push_gateway.channels import announces
from shared.presence import PRESENT_SECONDS, Moved, Presence

# Everybody is prolonged once in this time, a few at each tick, so that no moment carries the whole load.
PROLONG_SECONDS = PRESENT_SECONDS / 3
TICKS = 100
# Channels in a round trip, and clients in a command: below a millisecond of Redis, so that a ring does not wait for it.
CHANNELS_AT_ONCE = 32
CLIENTS_AT_ONCE = 64
# A Redis that hangs is tried again; so is one that is away.
TELL_SECONDS = 3.0
RETRY_SECONDS = 1.0
# A gateway that ends says goodbye for its clients if that goes quickly; else they vanish by themselves.
GOODBYE_SECONDS = 1.0

_Who = tuple[str, str]


class PresenceKeeper:
    """Run `run` as a task for as long as the gateway lives; `close` after its end. `enter` and `leave` never wait."""

    def __init__(self, presence: Presence, prolong_seconds: float = PROLONG_SECONDS) -> None:
        self._presence = presence
        self._tick = prolong_seconds / TICKS
        self._here: dict[str, dict[str, str]] = {}
        # What Redis has not been told yet, newest wins: (channel, client) -> (login, is it here?).
        self._untold: dict[tuple[str, str], tuple[str, bool]] = {}
        # The close code of who left a channel last.
        self._codes: dict[str, int] = {}
        # Who is still to be prolonged in this round, (channel, client); how many at each tick, and the ticks left.
        self._round: list[tuple[str, str]] = []
        self._at_each_tick = 0
        self._ticks_left = 0
        self._wake = asyncio.Event()

    def enter(self, channel: str, client: str, login: str) -> None:
        self._here.setdefault(channel, {})[client] = login
        self._untold[channel, client] = (login, True)
        self._wake.set()

    def leave(self, channel: str, client: str, code: int = 0) -> None:
        """`code`: with which the connection was closed; 0 if it went by itself."""
        clients = self._here.get(channel, {})
        login = clients.pop(client, None)
        if login is None:
            return
        if not clients:
            del self._here[channel]
        self._untold[channel, client] = (login, False)
        self._codes[channel] = code
        self._wake.set()

    async def run(self) -> None:
        """Never returns. While Redis is away what happened is kept, and told when it is back."""
        loop = asyncio.get_running_loop()
        next_tick = loop.time() + self._tick
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick):
                    await self._wake.wait()
            self._wake.clear()
            if loop.time() >= next_tick:
                next_tick = loop.time() + self._tick
                self._prolong_some()
            try:
                await self._tell()
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Tell who has left, if Redis listens."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._tell()

    def _prolong_some(self) -> None:
        if not self._ticks_left:
            self._round = [(channel, client) for channel, clients in self._here.items() for client in clients]
            self._at_each_tick = math.ceil(len(self._round) / TICKS)
            self._ticks_left = TICKS
        self._ticks_left -= 1
        for _ in range(min(self._at_each_tick, len(self._round))):
            channel, client = self._round.pop()
            login = self._here.get(channel, {}).get(client)
            if login is not None:
                self._untold.setdefault((channel, client), (login, True))

    async def _tell(self) -> None:
        """Everything, once. What Redis does not take is put behind the rest, which does not wait for it."""
        later: dict[tuple[str, str], tuple[str, bool]] = {}
        try:
            while self._untold:
                moves = failed = _moves(self._untold, self._codes)
                try:
                    async with asyncio.timeout(TELL_SECONDS):
                        failed = await self._presence.tell(moves)
                finally:
                    for moved in moves:
                        self._done(moved, later if moved in failed else None)
        finally:
            for who, what in later.items():
                self._untold.setdefault(who, what)  # if nothing newer has happened
        if not later:
            self._codes.clear()

    def _done(self, moved: Moved, later: dict[tuple[str, str], tuple[str, bool]] | None) -> None:
        """It need not be told any more, or only later."""
        said = [(who, True) for who in moved.here] + [(who, False) for who in moved.left]
        for (client, login), here in said:
            who = (moved.channel, client)
            # What changed while it was being told is told again.
            if self._untold.get(who) == (login, here):
                del self._untold[who]
                if later is not None:
                    later[who] = (login, here)


def _moves(untold: Mapping[tuple[str, str], tuple[str, bool]], codes: Mapping[str, int]) -> list[Moved]:
    """The first of them, by channel: at most `CHANNELS_AT_ONCE`, and `CLIENTS_AT_ONCE` in each."""
    channels: dict[str, tuple[list[_Who], list[_Who]]] = {}
    for (channel, client), (login, is_here) in untold.items():
        if channel not in channels and len(channels) == CHANNELS_AT_ONCE:
            break
        here, left = channels.setdefault(channel, ([], []))
        (here if is_here else left).append((client, login))
        if len(here) + len(left) == CLIENTS_AT_ONCE:
            break
    return [
        Moved(channel, announces(channel), here, left, codes.get(channel, 0))
        for channel, (here, left) in channels.items()
    ]
