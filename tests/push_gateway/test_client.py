"""The queue of one client: bounded in bytes, never in the way of anybody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from push_gateway.client import BATCH_BYTES, MOVES_IN_A_ROW, Client, Frame
from push_gateway.codes import SHUTDOWN
from push_gateway.metrics import Metrics
from tests.push_gateway.helpers import until

QUEUE_BYTES = 1024 * 1024


def new_client(socket: Any, metrics: Metrics) -> Client:
    return Client(socket, metrics, QUEUE_BYTES, "client-1")


class SlowSocket:
    """Takes a frame whenever the test lets it; `at_once`: what it took without being waited for."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.at_once: list[bytes] = []
        self.closed: tuple[int, str | None] | None = None
        self.open = asyncio.Event()

    def write_now(self, frame: bytes, /) -> bool:
        if self.open.is_set():
            self.at_once.append(frame)
            self.taken.append(frame[2 if frame[1] < 126 else 4 :].decode())  # behind the length
        return self.open.is_set()

    async def send(self, text: bytes) -> None:
        await self.open.wait()
        self.taken.append(text.decode())

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self.open.wait()
        self.closed = (code, reason)


def queued(metrics: Metrics) -> float:
    value = metrics.registry.get_sample_value("callcard_push_queued_bytes")
    assert value is not None
    return value


async def test_what_waits_is_written_together_and_then_the_close() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = new_client(socket, metrics)
    for text in ("a", "b", "c"):
        client.push_text(text)
    client.close(SHUTDOWN)
    client.push_text("too late")
    socket.open.set()
    await client.write()
    assert socket.taken == ["a\nb\nc"]
    assert socket.closed == (3001, "shutdown")
    assert queued(metrics) == 0


async def test_who_is_cut_off_gets_nothing_of_what_waits() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = new_client(socket, metrics)
    client.push_text("a")
    client.cut(SHUTDOWN)
    socket.open.set()
    await client.write()
    assert (socket.taken, socket.closed) == ([], (3001, "shutdown"))
    assert queued(metrics) == 0


async def test_a_batch_is_bounded() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    big = "x" * (BATCH_BYTES - 10)
    for text in (big, big, "small"):
        client.push_text(text)
    client.close(SHUTDOWN)
    socket.open.set()
    await client.write()
    assert socket.taken == [big, big + "\nsmall"]


async def test_more_than_the_queue_holds_closes_as_slow_and_frees_the_memory() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = new_client(socket, metrics)
    frame = Frame(b"x" * 1000)
    while not client.closing:
        client.push(frame)
        assert queued(metrics) <= QUEUE_BYTES
    assert queued(metrics) == 0
    socket.open.set()
    await client.write()
    assert socket.taken == []
    assert socket.closed == (3008, "slow")


async def test_one_large_frame_always_fits_an_empty_queue() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    client.push(Frame(bytes(2 * QUEUE_BYTES)))
    assert not client.closing


async def test_a_peer_that_has_gone_ends_the_writer() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = new_client(socket, metrics)
    writing = asyncio.create_task(client.write())
    client.stop()
    client.push_text("nobody hears it")
    async with asyncio.timeout(5):
        await writing
    assert socket.closed is None
    assert queued(metrics) == 0


def card(offset: int, call: str, size: int = 0) -> Frame:
    """A publication of a card: what counts of it."""
    return Frame(orjson.dumps({"offset": offset, "call": call}).ljust(size), ("agent:101", call))


async def written(client: Client, socket: SlowSocket) -> list[tuple[int, str]]:
    """Offsets and calls, in the order in which a tab that reads again gets them."""
    client.close(SHUTDOWN)
    socket.open.set()
    await client.write()
    messages = [orjson.loads(line) for frame in socket.taken for line in frame.split("\n")]
    return [(m["offset"], m["call"]) for m in messages]


