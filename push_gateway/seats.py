"""A channel of this process and who sits in it: what the hub keeps of each."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from push_gateway.client import Frame
from push_gateway.protocol import push_head
from shared.push import Heard, Position


class Hearer(Protocol):
    """Who hears channels: a tab. Neither of these may wait."""

    @property
    def id(self) -> str:
        """Names the connection in presence."""
        ...

    def push(self, frame: Frame) -> None: ...

    def push_text(self, text: str) -> None: ...


class Seat:
    """A client in a channel. It has everything up to `position`; `held` while that is still being read. `lost` is
    called when that can't be kept any more; it takes the client out of the channel or ends it."""

    __slots__ = ("client", "held", "lost", "position")

    def __init__(self, client: Hearer, lost: Callable[[], None]) -> None:
        self.client = client
        self.lost = lost
        self.position = Position("", 0)
        self.held: list[tuple[Position, Frame]] | None = []


class Channel:
    __slots__ = ("acknowledged", "early", "head", "held", "name", "position", "seats", "subscribed")

    def __init__(self, name: str) -> None:
        self.name = name
        # How each frame with a publication of it begins.
        self.head = push_head(name)
        self.seats: dict[Hearer, Seat] = {}
        # Set while Redis sends us the channel; `acknowledged` counts how often it began to.
        self.subscribed = asyncio.Event()
        self.acknowledged = 0
        # The last message heard; None until the first read. Messages before that wait in `early`.
        self.position: Position | None = None
        self.early: list[Heard] = []
        # Not None while the history is read again; messages wait in it.
        self.held: list[Heard] | None = None
