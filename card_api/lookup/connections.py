"""The few connections that look-ups share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Connections:
    """At most so many, opened when they are needed and kept for ever: a line that is quiet at night still answers the
    first caller of the morning at once. For single statements that leave nothing behind on a connection.

    asyncpg's own pool would do; but to take a connection out of it and to give it back, with a task each time, costs
    more than to send our statement and to read its answer.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], most: int, seconds: float) -> None:
        """`seconds`: a statement may take."""
        self._connect = connect
        self._seconds = seconds
        self._turn = asyncio.Semaphore(most)
        self._open: set[Connection] = set()
        self._free: list[Connection] = []

    async def fetchval(self, statement: str, *values: object) -> Any:
        """The first column of the first row. Raises what asyncpg raises, TimeoutError too."""
        async with self._turn:
            connection = await self._take()
            try:
                found = await connection.fetchval(statement, *values, timeout=self._seconds)
            except BaseException:
                # It may be dying, or the answer that nobody waits for any more may be on its way.
                self._drop(connection)
                raise
            self._free.append(connection)
            return found

    def close(self) -> None:
        """Give them back to PostgreSQL, those at work too."""
        for connection in list(self._open):
            self._drop(connection)
        self._free.clear()

    async def _take(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
            self._drop(connection)
        connection = await self._connect()
        self._open.add(connection)
        return connection

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.terminate()
