"""What a fault drill is made of: busy traffic with a few calls held still in it, and the judgement afterwards."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from ami_listener.invariants import of_call
from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.calls.models import calls as record
from services.simulator import (
    SimAgent,
    SimCall,
    SimQueue,
    Simulator,
    SimulatorConfig,
    make_agents,
    make_queues,
)
from services.simulator.compare import difference
from services.simulator.config import make_local_queue
from services.simulator.scenarios import SCENARIOS
from services.simulator.truth import Truth
from shared.bus import CALLS_STREAM
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    LegEndReason,
    QueueOutcome,
    TransferOutcome,
)
from shared.contracts.card import Card, CardState
from shared.push import DeskReader, agent_channel

PBX = "main"
CALLS_PER_SECOND = 50.0
HASTE = 10.0
"""The PBX's clock runs so much faster: a call that takes twenty seconds is over in two."""
MEMBERS = 30
HELD = ("131", "132", "133")
"""Extensions of the phones that only the held calls ring; no queue has them."""
NOBODY = SimQueue("waiting-room", "+78000000009", ())
"""A queue without members: who is in it waits."""
SETTLE_SECONDS = 25.0
"""For the record to be what it must be after the last call; longer than anything takes on a busy machine."""
LOOK_AGAIN = 0.05
BLUR = 3.0
"""Seconds before a fault in which the listener may not have read yet what the PBX had said, on a busy machine."""
BLUR_BESIDE = 10.0
"""The same for a listener that is a process of its own, beside everything else that wants the machine's two cores."""


def busy_pbx() -> SimulatorConfig:
    """50 calls a second of every kind, among 30 agents of the queues and some more."""
    agents = make_agents(150)
    members = agents[:MEMBERS]
    support, billing = make_queues(members)
    return SimulatorConfig(
        agents=agents,
        queues=(support, replace(billing, members=billing.members[:4]), make_local_queue(members), NOBODY),
        calls_per_second=CALLS_PER_SECOND / HASTE,
        time_scale=HASTE,
        # Half of it may come before the caller is passed on: no conversation is shorter than five seconds, the tracker
        # thinks of what it did not see.
        talk=(11.0, 16.0),
        mix={name: 1.0 for name in SCENARIOS if name not in ("queue_overflow", "blind_transfer_to_queue")},
        seed=11,
    )


async def enlist(engine: AsyncEngine, agents: Sequence[SimAgent]) -> None:
    """The simulator's phones as people of ours."""
    repository = AgentRepository(engine)
    for agent in agents:
        person = Agent(agent.extension, agent.name, agent.extension, endpoints=((agent.endpoint, None),))
        await repository.save(person, None)


async def hold_one_in_each_phase(pbx: Simulator) -> Mapping[str, SimCall]:
    """Calls that stay where they are: in the menu, waiting, ringing, talking, on hold."""
    held = {
        "menu": await pbx.place("ivr_then_queue", pace="manual"),
        "waiting": await pbx.place("answered_queue_call", did=NOBODY.did, pace="manual"),
        "ringing": await pbx.place("direct_did", agent=HELD[0], pace="manual"),
        "talking": await pbx.place("direct_did", agent=HELD[1], pace="manual"),
        "on hold": await pbx.place("hold_unhold", pace="manual"),
    }
    await held["talking"].proceed()
    await held["on hold"].proceed()
    await held["on hold"].proceed()
    return held


@dataclass
class Blind:
    """When the listener could not see the PBX, in seconds of the PBX's clock."""

    began: float
    ended: float = float("inf")
    blur: float = BLUR

    def touches(self, truth: Truth) -> bool:
        """Was a part of this call out of sight?"""
        over = truth.ended_at if truth.ended_at is not None else float("inf")
        return truth.started_at <= self.ended and over >= self.began - self.blur * HASTE

    def hides(self, truth: Truth) -> bool:
        """Was the whole call out of sight?"""
        over = truth.ended_at if truth.ended_at is not None else float("inf")
        return truth.started_at >= self.began - self.blur * HASTE and over <= self.ended


