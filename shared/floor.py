"""The floor in Redis: the newest message of each queue and phone in two hashes a PBX, and every message as pub/sub.

Who follows the floor subscribes first, reads the hashes then, and keeps the highest version of each.
"""

from collections.abc import Iterable

from redis.asyncio import Redis

from shared.contracts.floor import FloorMessage, PhoneUpdate, QueueUpdate, read_floor_message


def floor_queues_key(pbx: str) -> str:
    """Hash: queue → `QueueUpdate` as JSON. It expires when nobody follows the PBX any more."""
    return f"callcard:{{calls}}:floor:{pbx}:queues"


def floor_phones_key(pbx: str) -> str:
    """Hash: device → `PhoneUpdate` as JSON. It expires when nobody follows the PBX any more."""
    return f"callcard:{{calls}}:floor:{pbx}:phones"


def floor_channel(pbx: str) -> str:
    """Pub/sub: each `FloorMessage` as JSON."""
    return f"callcard:{{calls}}:floor:{pbx}"


async def read_queues(redis: Redis, pbx: str) -> list[QueueUpdate]:
    """Every queue of the PBX, by name; none if nobody follows it. Raises RedisError when Redis is away."""
    found = _readable(await redis.hvals(floor_queues_key(pbx)))
    return sorted((m for m in found if isinstance(m, QueueUpdate)), key=lambda update: update.queue.name)


async def read_queue(redis: Redis, pbx: str, name: str) -> QueueUpdate | None:
    """One queue; None if there is none of this name. Raises RedisError when Redis is away."""
    raw = await redis.hget(floor_queues_key(pbx), name)
    found = _readable([raw] if raw is not None else [])
    return next((m for m in found if isinstance(m, QueueUpdate)), None)


async def read_phones(redis: Redis, pbx: str) -> list[PhoneUpdate]:
    """Every phone of the PBX, by device. Raises RedisError when Redis is away."""
    found = _readable(await redis.hvals(floor_phones_key(pbx)))
    return sorted((m for m in found if isinstance(m, PhoneUpdate)), key=lambda update: update.phone.device)


def _readable(values: Iterable[bytes | str]) -> list[FloorMessage]:
    """One that a newer or broken writer left must not hide the others; the next update replaces it."""
    found: list[FloorMessage] = []
    for raw in values:
        try:
            found.append(read_floor_message(raw))
        except ValueError:
            continue
    return found
