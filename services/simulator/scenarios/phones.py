"""Calls from phone to phone: direct numbers, colleagues, calls to the outside."""

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import SimAgent, SimulatorError
from services.simulator.dialling import (
    begin_dial,
    cancel_dial,
    connect_dial,
    dial,
    fail_dial,
    refuse_dial,
    ring_out_dial,
)
from services.simulator.parts import Party, arrive, between, caller_of
from services.simulator.pbx import Pbx
from services.simulator.talking import converse
from shared.contracts.call import (
    CallEndReason,
    Direction,
)

OUTSIDE_NUMBER = "+79003334455"
"""Whom agents call when nothing else is said: the number of the traces."""


def direct_did(pbx: Pbx, call: Call) -> Act:
    """A direct number: the agent answers, the caller hangs up."""
    return direct_call(pbx, call, "answer")


def direct_did_missed(pbx: Pbx, call: Call) -> Act:
    """A direct number: the caller gives up."""
    return direct_call(pbx, call, "cancel")


def direct_did_busy(pbx: Pbx, call: Call) -> Act:
    """A direct number: the agent's phone is busy."""
    return direct_call(pbx, call, "busy")


def direct_call(pbx: Pbx, call: Call, outcome: str) -> Act:
    """From the trunk to one phone. An agent who is in a call is busy, whatever the outcome was to be."""
    agent = call.order.agent or some_agent(pbx)
    if not pbx.is_free(agent.endpoint):
        outcome = "busy"
    yield from ring_directly(pbx, call, agent, outcome)


def ring_directly(pbx: Pbx, call: Call, agent: SimAgent, outcome: str) -> Act:
    """The dialplan of the direct numbers; the phone rings, whatever else it does."""
    did = call.order.did or f"{pbx.config.direct_prefix}{agent.extension}"
    channel = arrive(pbx, call, did, caller_of(pbx, call))
    pbx.run(channel, "Set", f"AG={agent.extension}")
    pbx.var(channel, "AG", agent.extension)
    pbx.record(channel, 2)
    leg = dial(pbx, call, agent.endpoint, agent.login, 20, priority=3)
    yield from ring_phone(pbx, call, leg, outcome, priority=3)


def ring_phone(
    pbx: Pbx, call: Call, leg: Channel, outcome: str, *, priority: int, ended_by: Party = "caller"
) -> Act:
    """What becomes of a Dial: answer, cancel (the one who dials gives up), busy."""
    inbound = call.truth.direction is Direction.INBOUND
    seconds = between(pbx, pbx.config.patience if outcome == "cancel" else pbx.config.ring)
    signal = yield Wait(Stage.RINGING, seconds)
    if signal is Signal.CALLER_GONE or (signal is Signal.GO and outcome == "cancel"):
        cancel_dial(pbx, call, leg)
        call.ends(CallEndReason.ABANDONED if inbound else CallEndReason.NO_ANSWER, pbx.now)
    elif signal is Signal.GO and outcome == "ignore":
        ring_out_dial(pbx, call, leg, priority)
        call.ends(CallEndReason.NO_ANSWER, pbx.now)
    elif signal is not Signal.GO or outcome == "busy":
        refuse_dial(pbx, call, leg, priority)
        call.ends(CallEndReason.BUSY, pbx.now)
    else:
        yield from converse(pbx, call, connect_dial(pbx, call, leg), ended_by)


def internal_call(pbx: Pbx, call: Call) -> Act:
    """A colleague calls a colleague, who answers."""
    return colleague_call(pbx, call, "answer")


def internal_no_answer(pbx: Pbx, call: Call) -> Act:
    """A colleague calls a colleague and gives up."""
    return colleague_call(pbx, call, "cancel")


def colleague_call(pbx: Pbx, call: Call, outcome: str) -> Act:
    """Phone to phone."""
    agent = call.order.agent or free_agent(pbx)
    other = call.order.other or free_agent(pbx, besides=agent)
    channel = agent_dials(pbx, call, agent, other.extension, Direction.INTERNAL)
    if not pbx.is_free(other.endpoint):
        outcome = "busy"
    leg = dial(pbx, call, other.endpoint, other.login, 20, priority=channel.priority)
    yield from ring_phone(pbx, call, leg, outcome, priority=1)


