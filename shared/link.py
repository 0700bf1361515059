"""Redis connections for the way of a ring: one for commands in turn, one for hearing pub/sub.

redis-py connects (address, password, TLS, database), then its streams step aside and the connection's bytes come here.
Its client takes a connection from a pool for each command, checks it, times the command, looks whether to repeat it,
packs it in Python, waits on a stream and looks for a parser of the answer: three times the cost of the command itself
and more than everything else we do with a call.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

Argument = str | bytes | int
Command = tuple[Argument, ...]

NODE_OF_CLUSTER = (
    "this Redis is a node of a Redis Cluster, so the address must begin with redis+cluster://"
    " (CALLCARD_REDIS__URL)"
)
"""For people, when one node of a cluster is used as if it were all."""

# Errors that somebody acts on, by their first word; the others are told to people.
_ERRORS: dict[str, type[RedisError]] = {
    "NOSCRIPT": NoScriptError,
    "LOADING": BusyLoadingError,
    "MOVED": MovedError,
    "ASK": AskError,
    "TRYAGAIN": TryAgainError,
    "CLUSTERDOWN": ClusterDownError,
}


class Wire(asyncio.Protocol):
    """One connection to Redis: whole answers come to `heard` one by one, in the order of the wire, as Redis gives them
    (bytes, ints, lists of them); an error is a `RedisError`.

    Make one with `Wire.open(redis, heard)`. It takes its connection out of the client's pool until `close()` or the
    client's own end. `lost` becomes done, with a `ConnectionError` as its result, when the connection has ended;
    `heard_at` is when anything came last, by the loop's clock.
    """

    def __init__(self, pool: Any, connection: Any, heard: Callable[[Any], None]) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[RedisConnectionError] = loop.create_future()
        self.heard_at = loop.time()
        self._clock = loop.time
        self._pool = pool
        self._connection = connection
        self._heard = heard
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_error)
        # The seam: redis-py keeps its stream, and with it the transport, in `_writer`.
        self._transport: asyncio.Transport = connection._writer.transport
        self._streams = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, redis: Redis, heard: Callable[[Any], None]) -> "Wire":
        """Connect. Raises RedisError when Redis is away."""
        pool = redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        return cls(pool, connection, heard)

    def send(self, commands: Sequence[Command]) -> None:
        """Have these commands written. After the connection's end nothing happens: `lost` says so."""
        if not self.lost.done():  # uvloop raises where asyncio only warns
            self._transport.write(b"".join([hiredis.pack_command(c) for c in commands]))  # type: ignore[arg-type]

    async def close(self) -> None:
        """End the connection, without waiting for answers."""
        self._transport.abort()
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._clock()
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._heard(answer)
        except RedisConnectionError:  # bytes that are no Redis protocol: nothing after them can be understood
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        # Whoever waits in redis-py for its stream to be closed waits for this.
        self._streams.connection_lost(error)
        if not self.lost.done():
            self.lost.set_result(
                RedisConnectionError(str(error) if error else "Redis has ended the connection")
            )


class Link(ABC):
    """Commands in turn over connections of its own: `RedisLink`, or `ClusterLink` into a Redis Cluster."""

    async def call(self, *command: Argument) -> Any:
        """The answer to one command. Raises ResponseError if it is one."""
        answer = (await self.call_all((command,)))[0]
        if isinstance(answer, RedisError):
            raise answer
        return answer

    @abstractmethod
    async def call_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands in one round trip, in order; a ResponseError stands in its place."""


class RedisLink(Link):
    """Sends commands over one connection of `redis`, in turn; connects at first use and again after a failure.

    Answers are as Redis gives them (bytes, ints, lists of them). Every method raises `redis.RedisError` when Redis is
    away. A caller who is cancelled or runs into a deadline costs the connection, never the next caller's answer.
    The connection ends with its client.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wire: Wire | None = None
        self._turn = asyncio.Lock()
        self._answers: list[Any] = []
        self._expected = 0
        self._complete: asyncio.Future[None] | None = None

    async def call_all(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        async with self._turn:
            wire = self._wire
            if wire is None or wire.lost.done():
                await self._drop()
                wire = self._wire = await Wire.open(self._redis, self._heard)
                wire.lost.add_done_callback(self._lost)
            self._answers, self._expected = [], len(commands)
            self._complete = asyncio.get_running_loop().create_future()
            try:
                wire.send(commands)
                await self._complete
            except BaseException:
                # Answers that are still on their way must not meet the next command.
                await self._drop()
                raise
            finally:
                self._complete = None
            return self._answers

    def _heard(self, answer: Any) -> None:
        self._answers.append(answer)
        if len(self._answers) == self._expected and self._complete is not None and not self._complete.done():
            self._complete.set_result(None)

    def _lost(self, lost: asyncio.Future[RedisConnectionError]) -> None:
        waiting = self._complete
        if waiting is not None and not waiting.done() and self._wire is not None and self._wire.lost is lost:
            waiting.set_exception(lost.result())

    async def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


def _error(text: str) -> RedisError:
    word, _, rest = text.partition(" ")
    if word in ("MOVED", "ASK"):
        error = _ERRORS[word](rest)  # it takes the slot and the address only
        error.args = (f"{text} - {NODE_OF_CLUSTER}",)
        return error
    return _ERRORS.get(word, ResponseError)(text)
