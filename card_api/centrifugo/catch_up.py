"""The moment between the desk's snapshot and the subscription.

Centrifugo subscribes a connection after its connect proxy has answered: what is published in between is in neither. A
moment later, when the connection has been subscribed or has failed, what our own history has since the snapshot is
published again. A tab that has it already sees so by the rev.
"""

import asyncio
from collections.abc import Sequence

import orjson
from redis.exceptions import RedisError

from card_api.background import end
from card_api.centrifugo.client import publish
from card_api.centrifugo.outbox import Outbox
from shared.push import DeskReader, Position, Publication

# A subscription takes milliseconds; the second look is for a Centrifugo whose own Redis is slow: it gives up after 4 s.
LOOKS = (0.5, 4.5)


class CatchUp:
    """`later` for each connection; `close` at the end."""

    def __init__(self, reader: DeskReader, outbox: Outbox, looks: Sequence[float] = LOOKS) -> None:
        self._reader = reader
        self._outbox = outbox
        self._looks = looks
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, channel: str, since: Position) -> None:
        """Look after a snapshot that was read at `since`, the position in our own history."""
        task = asyncio.create_task(self._look(channel, since))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await end(self._tasks)

    async def _look(self, channel: str, since: Position) -> None:
        for seconds in self._looks:
            await asyncio.sleep(seconds)
            try:
                state = await self._reader.read(channel, since)
            except (RedisError, OSError):
                return  # the desks are rebuilt when it is back, and then every tab connects anew
            for publication in newest(state.missed):
                self._outbox.put(
                    (channel, "again", str(publication.offset)), publish(channel, publication.data)
                )
            since = state.position


def newest(missed: Sequence[Publication]) -> list[Publication]:
    """Of each call the last card, and everything that is no card, in order: a ring and its end must not flash up."""
    last: dict[str, int] = {}
    calls: list[str | None] = []
    for place, publication in enumerate(missed):
        data = orjson.loads(publication.data)
        call_id = data["card"]["call_id"] if data.get("type") == "card" else None
        calls.append(call_id)
        if call_id is not None:
            last[call_id] = place
    return [
        publication
        for place, (publication, call_id) in enumerate(zip(missed, calls, strict=True))
        if call_id is None or last[call_id] == place
    ]
