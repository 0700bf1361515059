"""Five thousand tabs on one gateway: how long a card takes, what a tab costs, how fast a board reaches everybody.

Each figure is taken beside something of the same machine in the same run, in turns: a bare uvicorn WebSocket that only
echoes, a server that only writes frames built before, socket.io (npm, where Node is), and Centrifugo (where its command
is). A card is 3 kB. Ours, socket.io and Centrifugo get it through the same Valkey; the echo gets it from the tab
itself, has neither publisher nor broker, and is what nobody can reach.

    python -m bench.push --tabs 1000
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic_ns

from redis.asyncio import Redis

from bench.push_servers import Server, card_of, centrifugo, echo, gateway, raw, run, socketio
from bench.table import Row, percentile, show
from services.embedded import EmbeddedValkey

TABS = 5000
PUSHES_PER_SECOND = 200
# In turns of so long, the middle of so many counts.
TURN_SECONDS = 3.0
TURNS = 5
# Boards of one turn: 5,000 tabs make 50,000 messages of it.
BOARDS = 10
# What is on its way still when a turn ends has come by then, or never will.
_LAST_SECONDS = 10.0
TARGET_ECHO = 1.5
TARGET_KB = 40.0
TARGET_BROADCAST = 0.35
TARGET_STALLED = 1.1
STALLED_AMONG = 1000
# It gets so much so many times a second: its queue is full within seconds.
_TO_THE_STALLED = 100
_NOTE = b'{"type":"notice","text":"%s"}' % (b"x" * 12_000)
# Nothing else is as easily drowned by what the machine does besides: the ninety-ninth of a hundred, twice.
STALLED_TURNS = 9


class Numbers:
    """Each card has its own number in a run."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        self._next += 1
        return self._next


async def pushes(server: Server, tabs: range, numbers: Numbers, seconds: float = TURN_SECONDS) -> list[float]:
    """Milliseconds of each card, from its sender to its tab, at `PUSHES_PER_SECOND` to tabs at random."""
    assert server.push is not None
    loop, dice = asyncio.get_running_loop(), random.Random(7)
    sent: dict[str, int] = {}
    under_way: list[asyncio.Future[None]] = []
    # Made before: the making of the next one would hold up the sending of each.
    cards = []
    for _ in range(int(seconds * PUSHES_PER_SECOND)):
        tab, number = dice.choice(tabs), numbers.take()
        cards.append((tab, number, card_of(tab, number)))
    began = loop.time()
    for turn, (tab, number, card) in enumerate(cards):
        await asyncio.sleep(max(0.0, began + turn / PUSHES_PER_SECOND - loop.time()))
        sent[str(number)] = monotonic_ns()
        under_way.append(asyncio.ensure_future(server.push(tab, card)))
    await asyncio.gather(*under_way)
    end = loop.time() + _LAST_SECONDS
    while missing := sent.keys() - server.seen.keys():
        if loop.time() > end:
            raise SystemExit(
                f"{len(missing)} of {len(sent)} cards never came ({server.name}): no measurement"
            )
        await asyncio.sleep(0.05)
    return [(server.seen[number] - at) / 1e6 for number, at in sent.items()]


async def boards(server: Server) -> float:
    """Messages a second, when everybody gets one board after the other."""
    assert server.broadcast is not None
    began = monotonic_ns()
    for _ in range(BOARDS):
        goal = server.board.count + len(server.tabs)
        await server.broadcast()
        end = asyncio.get_running_loop().time() + _LAST_SECONDS
        while (missing := goal - server.board.count) > 0:
            if asyncio.get_running_loop().time() > end:
                closed = sum(tab.transport.is_closing() for tab in server.tabs)
                raise SystemExit(f"{missing} boards never came ({server.name}; {closed} tabs closed)")
            await asyncio.sleep(0.001)
    return BOARDS * len(server.tabs) / ((monotonic_ns() - began) / 1e9)


async def beside_echo(ours: Server, floor: Server, numbers: Numbers) -> list[Row]:
    here, there = await _turns(ours, floor, numbers)
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        mine, its = _middle(here, share), _middle(there, share)
        rows.append(
            Row(
                f"card → tab, {len(ours.tabs)} tabs, {PUSHES_PER_SECOND}/s, {name}",
                f"{mine:.2f} ms",
                f"{floor.name}: {its:.2f} ms",
                mine / its,
                f"≤ {TARGET_ECHO}× echo",
                mine / its <= TARGET_ECHO,
            )
        )
    return rows


async def _turns(
    ours: Server, other: Server, numbers: Numbers
) -> tuple[list[list[float]], list[list[float]]]:
    here, there = [], []
    everybody = range(len(ours.tabs))
    for _ in range(TURNS):
        there.append(await pushes(other, everybody, numbers))
        here.append(await pushes(ours, everybody, numbers))
    return here, there


def _middle(turns: Sequence[Sequence[float]], share: float) -> float:
    return median(percentile(turn, share) for turn in turns)


