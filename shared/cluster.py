"""A client of a Redis Cluster that is used like the client of one Redis.

A command goes to the node that owns its key, over a plain client of that node; MOVED and ASK are followed. redis-py has
a cluster client too. It is not used, because its errors are not all `RedisError`, it waits and repeats commands by
itself, and it closes every connection when one slot has no owner; whoever calls here decides what is done twice, as
with one Redis. The links of `shared.link` need the map of slots besides, and theirs must be the same one.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.cluster_slots import Address, Slots, key_of

# Pauses before a command that was sent on is sent again. The first is the map being old, the next that nodes do not
# agree yet: a planned fail-over, or a slot that is on its way, takes some hundred milliseconds.
PAUSES = (0.0, 0.0, 0.05, 0.1, 0.2, 0.4)
# A node that does not say in this time who owns what is not waited for; another knows it as well.
_ASK_SECONDS = 1.0

NODE_FAILURES = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)


class ClusterRedis(Redis):
    """See above. `seeds`: any of the cluster's nodes; `connect` makes the plain client of a node.

    Commands about several keys need them in one slot, as everywhere in a cluster; a pipeline too. Commands about no key
    go to any node, SCRIPT LOAD to all masters. Raises `RedisError` or OSError, as the client of one Redis.
    """

    def __init__(self, seeds: Mapping[Address, Redis], connect: Callable[[Address], Redis]) -> None:
        self._nodes: dict[Address, Redis] = dict(seeds)
        self._connect = connect
        self._slots: Slots | None = None
        self._asking = asyncio.Lock()
        self._asked = 0
        self._suspects: set[Address] = set()
        self._stale = True
        # Never used to send anything; the callbacks that make answers of RESP2 come from it.
        super().__init__(connection_pool=next(iter(self._nodes.values())).connection_pool)

    # --- the map of slots -------------------------------------------------------------------------------------

    def node(self, address: Address) -> Redis:
        """The plain client of one node."""
        client = self._nodes.get(address)
        if client is None:
            client = self._nodes[address] = self._connect(address)
        return client

    async def slots(self) -> Slots:
        """Who owns what, as far as is known. Raises RedisError if no node can be asked."""
        if self._slots is None or self._stale:
            return await self.refresh()
        return self._slots

    async def refresh(self, knows: Address | None = None) -> Slots:
        """Ask the cluster who owns what, `knows` first. Raises RedisError if no node can be asked."""
        asked = self._asked
        async with self._asking:
            if self._slots is not None and self._asked != asked:
                return self._slots  # somebody else has just asked
            slots = await self._ask(knows)
            self._asked += 1
            self._slots, self._stale = slots, False
            self._suspects.intersection_update(slots.masters)
            return slots

    async def _ask(self, knows: Address | None) -> Slots:
        """Masters first, and those that failed last of all. A node that does not see the cluster as it should be is
        believed only if there is no other: it may be the one that is cut off, and say what was."""
        masters = list(self._slots.masters) if self._slots else []
        random.shuffle(masters)
        known = dict.fromkeys([*([knows] if knows else ()), *masters, *self._nodes])
        second_best: Slots | None = None
        last: Exception | None = None
        for address in sorted(known, key=self._suspects.__contains__):
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    # As two words: redis-py has callbacks for the one that would have another shape.
                    state = await _execute(self.node(address), "CLUSTER", "INFO")
                    answer = await _execute(self.node(address), "CLUSTER", "SLOTS")
            except (ResponseError, *NODE_FAILURES) as error:
                last = error
                self._suspects.add(address)
                continue
            self._suspects.discard(address)
            slots = Slots.parse(answer, address)
            if b"cluster_state:ok" in state:
                return slots
            second_best = second_best or slots
        if second_best is not None:
            return second_best
        if isinstance(last, ResponseError):
            raise last
        raise RedisConnectionError(f"no node of the Redis Cluster answers ({last})")

    def failed(self, address: Address) -> None:
        """A node could not be reached: before anything else is sent, ask who owns what."""
        self._suspects.add(address)
        self._stale = True

    async def owner(self, key: str | bytes | None) -> Address:
        """The node that has the key; for None one that answered last time. Raises RedisError."""
        slots = await self.slots()
        if key is not None:
            owner = slots.owner(key)
        else:
            well = [master for master in slots.masters if master not in self._suspects]
            owner = random.choice(well or slots.masters or (None,))  # noqa: S311 - spreads load
        if owner is None:
            self._stale = True
            raise ClusterDownError("CLUSTERDOWN no node of the Redis Cluster has the slot of this key")
        return owner

    async def at_masters(self, work: Callable[[Redis], Awaitable[Any]]) -> list[Any]:
        """Do something at every master at once. The answers in order; where a master is away, its exception."""
        masters = (await self.slots()).masters
        if not masters:
            raise ClusterDownError("CLUSTERDOWN no node of the Redis Cluster has any slots")
        answers = await asyncio.gather(
            *(work(self.node(address)) for address in masters), return_exceptions=True
        )
        for address, answer in zip(masters, answers, strict=True):
            if isinstance(answer, NODE_FAILURES):
                self.failed(address)
        return answers

    # --- commands ---------------------------------------------------------------------------------------------

    async def at_owner(self, key: str | bytes | None, work: Callable[[Redis, bool], Awaitable[Any]]) -> Any:
        """Do something at the node that has the key. `work(node, asking)`; asking: say ASKING first."""
        address, asking = await self.owner(key), False
        for pause in PAUSES:
            try:
                return await work(self.node(address), asking)
            except MovedError as error:
                moved: RedisError = error
                await self.refresh((error.host or address[0], error.port))
                address, asking = await self.owner(key), False
            except AskError as error:
                moved, address, asking = error, (error.host or address[0], error.port), True
            except TryAgainError as error:
                moved = error
            except ClusterDownError:
                self._stale = True
                raise
            except NODE_FAILURES:
                self.failed(address)
                raise
            await asyncio.sleep(pause)
        raise moved

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "SCRIPT LOAD":
            return await self._everywhere(args, options)

        async def work(node: Redis, asking: bool) -> Any:
            if not asking:
                return await _execute(node, *args, **options)
            async with node.pipeline(transaction=False) as both:
                both.execute_command("ASKING")
                both.execute_command(*args, **options)
                return (await both.execute())[1]

        return await self.at_owner(key_of(args), work)

    async def _everywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """At every master that answers: one that does not must not keep the others from it."""
        answers = await self.at_masters(lambda node: _execute(node, *args, **options))
        for answer in answers:
            if not isinstance(answer, BaseException):
                return answer
        raise answers[0]

    # redis-py's types have the synchronous one here.
    async def scan_iter(self, *args: Any, **options: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        """The keys of every master."""

        async def keys(node: Redis) -> list[Any]:
            return [key async for key in node.scan_iter(*args, **options)]

        for found in await self.at_masters(keys):
            if isinstance(found, BaseException):
                raise found
            for key in found:
                yield key

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """All of one slot: it goes to the owner of its first key."""
        return _OneSlotPipeline(self, transaction)

    def pubsub(self, **options: Any) -> PubSub:
        """Hears at the node that owns the first channel it subscribes to: what is published goes there."""
        return _OwnersPubSub(self, **options)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for node in self._nodes.values():
            await node.aclose(close_connection_pool)


class _OneSlotPipeline(Pipeline):
    def __init__(self, cluster: ClusterRedis, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack = list(self.command_stack)
        if not stack:
            return []

        async def work(node: Redis, asking: bool) -> list[Any]:
            # ASKING holds for one command, not for a transaction: a slot on its way is waited for.
            self.connection_pool = node.connection_pool
            self.command_stack = list(stack)
            return await super(_OneSlotPipeline, self).execute(raise_on_error)

        answers: list[Any] = await self._cluster.at_owner(key_of(stack[0][0]), work)
        return answers


class _OwnersPubSub(PubSub):
    def __init__(self, cluster: ClusterRedis, **options: Any) -> None:
        super().__init__(cluster.connection_pool, **options)
        self._cluster = cluster

    async def subscribe(self, *names: Any, **handlers: Any) -> Any:
        if self.connection is None:
            address = await self._cluster.owner((*names, *handlers)[0])
            self.connection_pool = self._cluster.node(address).connection_pool
            try:
                return await super().subscribe(*names, **handlers)
            except NODE_FAILURES:
                self._cluster.failed(address)
                raise
        return await super().subscribe(*names, **handlers)


async def _execute(node: Redis, *args: Any, **options: Any) -> Any:
    return await node.execute_command(*args, **options)  # type: ignore[no-untyped-call]


async def incarnation(redis: Redis) -> bytes:
    """Names what Redis remembers: another answer means that writes may be lost. Of one Redis it is always the same:
    with its memory it loses whatever was written beside this. A master of a cluster that takes over or starts anew may
    lack what was written last, while the others remember everything. Raises RedisError if a master is away."""
    if not isinstance(redis, ClusterRedis):
        return b"1"
    await redis.refresh()
    told = await redis.at_masters(lambda node: node.info("server"))
    for info in told:
        if isinstance(info, BaseException):
            raise info
    return ",".join(sorted(str(info["run_id"])[:16] for info in told)).encode()
