"""A Redis Cluster of real Valkeys on loopback: three masters, and a replica of the first for fail-overs."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from services.embedded.process import Child, free_port
from services.embedded.valkey import valkey_binary
from shared.cluster_slots import SLOTS

MASTERS = 3
_SHARE = SLOTS // MASTERS + 1
# So long a node may be silent before the others take it for dead; less, and a busy machine's nodes would be.
_NODE_TIMEOUT_MS = 1500
# Longer than nodes need to agree, on a busy machine too.
_DEADLINE = 20.0
_LOOK_AGAIN = 0.02


class Node:
    """One Valkey of a cluster."""

    def __init__(self, folder: Path) -> None:
        self.port, self.bus_port = free_port(), free_port()
        self._folder = folder / f"cluster-{self.port}"
        self._folder.mkdir(parents=True)
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, if it does not run; it remembers its place in the cluster."""
        if self._child is not None and self._child.running:
            return
        command = [
            str(valkey_binary()), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder),
            "--save", "", "--cluster-enabled", "yes", "--cluster-port", str(self.bus_port),
            "--cluster-node-timeout", str(_NODE_TIMEOUT_MS), "--cluster-replica-validity-factor", "0",
            "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        self._child = Child(command, self._folder / "valkey.log")

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    async def say(self, *words: Any) -> Any:
        """One command at this very node; waits for it to be there."""
        async with Redis(port=self.port, protocol=2) as client, asyncio.timeout(_DEADLINE):
            while True:
                try:
                    return await client.execute_command(*words)
                except (OSError, RedisError) as error:
                    if not isinstance(error, OSError) and "Connection" not in type(error).__name__:
                        raise
                    await asyncio.sleep(_LOOK_AGAIN)

    async def id(self) -> str:
        name: bytes = await self.say("CLUSTER", "MYID")
        return name.decode()

    async def role(self) -> str:
        told: list[bytes] = await self.say("ROLE")
        return told[0].decode()

    async def info(self) -> dict[str, str]:
        """CLUSTER INFO."""
        told: bytes = await self.say("CLUSTER", "INFO")
        return dict(line.split(":", 1) for line in told.decode().split())


class ValkeyCluster:
    """`await form()`, then `url`. `nodes`: three masters in order of their slots, and the replica of the first."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder) for _ in range(MASTERS + 1)]

    @property
    def url(self) -> str:
        # Not of all nodes: the others are found.
        return f"redis+cluster://127.0.0.1:{self.nodes[1].port},127.0.0.1:{self.nodes[2].port}"

    async def form(self) -> None:
        self.start()
        first = self.nodes[0]
        for at, node in enumerate(self.nodes):
            await node.say("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            if at < MASTERS:
                last = min((at + 1) * _SHARE, SLOTS) - 1
                await node.say("CLUSTER", "ADDSLOTSRANGE", at * _SHARE, last)
            if at:
                await node.say("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        await self._all(lambda told: told["cluster_known_nodes"] == str(len(self.nodes)))
        await self.nodes[-1].say("CLUSTER", "REPLICATE", await first.id())
        await self.settled()

    def start(self) -> None:
        """Start those that do not run."""
        for node in self.nodes:
            node.start()

    async def settled(self) -> None:
        """Every node says that all is well, and there is a replica that follows its master."""
        await self._all(lambda told: told["cluster_state"] == "ok" and told["cluster_slots_fail"] == "0")

        async def follows() -> bool:
            told: dict[str, str] = await (await self.replica()).say("INFO", "replication")
            return told.get("master_link_status") == "up"

        await until(follows)

    async def replica(self) -> Node:
        """Who is the replica now."""
        found: list[Node] = []

        async def one() -> bool:
            found[:] = [node for node in (self.nodes[0], self.nodes[-1]) if await node.role() != "master"]
            return len(found) == 1

        await until(one)
        return found[0]

    async def master(self) -> Node:
        """Who is the master of the first slots now."""
        replica = await self.replica()
        return next(node for node in (self.nodes[0], self.nodes[-1]) if node is not replica)

    async def fail_over(self) -> None:
        """The replica takes over as planned: the master waits until it has everything."""
        replica = await self.replica()
        await replica.say("CLUSTER", "FAILOVER")
        await until(lambda: _is(replica, "master"))

    async def move_slot(self, key: str, home: Node, to: Node) -> None:
        """The slot of this key, with all that is in it, goes from one master to another."""
        slot, name = key_slot(key.encode()), await to.id()
        # Having imported it, the new owner takes a higher epoch: else nodes that have not heard yet may take it back.
        await to.say("CLUSTER", "SETSLOT", slot, "IMPORTING", await home.id())
        await home.say("CLUSTER", "SETSLOT", slot, "MIGRATING", name)
        while keys := await home.say("CLUSTER", "GETKEYSINSLOT", slot, 1):
            await home.say("MIGRATE", "127.0.0.1", to.port, keys[0], 0, 5000)
        masters = [node for node in self.nodes if await node.role() == "master"]
        for node in (to, home, *masters):
            await node.say("CLUSTER", "SETSLOT", slot, "NODE", name)

    async def empty(self) -> None:
        for node in (await self.master(), *self.nodes[1:MASTERS]):
            await node.say("FLUSHALL")

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    async def _all(self, true: Callable[[dict[str, str]], bool]) -> None:
        for node in self.nodes:

            async def agrees(node: Node = node) -> bool:
                return true(await node.info())

            await until(agrees)


def logins_at(share: int) -> Iterator[str]:
    """Agents whose channels are in the slots of this master, counted from 0; without end."""
    every = map(str, itertools.count(100))
    return (login for login in every if key_slot(f"agent:{login}".encode()) // _SHARE == share)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Until it is true: nodes tell nobody when they come to agree."""
    async with asyncio.timeout(_DEADLINE):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)


async def _is(node: Node, role: str) -> bool:
    return await node.role() == role
