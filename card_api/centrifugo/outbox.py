"""What Centrifugo has not been told yet. A Centrifugo that is away delays cards on the screens, and nothing else."""

import asyncio
import contextlib
from itertools import islice

from card_api.backoff import Backoff
from card_api.centrifugo.client import Centrifugo, CentrifugoAway, Command, sentence
from shared.observability import logger

# Some 300 kB of cards in a request: it takes milliseconds, and the next ones do not wait long for it.
_AT_ONCE = 100
# Tabs that come back after a long absence of Centrifugo have their desk from the snapshot, so what is beyond this is
# not missed. 3 kB each.
_MOST = 5_000
# At the end of the process: long enough for a Centrifugo that is there.
_GOODBYE_SECONDS = 1.0

Key = tuple[str, ...]


class Outbox:
    """Run `run` as a task. `put` never waits; of a key only the newest command is kept, and the order is that of the
    first puts."""

    def __init__(self, centrifugo: Centrifugo) -> None:
        self._centrifugo = centrifugo
        self._waiting: dict[Key, Command] = {}
        self._wake = asyncio.Event()
        self._refused: set[int] = set()
        self._log = logger("centrifugo")

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: Key, command: Command) -> None:
        self._waiting[key] = command
        if len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled; what waits then is told if Centrifugo listens."""
        try:
            await self._tell_forever()
        finally:
            with contextlib.suppress(CentrifugoAway, TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    while self._waiting:
                        await self._tell()

    async def _tell_forever(self) -> None:
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                try:
                    await self._tell()
                except CentrifugoAway as error:
                    if backoff.fresh:
                        self._log.error("tabs hear nothing new until centrifugo is told", reason=str(error))
                    await asyncio.sleep(backoff.next())
                else:
                    if not backoff.fresh:
                        self._log.info("centrifugo takes cards again")
                        backoff.reset()

    async def _tell(self) -> None:
        batch = list(islice(self._waiting.items(), _AT_ONCE))
        refusals = await self._centrifugo.send([command for _, command in batch])
        for (key, command), refusal in zip(batch, refusals, strict=True):
            # What became newer while it was told is told again.
            if self._waiting.get(key) is command:
                del self._waiting[key]
            # It would be refused for ever. Whoever puts the configuration right restarts Centrifugo, and then every tab
            # connects anew and has its desk from the snapshot.
            if refusal is None:
                self._refused.clear()
            elif refusal.code not in self._refused:
                self._refused.add(refusal.code)
                self._log.error(
                    "centrifugo refuses a command", method=command.method, reason=sentence(refusal)
                )
