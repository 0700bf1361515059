"""What a tab posted and its session has not read yet."""

import asyncio
from collections import deque

from push_gateway.connection import Gone

# What a waiting frame costs beyond its text.
_WAITING_FRAME_CHARS = 64


class Inbox:
    """Frames of a tab that came by post and wait for their session. Bounded in characters."""

    def __init__(self, most_chars: int) -> None:
        self._most = most_chars
        self._frames: deque[str] = deque()
        self._chars = 0
        self._wake = asyncio.Event()
        self._gone = False

    def put(self, frame: str) -> bool:
        """False: too much waits already. An empty inbox takes any one frame."""
        chars = len(frame) + _WAITING_FRAME_CHARS
        if self._frames and self._chars + chars > self._most:
            return False
        self._frames.append(frame)
        self._chars += chars
        self._wake.set()
        return True

    def end(self) -> None:
        """The tab has gone."""
        self._gone = True
        self._wake.set()

    async def receive(self) -> str:
        """The next frame. Raises `Gone`."""
        while not self._frames and not self._gone:
            self._wake.clear()
            await self._wake.wait()
        if self._gone:
            raise Gone
        frame = self._frames.popleft()
        self._chars -= len(frame) + _WAITING_FRAME_CHARS
        return frame
