"""A pub/sub link to one Redis: subscribed to what is wanted, found dead when it is, made anew."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.link import Wire
from shared.observability import logger

# The link says something at least this often because we ping it; twice silent is dead.
LINK_PING_SECONDS = 5.0
LINK_SILENCE_SECONDS = 12.0
# Redis comes back in about a second; looking often is cheap for it, and the agents wait.
RETRY_SECONDS = (0.1, 1.0)
# One SUBSCRIBE after a reconnect names at most this many channels.
SUBSCRIBE_CHUNK = 500

BUS_FAILURES = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told what the link hears. `wanted`: names to subscribe to on a new link; `subscribed(name)`: Redis sends
    it from now on; `message(name, payload)`; `deaf(names)`: the link that heard these is lost. None of them may
    wait."""

    wanted: Callable[[], Iterable[str]]
    subscribed: Callable[[bytes], None]
    message: Callable[[bytes, bytes], None]
    deaf: Callable[[Iterable[str]], None]


class Bus(Protocol):
    """What `BusLink` is to one Redis and `ClusterBus` to a cluster of them."""

    @property
    def up(self) -> bool: ...

    def subscribe(self, name: str) -> None: ...

    def unsubscribe(self, name: str) -> None: ...

    async def run(self) -> None: ...


class BusLink:
    """Run `run` as a task for as long as the process lives."""

    def __init__(self, redis: Redis, ears: Ears) -> None:
        self._redis = redis
        self._ears = ears
        self._wire: Wire | None = None
        self._log = logger("push.bus")

    @property
    def up(self) -> bool:
        return self._wire is not None

    def subscribe(self, name: str) -> None:
        self._tell("SUBSCRIBE", name)

    def unsubscribe(self, name: str) -> None:
        self._tell("UNSUBSCRIBE", name)

    def _tell(self, command: str, name: str) -> None:
        """A link that breaks now needs no telling: the next one subscribes to what is wanted then."""
        if self._wire is not None:
            self._wire.send([(command, name)])

    async def run(self) -> None:
        """Keep the link; never returns."""
        pause, known_away = RETRY_SECONDS[0], False
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._listen()
            except BUS_FAILURES as error:
                if asyncio.get_running_loop().time() - started > RETRY_SECONDS[1]:
                    pause, known_away = RETRY_SECONDS[0], False
                if not known_away:
                    self._log.warning("no link to Redis, trying again until there is one", error=str(error))
                    known_away = True
            except Exception:
                # A mistake of ours must not leave every tab deaf: begin anew.
                self._log.exception("the link to Redis failed")
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
            pause = min(pause * 2, RETRY_SECONDS[1])

    async def _listen(self) -> None:
        """Subscribe to what is wanted and take messages until the link breaks."""
        wire = await Wire.open(self._redis, self._heard)
        try:
            self._wire = wire
            names = list(self._ears.wanted())
            wire.send(
                [
                    ("SUBSCRIBE", *names[start : start + SUBSCRIBE_CHUNK])
                    for start in range(0, len(names), SUBSCRIBE_CHUNK)
                ]
            )
            while not wire.lost.done():
                await asyncio.wait([wire.lost], timeout=LINK_PING_SECONDS)
                if asyncio.get_running_loop().time() - wire.heard_at > LINK_SILENCE_SECONDS:
                    raise TimeoutError("Redis is silent")
                wire.send([("PING",)])
            raise wire.lost.result()
        finally:
            self._wire = None
            self._ears.deaf(self._ears.wanted())
            await wire.close()

    def _heard(self, message: Any) -> None:
        """Anything that came over the link."""
        try:
            if isinstance(message, RedisError):
                self._log.error("Redis refuses a subscription", error=str(message))
            elif message[0] == b"message":
                self._ears.message(message[1], message[2])
            elif message[0] == b"subscribe":
                self._ears.subscribed(message[1])
        except Exception:  # one message that we can't handle must not cost the others
            self._log.exception("a message of the push bus could not be handled")
