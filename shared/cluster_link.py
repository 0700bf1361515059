"""The links of `shared.link` into a Redis Cluster: one to each node that owns what is asked for."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.cluster import NODE_FAILURES, PAUSES, ClusterRedis
from shared.cluster_slots import Address, key_of
from shared.link import Command, Link, RedisLink


def link_to(redis: Redis) -> Link:
    """A link to this Redis, or to this Redis Cluster."""
    return ClusterLink(redis) if isinstance(redis, ClusterRedis) else RedisLink(redis)


class ClusterLink(Link):
    """As `RedisLink`. Commands for one node go in one round trip and in their order; those of several nodes at the same
    time. Where a node can't be reached its error stands in the place of its answers; if so everywhere, it is raised.
    SCRIPT LOAD, which is not mixed with other commands, goes to every master that answers."""

    def __init__(self, cluster: ClusterRedis) -> None:
        self._cluster = cluster
        self._links: dict[Address, RedisLink] = {}

    async def call_all(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        if commands[0][0] == "SCRIPT":
            return await self._load_everywhere(commands)
        answers: list[Any] = [None] * len(commands)
        left: Iterable[int] = range(len(commands))
        for pause in PAUSES:
            shares: dict[Address, list[int]] = {}
            for at in left:
                shares.setdefault(await self._cluster.owner(key_of(commands[at])), []).append(at)
            await self._send(commands, shares, answers)
            left = await self._again(commands, shares, answers)
            if not left:
                break
            await asyncio.sleep(pause)
        return answers

    async def _send(
        self, commands: Sequence[Command], shares: dict[Address, list[int]], answers: list[Any]
    ) -> None:
        async def one(address: Address, share: list[int]) -> RedisError | None:
            try:
                found: list[Any] = await self._link(address).call_all([commands[at] for at in share])
                failure = None
            except NODE_FAILURES as error:
                self._cluster.failed(address)
                failure = error if isinstance(error, RedisError) else RedisConnectionError(str(error))
                found = [failure] * len(share)
            for at, answer in zip(share, found, strict=True):
                answers[at] = answer
            return failure

        if len(shares) == 1:
            failures = [await one(*item) for item in shares.items()]
        else:
            failures = await asyncio.gather(*(one(*item) for item in shares.items()))
        if all(failures) and (failure := failures[0]) is not None:
            raise failure

    async def _again(
        self, commands: Sequence[Command], shares: dict[Address, list[int]], answers: list[Any]
    ) -> list[int]:
        """Which commands have to be sent again, after what their answers say."""
        again: list[int] = []
        moved: Address | None = None
        for address, share in shares.items():
            for at in share:
                answer = answers[at]
                if isinstance(answer, MovedError):
                    moved = (answer.host or address[0], answer.port)
                    again.append(at)
                elif isinstance(answer, AskError):
                    there = self._link((answer.host or address[0], answer.port))
                    _, answers[at] = await there.call_all([("ASKING",), commands[at]])
                    if isinstance(answers[at], AskError | TryAgainError):
                        again.append(at)
                elif isinstance(answer, TryAgainError):
                    again.append(at)
                elif isinstance(answer, ClusterDownError):
                    self._cluster.failed(address)
        if moved is not None:
            await self._cluster.refresh(moved)
        return again

    async def _load_everywhere(self, scripts: Sequence[Command]) -> list[Any]:
        """Scripts are loaded once in the life of a node, so the ordinary client does."""
        return [await self._cluster.script_load(str(script)) for _, _, script in scripts]

    def _link(self, address: Address) -> RedisLink:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = RedisLink(self._cluster.node(address))
        return link
