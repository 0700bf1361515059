"""The queue of one client: bounded in bytes, never in the way of anybody else."""

import asyncio

from push_gateway.client import BATCH_BYTES, QUEUE_BYTES, Client, Frame
from push_gateway.metrics import Metrics
from push_gateway.protocol import SHUTDOWN


class SlowSocket:
    """Takes a frame whenever the test lets it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.closed: tuple[int, str | None] | None = None
        self.open = asyncio.Event()

    async def send_text(self, data: str) -> None:
        await self.open.wait()
        self.taken.append(data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self.open.wait()
        self.closed = (code, reason)


def queued(metrics: Metrics) -> float:
    value = metrics.registry.get_sample_value("callcard_push_queued_bytes")
    assert value is not None
    return value


async def test_what_waits_is_written_together_and_then_the_close() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = Client(socket, metrics)
    for text in ("a", "b", "c"):
        client.push_text(text)
    client.close(SHUTDOWN)
    client.push_text("too late")
    socket.open.set()
    await client.write()
    assert socket.taken == ["a\nb\nc"]
    assert socket.closed == (3001, "shutdown")
    assert queued(metrics) == 0


async def test_a_batch_is_bounded() -> None:
    socket = SlowSocket()
    client = Client(socket, Metrics())
    big = "x" * (BATCH_BYTES - 10)
    for text in (big, big, "small"):
        client.push_text(text)
    client.close(SHUTDOWN)
    socket.open.set()
    await client.write()
    assert socket.taken == [big, big + "\nsmall"]


async def test_more_than_the_queue_holds_closes_as_slow_and_frees_the_memory() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = Client(socket, metrics)
    frame = Frame("x" * 1000, 1000)
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
    client = Client(socket, Metrics())
    client.push(Frame("snapshot", 2 * QUEUE_BYTES))
    assert not client.closing


async def test_a_peer_that_has_gone_ends_the_writer() -> None:
    socket, metrics = SlowSocket(), Metrics()
    client = Client(socket, metrics)
    writing = asyncio.create_task(client.write())
    client.stop()
    client.push_text("nobody hears it")
    async with asyncio.timeout(5):
        await writing
    assert socket.closed is None
    assert queued(metrics) == 0
