"""Two gateways, two thousand tabs, cards all the time; then one gateway is killed, and later Redis.

Every tab must come back with the cards of its agent. A tab does what centrifuge-js does: after a loss it waits a random
part of 200 ms, 400 ms, … and asks for what it missed; here it goes to the other gateway, as behind a balancer. Printed
is how long the tabs that were cut off were without their cards, and whether in the end each shows what its desk holds.

    python -m bench.push_drill --tabs 2000
"""

import asyncio
import random
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.push_servers import SECRET, card_of, gateway, login_of, run
from bench.tab import masked
from bench.table import percentile
from services.embedded import EmbeddedValkey
from shared.contracts.card import Card, CardState, CloseReason
from shared.push import DeskReader, PushPublisher
from shared.security import issue_token

TABS = 2000
CARDS_PER_SECOND = 200
# centrifuge-js: full jitter from 200 ms, doubled each time, at most 20 s.
_BACKOFF_SECONDS, _MOST_SECONDS = 0.2, 20.0
# Before and after each blow.
_QUIET_SECONDS = 3.0
# Everybody is back long before, or never.
_BACK_SECONDS = 60.0


class Screen(asyncio.Protocol):
    """A tab that shows cards: the highest rev of each call, as PUSH documents it. It comes back by itself."""

    def __init__(self, number: int, ports: tuple[int, ...]) -> None:
        self.login = login_of(number)
        self.ports = ports
        self.at = number % len(ports)
        self.cards: dict[str, tuple[int, str]] = {}
        self.lost_at: float | None = None
        self.away: list[float] = []
        self.back = asyncio.Event()
        self.repeats = 0
        self._position: tuple[str, int] | None = None
        self._tries = 0
        self._closed = False
        self._rest = b""
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self.ports[self.at])
        except OSError:
            self._later()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upgraded, self._rest = False, b""
        self._transport.write(
            b"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._upgraded:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._transport.close()
                return
            self._upgraded, self._rest = True, rest
            self._transport.write(masked(self._hello()))
        for frame in self._frames():
            for line in frame.split(b"\n"):
                self._hear(orjson.loads(line))

    def _hello(self) -> bytes:
        now = datetime.now(UTC)
        connect: dict[str, Any] = {"token": issue_token(SECRET, self.login, "agent", now, timedelta(hours=1))}
        if self._position is not None:
            epoch, offset = self._position
            connect["subs"] = {f"agent:{self.login}": {"recover": True, "epoch": epoch, "offset": offset}}
        return orjson.dumps({"id": 1, "connect": connect})

    def _frames(self) -> Iterable[bytes]:
        while len(self._rest) >= 2:
            size, head = self._rest[1], 2
            if size == 126:
                size, head = int.from_bytes(self._rest[2:4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(self._rest[2:10], "big"), 10
            if len(self._rest) < head + size:
                return
            opcode, frame = self._rest[0] & 0xF, self._rest[head : head + size]
            self._rest = self._rest[head + size :]
            if opcode == 8:
                self._transport.close()
                return
            yield frame

    def _hear(self, message: dict[str, Any]) -> None:
        if not message:
            self._transport.write(masked(b"{}"))
        elif "connect" in message:
            self._connected(message["connect"])
        elif "error" in message:
            self._transport.close()
        elif "pub" in (push := message.get("push", {})):
            self._publication(push["pub"])

    def _connected(self, reply: dict[str, Any]) -> None:
        sub = reply["subs"][f"agent:{self.login}"]
        if sub["recovered"]:
            for publication in sub["publications"]:
                self._publication(publication)
        else:
            self.cards = {}
        self._position = sub["epoch"], sub["offset"]
        for card in reply["data"]["cards"]:
            self._show(card)
        self._tries = 0
        if self.lost_at is not None:
            self.away.append(monotonic() - self.lost_at)
            self.lost_at = None
        self.back.set()

    def _publication(self, publication: dict[str, Any]) -> None:
        assert self._position is not None
        epoch, offset = self._position
        # Gaps are no fault: of several versions of a card that wait for a slow tab it gets the newest.
        if publication["offset"] <= offset:
            self.repeats += 1
        self._position = epoch, publication["offset"]
        self._show(publication["data"]["card"])

    def _show(self, card: dict[str, Any]) -> None:
        rev, _ = self.cards.get(card["call_id"], (-1, ""))
        if card["rev"] > rev:
            self.cards[card["call_id"]] = card["rev"], card["state"]

    def connection_lost(self, error: Exception | None) -> None:
        if self._closed:
            return
        self.back.clear()
        if self.lost_at is None:
            self.lost_at = monotonic()
        self._later()

    def _later(self) -> None:
        self.at = (self.at + 1) % len(self.ports)
        wait = random.uniform(0, min(_MOST_SECONDS, _BACKOFF_SECONDS * 2**self._tries))
        self._tries += 1
        self._loop.call_later(wait, self._again)

    def _again(self) -> None:
        self._reconnecting = self._loop.create_task(self.connect())

    def close(self) -> None:
        """It does not come back."""
        self._closed = True
        self._transport.close()

    def open_cards(self) -> dict[str, int]:
        return {call: rev for call, (rev, state) in self.cards.items() if state != CardState.CLOSED}


async def traffic(publisher: PushPublisher, tabs: int, stop: asyncio.Event) -> int:
    """Cards ring and close, at random, until it is told to stop. Nothing is given up while Redis is away."""
    dice, number = random.Random(7), 0
    open_now: list[Card] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not stop.is_set():
        number += 1
        if len(open_now) > tabs // 4:
            card = open_now.pop(dice.randrange(len(open_now)))
            card = card.model_copy(
                update={"rev": card.rev + 32, "state": CardState.CLOSED, "close_reason": CloseReason.ENDED}
            )
        else:
            card = card_of(dice.randrange(tabs), number)
            open_now.append(card)
        while True:
            try:
                await publisher.publish_card(card)
                break
            except (RedisError, OSError):
                await asyncio.sleep(0.1)
                began = loop.time() - number / CARDS_PER_SECOND
        await asyncio.sleep(max(0.0, began + number / CARDS_PER_SECOND - loop.time()))
    return number


async def blow(name: str, screens: list[Screen], strike: Callable[[], Any]) -> None:
    """Do the damage, wait until everybody is back, say how long it took."""
    for screen in screens:
        screen.away.clear()
    began = monotonic()
    await strike()
    await asyncio.sleep(0.5)  # who will be cut off has been
    async with asyncio.timeout(_BACK_SECONDS):
        for screen in screens:
            await screen.back.wait()
    away = [seconds for screen in screens for seconds in screen.away]
    shown = (
        f"p50 {percentile(away, 0.5):.2f} s, p99 {percentile(away, 0.99):.2f} s, longest {max(away):.2f} s"
        if away
        else "nobody was cut off"
    )
    print(
        f"{name}: {len(away)} tabs cut off and back: {shown}; all within {monotonic() - began:.1f} s",
        flush=True,
    )
    await asyncio.sleep(_QUIET_SECONDS)


async def compare(redis: Redis, screens: list[Screen]) -> int:
    """How many tabs show something else than their desk holds."""
    reader, wrong = DeskReader(redis), 0
    for screen in screens:
        state = await reader.read(f"agent:{screen.login}")
        desk = {card["call_id"]: card["rev"] for card in map(orjson.loads, state.cards)}
        wrong += desk != screen.open_cards()
    return wrong


async def drill(tabs: int, folder: Path, valkey: EmbeddedValkey) -> int:
    async with Redis.from_url(valkey.url) as redis:
        servers = [await gateway(redis, valkey.url, folder) for _ in range(2)]
        publisher = PushPublisher(redis)
        screens = [Screen(number, tuple(server.port for server in servers)) for number in range(tabs)]
        stop = asyncio.Event()
        try:
            for start in range(0, tabs, 50):
                await asyncio.gather(*(screen.connect() for screen in screens[start : start + 50]))
                await asyncio.gather(*(screen.back.wait() for screen in screens[start : start + 50]))
            sending = asyncio.create_task(traffic(publisher, tabs, stop))
            await asyncio.sleep(_QUIET_SECONDS)

            async def kill_a_gateway() -> None:
                servers[0].process.kill()

            async def restart_redis() -> None:
                await asyncio.to_thread(valkey.kill)
                await asyncio.to_thread(valkey.start)

            await blow("kill -9 of one of two gateways", screens, kill_a_gateway)
            await blow("kill -9 of Redis, started again", screens, restart_redis)
            stop.set()
            cards = await sending
            await asyncio.sleep(_QUIET_SECONDS)
            wrong = await compare(redis, screens)
            repeats = sum(screen.repeats for screen in screens)
        finally:
            for screen in screens:
                screen.close()
            for server in servers:
                await server.close()
    print(
        f"{cards} cards; {wrong} of {tabs} tabs show something else than their desk; {repeats} publications came twice"
    )
    return 1 if wrong or repeats else 0


def main() -> int:
    return run(__doc__, TABS, drill)


if __name__ == "__main__":
    sys.exit(main())
