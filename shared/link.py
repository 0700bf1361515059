"""A Redis connection for one user who sends command after command: the way of a ring.

redis-py's client takes a connection from its pool for each command, checks it, times the command, looks whether to
repeat it, packs it in Python and looks for a parser of the answer. That is twice the cost of the command itself and
more than everything else we do with a call.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

Argument = str | bytes | int
Command = tuple[Argument, ...]


class RedisLink:
    """Sends commands over one connection of `redis`, in turn; connects at first use and again after a failure.

    Answers are as Redis gives them (bytes, ints, lists of them). Every method raises `redis.RedisError` when Redis is
    away. A caller who is cancelled or runs into a deadline costs the connection, never the next caller's answer.
    The connection ends with its client.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: Any = None
        self._turn = asyncio.Lock()

    async def call(self, *command: Argument) -> Any:
        """The answer to one command. Raises ResponseError if it is one."""
        answer = (await self.call_all((command,)))[0]
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def call_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands in one round trip, in order; a ResponseError stands in its place."""
        packed = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
        async with self._turn:
            connection = await self._connected()
            try:
                await connection.send_packed_command(packed)
                return [await _answer(connection) for _ in commands]
            except BaseException:
                # Answers that are still on their way must not meet the next command.
                await self._drop()
                raise

    async def _connected(self) -> Any:
        connection = self._connection
        if connection is not None:
            # Nothing is to be read between commands, except that Redis has ended the connection.
            if connection.is_connected and not await connection.can_read():
                return connection
            await self._drop()
        self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def xadd(stream: str, fields: Mapping[bytes, bytes]) -> Command:
    """The command that appends an entry."""
    return ("XADD", stream, "*", *chain.from_iterable(fields.items()))