def agent_dials(pbx: Pbx, call: Call, agent: SimAgent, number: str, direction: Direction) -> Channel:
    """An agent lifts the receiver and dials."""
    channel = pbx.new_channel(
        agent.endpoint,
        4,
        number=agent.extension,
        party=agent.name,
        context="internal",
        exten=number,
        uniqueid=call.order.uniqueid,
    )
    channel.dnid = number
    call.begin(channel, direction, number, pbx.now)
    pbx.var(channel, "SIPDOMAIN", "127.0.0.1")
    return channel


def outbound_answered(pbx: Pbx, call: Call) -> Act:
    """An agent calls a customer, who answers; the agent hangs up."""
    return outside_call(pbx, call, "answer")


def outbound_no_answer(pbx: Pbx, call: Call) -> Act:
    """An agent calls a customer and gives up."""
    return outside_call(pbx, call, "cancel")


def outbound_busy(pbx: Pbx, call: Call) -> Act:
    """An agent calls a customer, whose phone is busy."""
    return outside_call(pbx, call, "busy")


def trunk_unreachable(pbx: Pbx, call: Call) -> Act:
    """An agent calls a customer, but the trunk is down."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    channel = agent_dials(pbx, call, agent, number, Direction.OUTBOUND)
    full = announce_outside(pbx, channel, number)
    leg = begin_dial(
        pbx, call, pbx.config.trunk, f"{full}@trunk", 30, priority=4, silent=True, caller=channel
    )
    # The refusal comes before Dial() has told the agent whom he reaches.
    pbx.connect(channel, leg)
    fail_dial(pbx, call, leg, priority=4)
    call.ends(CallEndReason.FAILED, pbx.now)
    yield from ()


def second_call_to_talking_agent(pbx: Pbx, call: Call) -> Act:
    """A direct number whose agent talks: his phone rings a second time, and the caller gives up."""
    talking = [a for a in pbx.config.agents if pbx.devices[a.endpoint].state == "INUSE"]
    agent = call.order.agent or (pbx.rng.choice(talking) if talking else some_agent(pbx))
    return ring_directly(pbx, call, agent, "cancel")


def outside_call(pbx: Pbx, call: Call, outcome: str) -> Act:
    """Phone to trunk."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    channel = agent_dials(pbx, call, agent, number, Direction.OUTBOUND)
    leg = dial_outside(pbx, call, channel, number)
    yield from ring_phone(pbx, call, leg, outcome, priority=5)


def dial_outside(pbx: Pbx, call: Call, channel: Channel, number: str, *, silent: bool = False) -> Channel:
    """The dialplan of calls to the outside: the company's number is shown, then the trunk is dialled."""
    full = announce_outside(pbx, channel, number)
    return dial(pbx, call, pbx.config.trunk, f"{full}@trunk", 30, priority=4, silent=silent, caller=channel)


def announce_outside(pbx: Pbx, channel: Channel, number: str) -> str:
    """The company's number is shown, the recording starts; the number as it will be dialled."""
    full = f"+7{number[1:]}" if number.startswith("8") else number
    pbx.run(channel, "Goto", f"out,{full},1")
    pbx.run(
        channel, "Set", f"CALLERID(num)={pbx.config.outgoing_number}", context="out", exten=full, priority=1
    )
    pbx.identify(channel, pbx.config.outgoing_number, channel.party)
    pbx.run(channel, "Set", "CALLERID(name)=", priority=2)
    pbx.identify(channel, pbx.config.outgoing_number, None)
    pbx.record(channel, 3)
    return full


def some_agent(pbx: Pbx) -> SimAgent:
    """A free agent, else any."""
    for _ in range(8):  # mostly one of a few is free: no need to look at all of them
        agent = pbx.rng.choice(pbx.config.agents)
        if pbx.is_free(agent.endpoint):
            return agent
    return pbx.rng.choice(pbx.free_agents() or list(pbx.config.agents))


def free_agent(pbx: Pbx, besides: SimAgent | None = None) -> SimAgent:
    """A free agent who can make a call; SimulatorError if there is none."""
    free = [agent for agent in pbx.free_agents() if agent is not besides]
    if not free:
        raise SimulatorError("every agent is in a call; wait until one is free or configure more agents")
    return pbx.rng.choice(free)
