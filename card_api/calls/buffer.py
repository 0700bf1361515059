"""Updates that were read and are not stored yet."""

import asyncio
from dataclasses import dataclass, field

from shared.contracts.call import CallUpdate

# Entries read ahead of PostgreSQL. While it is away cards go on; beyond this the rest waits in Redis, where it is safe
# as well. At 5 kB an entry at most 50 MB.
ROOM = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A stream entry: its id, the update in it, and the update as it came."""

    id: bytes
    update: CallUpdate
    raw: bytes


@dataclass(slots=True)
class Batch:
    """The newest entry of each call, and the ids of all that are done with it."""

    newest: dict[str, Entry] = field(default_factory=dict)
    ids: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        call_id = entry.update.call_id
        known = self.newest.get(call_id)
        if known is None or known.update.version < entry.update.version:
            self.newest[call_id] = entry
        self.ids.setdefault(call_id, []).append(entry.id)


class Buffer:
    """Between the reader, which must be quick, and the storer, which may have to wait."""

    def __init__(self) -> None:
        self._batch = Batch()
        self._count = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.closed = False

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> None:
        self._batch.add(entry)
        self._count += 1
        self._filled.set()
        if self._count >= ROOM:
            self._room.clear()

    async def room(self) -> None:
        """Return when there is room for more."""
        await self._room.wait()

    async def filled(self) -> None:
        """Return when there is something to store, or nothing more will come."""
        await self._filled.wait()

    def take(self) -> Batch:
        """Everything there is; the buffer is empty then."""
        batch, self._batch, self._count = self._batch, Batch(), 0
        if not self.closed:
            self._filled.clear()
        self._room.set()
        return batch

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._filled.set()
