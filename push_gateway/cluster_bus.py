"""The pub/sub links of this process into a Redis Cluster: each channel is heard at the node that owns it.

Any node of a cluster would do, because a PUBLISH is told to all of them. But that happens in passing: what is said
while two nodes do not see each other is lost, and nobody learns of it. The owner runs the script that publishes, so a
link to it hears everything or is lost. Sharded pub/sub (SPUBLISH) would be as sure, but then the scripts would be
others than those for one Redis, and a slot that moves would end its subscriptions: a plain one goes on hearing
meanwhile.
"""

import asyncio
from collections.abc import Iterable
from functools import partial

from redis.asyncio import Redis

from push_gateway.bus import BUS_FAILURES, Bus, BusLink, Ears
from push_gateway.metrics import Metrics
from shared.cluster import ClusterRedis
from shared.cluster_slots import Address, Slots
from shared.observability import logger

# A fail-over or a slot that moved is noticed after so long; one small question to one node.
LOOK_SECONDS = 1.0


def bus_of(redis: Redis, metrics: Metrics, ears: Ears) -> Bus:
    """The bus on this Redis, or on this Redis Cluster."""
    bus: Bus = ClusterBus(redis, ears) if isinstance(redis, ClusterRedis) else BusLink(redis, ears)
    metrics.bus_up.set_function(lambda: bus.up)
    return bus


class ClusterBus:
    """Run `run` as a task for as long as the process lives. `up`: at least one node is heard; a master that is away
    leaves the channels of the others as they are."""

    def __init__(self, cluster: ClusterRedis, ears: Ears) -> None:
        self._cluster = cluster
        self._ears = ears
        self._links: dict[Address, BusLink] = {}
        self._running: dict[Address, asyncio.Task[None]] = {}
        self._slots: Slots | None = None
        self._log = logger("push.bus")

    @property
    def up(self) -> bool:
        return any(link.up for link in self._links.values())

    def subscribe(self, name: str) -> None:
        if (link := self._link_of(self._slots, name)) is not None:
            link.subscribe(name)

    def unsubscribe(self, name: str) -> None:
        if (link := self._link_of(self._slots, name)) is not None:
            link.unsubscribe(name)

    async def run(self) -> None:
        """Keep a link to each master; never returns."""
        known_away = False
        try:
            while True:
                try:
                    self._settle(await self._cluster.refresh())
                    known_away = False
                except BUS_FAILURES as error:
                    if not known_away:
                        self._log.warning("the Redis Cluster does not say who has what", error=str(error))
                    known_away = True
                except Exception:
                    # A mistake of ours must not leave every tab deaf.
                    self._log.exception("the links to the Redis Cluster could not be put right")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _settle(self, slots: Slots) -> None:
        """Hear each channel where it is now. First at the new place, then no more at the old one."""
        before, self._slots = self._slots, slots
        for address in slots.masters:
            if address not in self._links:
                self._start(address)
        if before is not None:
            self._move(before, slots)
        for address in self._links.keys() - set(slots.masters):
            self._log.info(
                "a node of the Redis Cluster is no master any more", node=f"{address[0]}:{address[1]}"
            )
            del self._links[address]
            self._running.pop(address).cancel()

    def _start(self, address: Address) -> None:
        ears = Ears(
            partial(self._wanted_at, address), self._ears.subscribed, self._ears.message, self._ears.deaf
        )
        link = self._links[address] = BusLink(self._cluster.node(address), ears)
        self._running[address] = asyncio.create_task(link.run(), name=f"push-bus-{address[0]}:{address[1]}")

    def _move(self, before: Slots, now: Slots) -> None:
        moved: list[str] = []
        for name in self._ears.wanted():
            old, new = self._link_of(before, name), self._link_of(now, name)
            if old is not new:
                moved.append(name)
                if new is not None:
                    new.subscribe(name)
                if old is not None:
                    old.unsubscribe(name)
        # What is said between the two is in the history, which is read when the new place is heard.
        self._ears.deaf(moved)

    def _wanted_at(self, address: Address) -> Iterable[str]:
        return [name for name in self._ears.wanted() if self._slots and self._slots.owner(name) == address]

    def _link_of(self, slots: Slots | None, name: str) -> BusLink | None:
        owner = slots.owner(name) if slots is not None else None
        return self._links.get(owner) if owner is not None else None
