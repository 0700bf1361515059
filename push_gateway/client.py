"""The sending side of one connection: a queue bounded in bytes, and the one task that writes it to the socket."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from starlette.websockets import WebSocketDisconnect

from push_gateway.metrics import Metrics
from push_gateway.protocol import SLOW, Close

# Some 300 cards. A tab that is so far behind is quicker with a reconnect and the snapshot.
QUEUE_BYTES = 1024 * 1024
# What waits is written as one frame up to this size: fewer system calls, and no message waits for a giant one.
BATCH_BYTES = 64 * 1024
# A tab that does not even take the close frame is dropped after this.
CLOSE_SECONDS = 5.0


class Socket(Protocol):
    """What is needed of a WebSocket."""

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, shared by all who get it. `size` in bytes; `published_at` by Redis' clock, 0 if not a publication."""

    text: str
    size: int
    published_at: float = 0.0


class Client:
    """Frames in, bytes out; never makes the one who puts a frame in wait.

    When more than `QUEUE_BYTES` wait, the connection is closed as slow: the SDK comes back and recovers.
    """

    def __init__(self, socket: Socket, metrics: Metrics) -> None:
        self._socket = socket
        self._metrics = metrics
        self._queue: deque[Frame] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing: Close | None = None
        self._stopped = False
        self._patience: asyncio.Timeout | None = None

    @property
    def closing(self) -> bool:
        """Nothing more will be sent."""
        return self._closing is not None or self._stopped

    def push(self, frame: Frame) -> None:
        """Queue a frame. An empty queue takes any one frame, so that a large snapshot always gets through."""
        if self.closing:
            return
        if self._queue and self._bytes + frame.size > QUEUE_BYTES:
            self._drop_queue()
            self.close(SLOW)
            return
        self._queue.append(frame)
        self._bytes += frame.size
        self._metrics.queued_bytes.inc(frame.size)
        self._wake.set()

    def push_text(self, text: str) -> None:
        """Queue a frame for this client alone."""
        self.push(Frame(text, len(text.encode())))

    def close(self, close: Close) -> None:
        """Say goodbye after what is queued. The first reason stays."""
        if self.closing:
            return
        self._closing = close
        self._metrics.closes.labels(str(close.code)).inc()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)
        self._wake.set()

    def stop(self) -> None:
        """The peer has gone: nothing is to be written any more."""
        self._stopped = True
        self._wake.set()

    async def write(self) -> None:
        """Write the queue until the connection is closed or stopped. Run it as the one writer of the socket."""
        try:
            async with asyncio.timeout(None) as self._patience:
                if self._closing is not None:
                    self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)
                await self._write_all()
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # The peer takes nothing more, or has gone; both are the end.
            pass
        finally:
            self._stopped = True
            self._drop_queue()

    async def _write_all(self) -> None:
        while not self._stopped:
            if self._queue:
                await self._write_batch()
            elif self._closing is not None:
                await self._socket.close(self._closing.code, self._closing.reason)
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _write_batch(self) -> None:
        batch = [self._queue.popleft()]
        size = batch[0].size
        while self._queue and size + self._queue[0].size <= BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += batch[-1].size
        text = batch[0].text if len(batch) == 1 else "\n".join([frame.text for frame in batch])
        try:
            await self._socket.send_text(text)
        finally:
            # What is being written still counts: it is in memory as long as the peer does not take it.
            self._bytes -= size
            self._metrics.queued_bytes.dec(size)
        now = time.time()
        for frame in batch:
            if frame.published_at:
                self._metrics.delivery_seconds.observe(max(0.0, now - frame.published_at))

    def _drop_queue(self) -> None:
        waiting = sum(frame.size for frame in self._queue)
        self._queue.clear()
        self._bytes -= waiting
        self._metrics.queued_bytes.dec(waiting)
