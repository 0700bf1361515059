"""Phones and queues, as a listener left them in Redis, for those who may see them."""

from redis.asyncio import Redis

from card_api.agents.directory import Agent
from card_api.api_keys.service import ApiKey
from card_api.pbx.schemas import PhoneList, QueueList
from card_api.pbx.service import PbxService
from shared.contracts.call import Caller, PbxLink
from shared.contracts.floor import QueueUpdate, WaitingCaller
from shared.errors import NotFound
from shared.floor import read_phones, read_queue, read_queues
from shared.observability import mask_number

Reader = Agent | ApiKey


def sees_numbers(reader: Reader) -> bool:
    """May this reader see who waits? Supervisors, and keys that may look numbers up anyway.

    Agents see how many wait and how long, and whose phone is free; the caller they get with the call.
    """
    return reader.supervises if isinstance(reader, Agent) else "lookup" in reader.scopes


def masked(update: QueueUpdate) -> QueueUpdate:
    """Without what tells who waits: numbers as in logs, no names."""
    queue = update.queue
    waiting = [w.model_copy(update={"caller": _masked(w)}) for w in queue.waiting]
    return update.model_copy(update={"queue": queue.model_copy(update={"waiting": waiting})})


def _masked(waiting: WaitingCaller) -> Caller:
    caller = waiting.caller
    return caller.model_copy(update={"number": mask_number(caller.number), "name": None})


class FloorService:
    """Every method raises NotFound for a PBX that nobody follows, and RedisError when Redis is away."""

    def __init__(self, redis: Redis, links: PbxService) -> None:
        self._redis = redis
        self._links = links

    async def queues(self, pbx: str, reader: Reader) -> QueueList:
        found = await read_queues(self._redis, pbx)
        link = await self._link(pbx, known=bool(found))
        return QueueList(pbx=pbx, link=link, items=[_shown(update, reader) for update in found])

    async def queue(self, pbx: str, name: str, reader: Reader) -> QueueUpdate:
        found = await read_queue(self._redis, pbx, name)
        if found is None:
            await self._link(pbx, known=False)
            raise NotFound(f"The PBX '{pbx}' has no queue '{name}'. /api/v1/pbx/{pbx}/queues lists them.")
        return _shown(found, reader)

    async def phones(self, pbx: str) -> PhoneList:
        found = await read_phones(self._redis, pbx)
        return PhoneList(pbx=pbx, link=await self._link(pbx, known=bool(found)), items=found)

    async def _link(self, pbx: str, *, known: bool) -> PbxLink | None:
        """The link to a PBX; None for one that was followed a moment ago."""
        for status in await self._links.all():
            if status.pbx == pbx:
                return status.link
        if known:
            return None
        raise NotFound(f"No listener follows a PBX named '{pbx}'. /api/v1/pbx lists those there are.")


def _shown(update: QueueUpdate, reader: Reader) -> QueueUpdate:
    return update if sees_numbers(reader) else masked(update)