async def beside_raw(ours: Server, floor: Server) -> Row:
    here, there = [], []
    for _ in range(TURNS):
        there.append(await boards(floor))
        here.append(await boards(ours))
    mine, its = median(here), median(there)
    return Row(
        f"a board → {len(ours.tabs)} tabs",
        f"{mine:,.0f} messages/s",
        f"{floor.name}: {its:,.0f}/s",
        mine / its,
        f"≥ {TARGET_BROADCAST}× frames built before",
        mine / its >= TARGET_BROADCAST,
    )


def memory(server: Server, kb: float) -> Row:
    return Row(
        "memory of a tab",
        f"{kb:.1f} kB",
        f"{TARGET_KB:.0f} kB",
        kb / TARGET_KB,
        f"≤ {TARGET_KB:.0f} kB",
        kb <= TARGET_KB,
    )


async def stalled(server: Server, numbers: Numbers) -> Row:
    """One more tab that gets half as many messages as all others together, larger ones: reads them, or stops."""
    others, victim = range(len(server.tabs) - 1), len(server.tabs) - 1
    figures: dict[bool, list[list[float]]] = {True: [], False: []}
    for turn in range(2 * STALLED_TURNS):
        reads = turn % 2 == 0
        tab = server.tabs[victim]
        if tab.transport.is_closing():
            server.tabs.pop()
            tab = await server.reopen(victim)
        if not reads:
            tab.transport.pause_reading()
        enough = asyncio.Event()
        flood = asyncio.create_task(_flood(server, victim, enough))
        figures[reads].append(await pushes(server, others, numbers))
        enough.set()
        await flood
        if not reads:
            tab.transport.abort()
    mine, its = _middle(figures[False], 0.99), _middle(figures[True], 0.99)
    return Row(
        f"p99 of {len(others)} tabs, one more has stalled",
        f"{mine:.2f} ms",
        f"it reads: {its:.2f} ms",
        mine / its,
        f"≤ {TARGET_STALLED}×",
        mine / its <= TARGET_STALLED,
    )


async def _flood(server: Server, tab: int, enough: asyncio.Event) -> None:
    """What no newer message takes the place of."""
    assert server.note is not None
    while not enough.is_set():
        await server.note(tab, _NOTE)
        await asyncio.sleep(1 / _TO_THE_STALLED)


def _say(what: str) -> None:
    print(f"  … {what}", file=sys.stderr, flush=True)


async def beside(ours: Server, other: Server, kb: float, numbers: Numbers) -> list[Row]:
    """Shown, not judged: socket.io does less (nothing is kept, nothing recovered), Centrifugo is Go on all cores."""
    its_kb = await other.open(len(ours.tabs))
    here, there = await _turns(ours, other, numbers)
    rows = [Row("memory of a tab", f"{kb:.1f} kB", f"{other.name}: {its_kb:.1f} kB", kb / its_kb, "", True)]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        mine, its = _middle(here, share), _middle(there, share)
        rows.append(
            Row(f"card → tab, {name}", f"{mine:.2f} ms", f"{other.name}: {its:.2f} ms", mine / its, "", True)
        )
    speeds = [(await boards(ours), await boards(other)) for _ in range(TURNS)]
    mine, its = median(a for a, _ in speeds), median(b for _, b in speeds)
    rows.append(
        Row("a board → all", f"{mine:,.0f} messages/s", f"{other.name}: {its:,.0f}/s", mine / its, "", True)
    )
    return rows


async def measure(tabs: int, folder: Path, valkey: EmbeddedValkey) -> list[Row]:
    numbers = Numbers()
    rows: list[Row] = []
    async with Redis.from_url(valkey.url) as redis:
        ours = await gateway(redis, valkey.url, folder)
        floor = await echo(folder)
        frames = await raw(folder)
        servers = [ours, floor, frames]
        try:
            _say(f"{tabs} tabs connect, twice")
            kb = await ours.open(tabs)
            await floor.open(tabs)
            _say("cards, beside the echo")
            rows += await beside_echo(ours, floor, numbers)
            await floor.close()
            rows.append(memory(ours, kb))
            _say("boards, beside frames built before")
            await frames.open(tabs)
            rows.append(await beside_raw(ours, frames))
            await frames.close()
            for start in (socketio, centrifugo):
                other = await start(redis, valkey.url, folder)
                if other is not None:
                    _say(f"the same, beside {other.name}")
                    servers.append(other)
                    rows += await beside(ours, other, kb, numbers)
                    await other.close()
        finally:
            for server in servers:
                await server.close()
        few = await gateway(redis, valkey.url, folder)
        try:
            _say("cards, while one tab does not read")
            await few.open(min(tabs, STALLED_AMONG) + 1)
            rows.append(await stalled(few, numbers))
        finally:
            await few.close()
    return rows


def main() -> int:
    return 0 if show(run(__doc__, TABS, measure)) else 1


if __name__ == "__main__":
    sys.exit(main())
