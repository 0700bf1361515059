"""The sending side of one connection: straight into the socket while the peer takes what it gets; else a queue bounded
in bytes, and the one task that writes it.

A tab that is behind gets the newest card of a call, not each of its versions: a frame with a `key` takes the place of
the one with the same key that still waits. The old one is taken out and the new one goes to the end, never into its
place: so the offsets a tab sees only ever grow, each frame says the offset it was published with, and a position that
the SDK remembers means "I have all that counts up to here": what was left out before it was replaced by something
behind it, which recovery brings. (Neither centrifuge-js nor centrifuge-python looks for gaps between offsets; both
remember the offset seen last, so a newer frame in an older one's place would make them skip what is between the two.)
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from starlette.websockets import WebSocketDisconnect

from push_gateway.codes import SLOW, Close
from push_gateway.metrics import Metrics
from shared.websocket import text_frame

# What waits is written as one frame up to this size: fewer system calls, and no message waits for a giant one.
BATCH_BYTES = 64 * 1024
# A key moves to the end at most so often in a row; then what waits stays, and is written. Without this a key that
# changes faster than a slow tab reads would be put off for ever.
MOVES_IN_A_ROW = 4
# A tab that does not even take the close frame is dropped after this.
CLOSE_SECONDS = 5.0


class Frame:
    """A message, shared by all who get it. `text`: UTF-8. `key`: what it is the whole and newest state of (a call in a
    channel); None if it must be heard in any case. `published_at`: in seconds since 1970; 0 if it is no publication."""

    __slots__ = ("_wire", "key", "published_at", "size", "text")

    def __init__(self, text: bytes, key: tuple[str, str] | None = None, published_at: float = 0.0) -> None:
        self.text = text
        self.size = len(text)
        self.key = key
        self.published_at = published_at
        self._wire = b""

    @property
    def wire(self) -> bytes:
        """As a WebSocket carries it; built once, however many get it."""
        if not self._wire:
            self._wire = text_frame(self.text)
        return self._wire


class Socket(Protocol):
    """What is needed of a connection."""

    def write_now(self, frame: bytes, /) -> bool:
        """Write a `Frame.wire` without waiting; False if that cannot be, and nothing was written."""
        ...

    async def send(self, text: bytes) -> None:
        """Write UTF-8, as soon as the peer has taken enough of what was written before."""
        ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...

    def pongs_to(self, heard: Callable[[], None]) -> None:
        """Call it for each pong that comes, instead of handing the pong on like any other frame; where that cannot be
        told so early, nothing happens."""
        ...


class _Waiting:
    """A place in the queue. `frame` is None once a newer one has replaced it."""

    __slots__ = ("frame", "moves")

    def __init__(self, frame: Frame, moves: int) -> None:
        self.frame: Frame | None = frame
        self.moves = moves


class Client:
    """Frames in, bytes out; never makes the one who puts a frame in wait.

    When more than `queue_bytes` wait, the connection is closed as slow: the SDK comes back and recovers.
    `id` names the connection.
    """

    def __init__(self, socket: Socket, metrics: Metrics, queue_bytes: int, client_id: str) -> None:
        self.id = client_id
        self._socket = socket
        self._metrics = metrics
        self._queue_bytes = queue_bytes
        self._queue: deque[_Waiting] = deque()
        self._newest: dict[tuple[str, str], _Waiting] = {}
        self._bytes = 0
        # Done when there is something to do; None while the writer is at it. An Event costs twice as much.
        self._asleep: asyncio.Future[None] | None = None
        self._closing: Close | None = None
        self._stopped = False
        self._patience: asyncio.Timeout | None = None

    @property
    def closing(self) -> bool:
        """Nothing more will be sent."""
        return self._closing is not None or self._stopped

    @property
    def close_code(self) -> int:
        """With which code we said goodbye; 0 if the peer went by itself."""
        return self._closing.code if self._closing is not None else 0

    def push(self, frame: Frame) -> None:
        """Send a frame, or queue it. An empty queue takes any one frame, so that a large snapshot always gets
        through."""
        # The writer is asleep when nothing waits and nothing is being written: no frame is overtaken.
        if self._asleep is not None and self._socket.write_now(frame.wire):
            return
        if self.closing:
            return
        waiting = _Waiting(frame, 0)
        if frame.key is not None:
            older = self._newest.get(frame.key)
            if older is not None and older.frame is not None and older.moves < MOVES_IN_A_ROW:
                waiting.moves = older.moves + 1
                self._forget(older.frame.size)
                self._metrics.coalesced.inc()
                older.frame = None
            self._newest[frame.key] = waiting
        if self._queue and self._bytes + frame.size > self._queue_bytes:
            self.cut(SLOW)
            return
        self._queue.append(waiting)
        self._bytes += frame.size
        self._metrics.queued_bytes += frame.size
        self._wake()

    def push_text(self, text: str) -> None:
        """Send a frame to this client alone."""
        self.push(Frame(text.encode()))

    def close(self, close: Close) -> None:
        """Say goodbye after what is queued. The first reason stays."""
        if self.closing:
            return
        self._closing = close
        self._metrics.closes.labels(str(close.code)).inc()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)
        self._wake()

    def cut(self, close: Close) -> None:
        """Say goodbye now: what is queued is not for this peer any more."""
        self._drop_queue()
        self.close(close)

    def stop(self) -> None:
        """The peer has gone: nothing is to be written any more."""
        self._stopped = True
        self._wake()

    def _wake(self) -> None:
        if self._asleep is not None:
            if not self._asleep.done():
                self._asleep.set_result(None)
            self._asleep = None

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
            self._asleep = None
            self._drop_queue()

    async def _write_all(self) -> None:
        while not self._stopped:
            if self._queue:
                await self._write_batch()
            elif self._closing is not None:
                await self._socket.close(self._closing.code, self._closing.reason)
                return
            else:
                self._asleep = asyncio.get_running_loop().create_future()
                await self._asleep

    async def _write_batch(self) -> None:
        batch, size = self._take_batch()
        if not batch:
            return
        text = batch[0].text if len(batch) == 1 else b"\n".join([frame.text for frame in batch])
        try:
            await self._socket.send(text)
        finally:
            # What is being written still counts: it is in memory as long as the peer does not take it.
            self._forget(size)

    def _take_batch(self) -> tuple[list[Frame], int]:
        batch: list[Frame] = []
        size = 0
        while self._queue:
            frame = self._queue[0].frame
            if frame is not None:
                if batch and size + frame.size > BATCH_BYTES:
                    break
                batch.append(frame)
                size += frame.size
                if frame.key is not None and self._newest.get(frame.key) is self._queue[0]:
                    del self._newest[frame.key]
            self._queue.popleft()
        return batch, size

    def _forget(self, size: int) -> None:
        self._bytes -= size
        self._metrics.queued_bytes -= size

    def _drop_queue(self) -> None:
        self._forget(sum(waiting.frame.size for waiting in self._queue if waiting.frame is not None))
        self._queue.clear()
        self._newest.clear()