class Judge:
    """Compares the record and the desks with the PBX."""

    def __init__(self, pbx: Simulator, engine: AsyncEngine, redis: Redis) -> None:
        self._pbx = pbx
        self._engine = engine
        self._redis = redis

    async def open_calls_are(self, held: Sequence[SimCall]) -> None:
        """The record holds these calls open and no other; the agents' desks show who rings and talks, no more."""
        wanted = {call_id(call.truth) for call in held}
        cards = {(pbx_agent(endpoint), call_id(call.truth)) for call in held for endpoint in call.ringing}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while True:
            open_calls, shown = await self._open(), await self._cards()
            if (open_calls, shown) == (wanted, cards):
                return
            if loop.time() > deadline:
                break
            await asyncio.sleep(LOOK_AGAIN)
        known = {call_id(truth): truth for truth in self._pbx.engine.truth}
        wrong = [f"open, but over: {known.get(one, one)}" for one in sorted(open_calls - wanted)]
        wrong += [f"not open: {one}" for one in wanted - open_calls]
        wrong += [f"a card too many: {one}" for one in shown - cards]
        wrong += [f"a card is missing: {one}" for one in cards - shown]
        raise AssertionError(f"{len(wrong)} things are wrong:\n" + "\n".join(wrong[:10]))

    async def record_is_true(self, blind: Blind | None = None) -> None:
        """Every call the listener could see is recorded as it was; of the others what is recorded is plausible."""
        truths = list(self._pbx.engine.truth)
        stored = await self._stored({call_id(one) for one in truths if not (blind and blind.hides(one))})
        wrong = [text for one in truths if (text := self._judge(one, stored.get(call_id(one)), blind))]
        invented = stored.keys() - {call_id(one) for one in truths}
        assert not wrong, f"{len(wrong)} of {len(truths)} calls are recorded otherwise:\n" + "\n".join(
            wrong[:8]
        )
        assert not invented, [f"{one} {stored[one].timeline}" for one in sorted(invented)][:3]
        assert await self._redis.xlen(CALLS_STREAM) == 0

    def _judge(self, truth: Truth, call: Call | None, blind: Blind | None) -> str:
        if call is not None and (broken := of_call(call)):
            return "\n".join(map(str, broken))
        found = difference(truth, call, call_id(truth))
        if found is None:
            return ""
        if blind is None or not blind.touches(truth):
            return str(found)
        if call is None:
            return "" if blind.hides(truth) else str(found)
        false = list(untrue(truth, call))
        if call.state is CallState.ENDED and call.gap and not false:
            return ""
        told = [f"{entry.at:%H:%M:%S.%f} {entry.what} {entry.who or ''}" for entry in call.timeline]
        return f"gap {call.gap}, {call.end_reason}, {false}; {found}\n  {truth}\n  {blind}\n  told {told}"

    async def _open(self) -> set[str]:
        query = select(record.c.call_id).where(record.c.state != CallState.ENDED)
        async with self._engine.connect() as connection:
            return set((await connection.execute(query)).scalars())

    async def _cards(self) -> set[tuple[str, str]]:
        reader = DeskReader(self._redis)
        shown = set()
        for agent in self._pbx.config.agents:
            for data in (await reader.read(agent_channel(agent.extension))).cards:
                card = Card.model_validate_json(data)
                if card.state is not CardState.CLOSED:
                    shown.add((agent.extension, card.call_id))
        return shown

    async def _stored(self, wanted: set[str]) -> dict[str, Call]:
        """The record, once the wanted calls are in it and ended; what there is, if they do not come."""
        query = select(record.c.call_id).where(record.c.state == CallState.ENDED)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while loop.time() < deadline:
            async with self._engine.connect() as connection:
                ended = set((await connection.execute(query)).scalars())
            if wanted <= ended:
                break
            await asyncio.sleep(LOOK_AGAIN)
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(record.c.call_id, record.c.document))
            return {row.call_id: Call.model_validate(row.document) for row in rows}


def untrue(truth: Truth, call: Call) -> Iterator[str]:
    """What is told of a call that was out of sight for a while, and is wrong: a reason is the true one or unknown."""
    if call.end_reason not in (CallEndReason.UNKNOWN, truth.end_reason):
        yield f"it ended {call.end_reason}"
    if call.missed and not truth.missed:
        yield "it is missed"
    reasons = {leg.channel: leg.end_reason for leg in truth.legs}
    for leg in call.legs:
        if leg.end_reason not in (LegEndReason.UNKNOWN, reasons.get(leg.channel)):
            yield f"the leg {leg.channel} ended {leg.end_reason}"
    if call.queue is not None and call.queue.outcome not in (QueueOutcome.UNKNOWN, truth.queue_outcome):
        yield f"the queue ended {call.queue.outcome}"
    outcomes = [(t.by, t.to, t.outcome) for t in truth.transfers]
    for transfer in call.transfers:
        told = (transfer.by, transfer.to, transfer.outcome)
        if transfer.outcome is not TransferOutcome.UNKNOWN and told not in outcomes:
            yield f"a transfer ended {told}"


def call_id(truth: Truth) -> str:
    return f"{PBX}-{truth.uniqueid}"


def pbx_agent(endpoint: str) -> str:
    """101 of PJSIP/agent101."""
    return endpoint.removeprefix("PJSIP/agent")
