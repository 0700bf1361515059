"""This process' clients in the presence of their channels: written when they come and go, prolonged while they stay."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping

from redis.exceptions import RedisError

from push_gateway.channels import announces
from shared.presence import PRESENT_SECONDS, Moved, Presence

# Everybody is prolonged once in this time, a few at each tick, so that no ring waits for it: with 5,000 tabs sixteen.
PROLONG_SECONDS = PRESENT_SECONDS / 3
TICKS = 320
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
        self._prolong_seconds = prolong_seconds
        self._here: dict[str, dict[str, str]] = {}
        # What Redis has not been told yet, newest wins: (channel, client) -> (login, is it here?).
        self._untold: dict[tuple[str, str], tuple[str, bool]] = {}
        # The close code of who left a channel last.
        self._codes: dict[str, int] = {}
        # Who is still to be prolonged in this round, a channel and some of its clients each. It is fixed when the round
        # begins: who comes later was told when he came, and the pace is that of a known number.
        self._round: deque[tuple[str, ...]] = deque()
        self._in_round = self._prolonged = 0
        self._round_began = float("-inf")
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
        next_tick = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick):
                    await self._wake.wait()
            self._wake.clear()
            failed = False
            try:
                await self._tell()
            except (RedisError, OSError):
                failed = True
            try:  # one does not wait for the other: in a cluster a node may hang
                if loop.time() >= next_tick:
                    behind = await self._prolong_some(loop.time())
                    pause = self._prolong_seconds / max(1, min(TICKS, self._in_round))
                    next_tick = loop.time() + (0 if behind else pause)
            except (RedisError, OSError):
                failed = True
            if failed:
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Tell who has left, if Redis listens."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._tell()

    async def _prolong_some(self, now: float) -> bool:
        """As many as the clock has come to, or as one round trip takes: then True, others wait. What is not as Redis
        has it, or not taken by it, is told like what is new."""
        moves = self._due(now)
        failed = moves
        try:
            async with asyncio.timeout(TELL_SECONDS):
                failed = await self._presence.prolong(moves)
        finally:
            for moved in failed:
                for client, login in moved.here:
                    self._untold.setdefault((moved.channel, client), (login, True))
        return bool(self._round) and self._prolonged <= self._due_by(now)

    def _due(self, now: float) -> list[Moved]:
        if not self._round and now - self._round_began >= self._prolong_seconds:
            self._round.extend(self._everybody())
            self._round_began, self._prolonged = now, 0
            self._in_round = sum(len(some) - 1 for some in self._round)
        moves: list[Moved] = []
        clients = 0
        while self._round and self._prolonged <= self._due_by(now):
            if len(moves) == CHANNELS_AT_ONCE or (moves and clients + len(self._round[0]) > CLIENTS_AT_ONCE):
                break
            channel, *some = self._round.popleft()
            self._prolonged += len(some)
            clients += len(some)
            here = self._here.get(channel, {})
            still = [(client, here[client]) for client in some if client in here]
            if still:
                moves.append(Moved(channel, announces(channel), still))
        return moves

    def _due_by(self, now: float) -> float:
        return self._in_round * (now - self._round_began) / self._prolong_seconds

    def _everybody(self) -> Iterator[tuple[str, ...]]:
        """Each channel with its clients, so many at once as a command takes."""
        for channel, clients in self._here.items():
            everybody = tuple(clients)
            for start in range(0, len(everybody), CLIENTS_AT_ONCE):
                yield channel, *everybody[start : start + CLIENTS_AT_ONCE]

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
