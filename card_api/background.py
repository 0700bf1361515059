"""Tasks beside the requests: starting them, and ending them for sure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from shared.observability import logger

# A driver that is just connecting may swallow a cancellation; the loop above it goes on then and must be told again.
_TRIES = 3
# Longer than the consumer and the audit log need to store what they have (2 s each, side by side), well within the
# five seconds that Ctrl-C promises.
_GOOD_BYE_SECONDS = 2.5
# For tasks that have nothing to bring to an end.
_AT_ONCE_SECONDS = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]], patience: float = _AT_ONCE_SECONDS) -> None:
    """Cancel these tasks and wait until they have ended; ask again after `patience` seconds each time."""
    pending = {task for task in tasks if not task.done()}
    for _ in range(_TRIES):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience)
    if pending:
        logger("card_api").error("background tasks do not end", tasks=[repr(task) for task in pending])


@asynccontextmanager
async def running(*runs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these beside the block; end them when it is left."""
    log = logger("card_api")

    async def run(what: Callable[[], Awaitable[None]]) -> None:
        try:
            await what()
        except Exception as error:  # each keeps itself alive; one that fails to is a bug worth seeing
            log.error("a background task ended", task=repr(what), exc_info=error)

    tasks = [asyncio.create_task(run(what)) for what in runs]
    try:
        yield
    finally:
        await end(tasks, _GOOD_BYE_SECONDS)
