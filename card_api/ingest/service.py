"""Events of calls from other telephone systems: taken, put into the story of their call, told like a listener's."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.backoff import Backoff
from card_api.calls.facts import CountryOf
from card_api.database import DATABASE_ERRORS
from card_api.ingest.known import MOST_EVENTS_A_CALL, Known, Taken, give_up, take
from card_api.ingest.repository import RecordedCalls
from card_api.ingest.schemas import CallEvent, EventResult
from card_api.ingest.store import Put, PutAnswer, ToldCalls
from shared.contracts.call import CallState
from shared.errors import Unavailable
from shared.observability import logger

# Clocks of branch offices are a little wrong. One that is further ahead would push its calls to the top of everything
# and give them versions that nothing outranks.
_AHEAD = timedelta(minutes=5)
# Another process took an event of the same call meanwhile; several times in a row is no coincidence any more.
_TRIES = 10
# Redis answers in under a millisecond or not at all.
_REDIS_SECONDS = 5.0
# How exactly a call is given up does not matter.
_LOOK_SECONDS = 5.0
_LOOK_AT_ONCE = 200


class _Call(NamedTuple):
    """Events of one call in a request, by their places in it."""

    call_id: str
    pbx: str
    places: list[int]


class IngestService:
    """`take` for each request; `run` gives up calls whose end nobody tells.

    listened: names of PBXs that a listener is configured for; nobody else speaks for them, also while it is away.
    """

    def __init__(
        self,
        redis: Redis,
        recorded: RecordedCalls,
        listened: Collection[str],
        country_of: CountryOf,
        now: Callable[[], datetime],
    ) -> None:
        self._told = ToldCalls(redis)
        self._recorded = recorded
        self._listened = frozenset(listened)
        self._country_of = country_of
        self._now = now
        self._log = logger("ingest")

    async def take(self, events: Sequence[CallEvent]) -> list[EventResult]:
        """One result an event, in their order. Raises `Unavailable` when Redis or PostgreSQL is away; then some may
        have been taken, and sending all again does no harm."""
        results: list[EventResult | None] = [self._refused(n, event) for n, event in enumerate(events)]
        waiting: dict[str, _Call] = {}
        for n, event in enumerate(events):
            if results[n] is None:
                call = _Call(event.our_call_id, event.pbx, [])
                waiting.setdefault(call.call_id, call).places.append(n)
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                for _ in range(_TRIES):
                    if not waiting:
                        break
                    for n, result in await self._try(list(waiting.values()), events):
                        results[n] = result
                    waiting = {
                        call_id: call for call_id, call in waiting.items() if results[call.places[0]] is None
                    }
        except (RedisError, *DATABASE_ERRORS) as error:
            self._log.warning(
                "call events could not be taken", events=len(events), reason=type(error).__name__
            )
            raise _again() from None
        if waiting:
            raise _again()
        return [result for result in results if result is not None]

    def _refused(self, n: int, event: CallEvent) -> EventResult | None:
        detail = None
        if event.pbx in self._listened:
            detail = _speaks(event.pbx)
        elif event.at > self._now() + _AHEAD:
            when = f"{event.at:%Y-%m-%d %H:%M:%S} UTC"
            detail = f"`at` is {when}, which is yet to come: set the sender's clock, or its zone."
        return None if detail is None else EventResult(index=n, status="refused", detail=detail)

    async def _try(self, wanted: list[_Call], events: Sequence[CallEvent]) -> list[tuple[int, EventResult]]:
        """Results of those calls that could be written; the others were changed meanwhile."""
        ids = [call.call_id for call in wanted]
        there = dict(zip(ids, await self._told.load(ids), strict=True))
        knowns = {call_id: _read(raw) for call_id, raw in there.items() if raw}
        recorded = await self._recorded.find([i for i in ids if knowns.get(i) is None])
        now = self._now()
        results: list[tuple[int, EventResult]] = []
        puts: list[tuple[_Call, Taken]] = []
        for call in wanted:
            known, stored = knowns.get(call.call_id), recorded.get(call.call_id)
            if known is None and stored is not None and stored.call.state is CallState.ENDED:
                over = EventResult(
                    index=0, status="late", call_id=call.call_id, detail=_over(stored.call.ended_at)
                )
                results += [(n, over.model_copy(update={"index": n})) for n in call.places]
                continue
            if known is None:
                known = Known(call_id=call.call_id, pbx=call.pbx, touched=now)
                if stored is not None:
                    known.base, known.version = stored.call, stored.version
            taken = take(known, [events[n] for n in call.places], self._country_of(call.pbx), now)
            puts.append((call, taken))
        answers = await self._told.put(
            [
                Put(call.call_id, call.pbx, there[call.call_id], taken.known, taken.due, taken.update)
                for call, taken in puts
            ]
        )
        for (call, taken), answer in zip(puts, answers, strict=True):
            if answer is PutAnswer.LISTENER_SPEAKS:
                results += [
                    (n, EventResult(index=n, status="refused", detail=_speaks(call.pbx))) for n in call.places
                ]
            elif answer is PutAnswer.DONE:
                results += list(_results(call, taken))
        return results

    # --- calls whose end nobody tells ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Any number of processes may do this at once."""
        backoff = Backoff()
        while True:
            try:
                while await self.look_after() == _LOOK_AT_ONCE:
                    pass
                backoff.reset()
                await asyncio.sleep(_LOOK_SECONDS)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(backoff.next())  # the reader of calls says what is away
            except Exception as error:
                self._log.error("calls told by events could not be looked after", exc_info=error)
                await asyncio.sleep(_LOOK_SECONDS)

    async def look_after(self) -> int:
        """End calls of which nothing was heard for too long, forget those that are over; returns how many."""
        async with asyncio.timeout(_REDIS_SECONDS):
            now = self._now()
            ids = await self._told.due(now, _LOOK_AT_ONCE)
            puts: list[Put] = []
            gone: list[str] = []
            for call_id, raw in zip(ids, await self._told.load(ids), strict=True):
                known = _read(raw) if raw else None
                if known is None:
                    gone.append(call_id)
                    continue
                taken = give_up(known, self._country_of(known.pbx), now)
                if taken is None:
                    puts.append(Put(call_id, known.pbx, raw, None, None, None))
                else:
                    self._log.warning("the end of a call was never told", call_id=call_id, pbx=known.pbx)
                    puts.append(Put(call_id, known.pbx, raw, taken.known, taken.due, taken.update))
            answers = await self._told.put(puts)
            # A listener follows this PBX now: its calls are the listener's.
            gone += [
                put.call_id for put, a in zip(puts, answers, strict=True) if a is PutAnswer.LISTENER_SPEAKS
            ]
            await self._told.drop(gone)
        return len(ids)


def _results(call: _Call, taken: Taken) -> list[tuple[int, EventResult]]:
    details = {
        "late": "The call was over before: nothing changed.",
        "refused": f"More than {MOST_EVENTS_A_CALL} events of one call: is `call_id` the same for all calls?",
    }
    return [
        (n, EventResult(index=n, status=status, call_id=call.call_id, detail=details.get(status)))
        for n, status in zip(call.places, taken.statuses, strict=True)
    ]


def _read(raw: bytes) -> Known | None:
    try:
        return Known.model_validate_json(raw)
    except ValueError:
        return None  # of another version of this program: the record still says what was told


def _speaks(pbx: str) -> str:
    return (
        f"A listener follows the PBX '{pbx}', and only it tells of its calls: give this sender a name of its own "
        "in `pbx`."
    )


def _over(ended_at: datetime | None) -> str:
    when = f" at {ended_at:%Y-%m-%d %H:%M:%S} UTC" if ended_at else ""
    return f"The call ended{when}: nothing changed. A new call needs a `call_id` of its own."


def _again() -> Unavailable:
    return Unavailable(
        "Call events cannot be taken now. Send all of them again: what was taken is known.",
        {"Retry-After": "2"},
    )