async def test_a_newer_card_of_a_call_replaces_the_one_that_waits_and_offsets_only_grow() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = new_client(socket, metrics)
    for offset, call in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "b")]:
        client.push(card(offset, call))
    assert queued(metrics) == 3 * card(1, "a").size
    assert metrics.registry.get_sample_value("callcard_push_coalesced_total") == 2
    # Never 3 before 2: the SDK would remember 3, and a drop at that moment would lose b for ever.
    assert await written(client, socket) == [(3, "a"), (4, "c"), (5, "b")]
    assert queued(metrics) == 0


async def test_what_has_no_key_and_other_channels_are_left_alone() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    client.push(card(1, "a"))
    client.push(Frame(b'{"offset":2,"call":"a"}'))
    client.push(Frame(b'{"offset":1,"call":"a"}', ("line:support", "a")))
    client.push(card(3, "a"))
    assert await written(client, socket) == [(2, "a"), (1, "a"), (3, "a")]


async def test_what_is_being_written_is_not_replaced() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    client.push(card(1, "a"))
    writing = asyncio.create_task(client.write())
    await asyncio.sleep(0)  # the writer has it now
    client.push(card(2, "a"))
    client.push(card(3, "a"))
    client.close(SHUTDOWN)
    socket.open.set()
    await writing
    assert [orjson.loads(text)["offset"] for text in socket.taken] == [1, 3]


async def test_a_call_that_changes_all_the_time_is_not_put_off_for_ever() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    client.push(card(1, "a"))
    for offset in range(2, 2 * MOVES_IN_A_ROW + 4):
        client.push(card(offset, "b" if offset % 2 else "a"))
    client.push(card(100, "a"))
    got = await written(client, socket)
    assert [offset for offset, _ in got] == sorted(offset for offset, _ in got)
    assert len([call for _, call in got if call == "a"]) == 2
    assert got[-1] == (100, "a")


async def test_a_stalled_tab_needs_no_more_memory_for_the_same_few_calls_and_is_slow_in_the_end() -> None:
    metrics = Metrics()
    client = new_client(SlowSocket(), metrics)
    pushed = 0
    while not client.closing:
        client.push(card(pushed, f"call-{pushed % 3}", 1000))
        pushed += 1
        assert queued(metrics) <= QUEUE_BYTES
    assert pushed > 4 * QUEUE_BYTES / 1000
    assert queued(metrics) == 0


@contextlib.asynccontextmanager
async def idle_writer(client: Client) -> AsyncIterator[None]:
    writing = asyncio.create_task(client.write())
    await asyncio.sleep(0)  # it has nothing to do
    yield
    client.close(SHUTDOWN)
    await writing


async def test_a_tab_that_takes_what_it_gets_has_it_at_once_and_all_share_one_frame() -> None:
    socket, other = SlowSocket(), SlowSocket()
    socket.open.set()
    other.open.set()
    client, neighbour = new_client(socket, Metrics()), new_client(other, Metrics())
    frame = Frame(b"x" * 300)
    async with idle_writer(client), idle_writer(neighbour):
        client.push(frame)
        neighbour.push(frame)
        # RFC 6455, 5.2: FIN and text, no mask, sixteen bits of length.
        assert socket.at_once == [b"\x81\x7e\x01\x2c" + b"x" * 300]
        assert other.at_once[0] is socket.at_once[0]


async def test_nothing_overtakes_what_waits() -> None:
    socket = SlowSocket()
    client = new_client(socket, Metrics())
    async with idle_writer(client):
        client.push_text("a")
        await asyncio.sleep(0)  # the writer has it, and waits for the peer
        socket.open.set()
        client.push_text("b")
        await until(lambda: len(socket.taken) == 2)
        client.push_text("c")
    assert socket.taken == ["a", "b", "c"]
    assert socket.at_once == [Frame(b"c").wire]


async def test_after_the_goodbye_nothing_is_written() -> None:
    socket = SlowSocket()
    socket.open.set()
    client = new_client(socket, Metrics())
    async with idle_writer(client):
        client.close(SHUTDOWN)
        client.push_text("too late")
    client.push_text("much too late")
    assert (socket.taken, socket.closed) == ([], (3001, "shutdown"))
