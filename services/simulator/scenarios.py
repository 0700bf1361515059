"""The kinds of calls the simulator can place. Each has the name of the recorded trace it was learnt from."""

from collections.abc import Callable, Mapping

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import NO_NUMBER, WITHHELD, SimAgent, SimCaller, SimQueue, SimulatorError
from services.simulator.packets import CALL, USER, headers, packet
from services.simulator.parts import (
    BUSY_HERE,
    PLAYBACK_SECONDS,
    Party,
    Script,
    answer_caller,
    arrive,
    between,
    caller_of,
    cancel_dial,
    connect_dial,
    converse,
    dial,
    end_talk,
    give_up_channel,
    refuse_dial,
    stay_in_queue,
    transfer_blind,
)
from services.simulator.pbx import Pbx
from shared.contracts.call import CallEndReason, Direction, LegEndReason

Scenario = Callable[[Pbx, Call], Act]

CYRILLIC_NAME = "Иванов Пётр"

OUTSIDE_NUMBER = "+79003334455"
"""Whom agents call when nothing else is said: the number of the traces."""


def answered_queue_call(pbx: Pbx, call: Call) -> Act:
    """A queue call that is answered; the caller hangs up."""
    return queue_call(pbx, call, Script())


def answered_agent_hangup(pbx: Pbx, call: Call) -> Act:
    """A queue call that is answered; the agent hangs up."""
    return queue_call(pbx, call, Script(), ended_by="agent")


def abandoned_in_queue(pbx: Pbx, call: Call) -> Act:
    """The caller gives up before anybody answers."""
    return queue_call(pbx, call, Script(("ignore",), patience=pbx.config.patience))


def ring_no_answer_then_other(pbx: Pbx, call: Call) -> Act:
    """The first agent lets it ring; the next one answers."""
    return queue_call(pbx, call, Script(("ignore", "answer")))


def declined_agent(pbx: Pbx, call: Call) -> Act:
    """The first agent declines; the next one answers."""
    return queue_call(pbx, call, Script(("decline", "answer")))


def ringall_queue(pbx: Pbx, call: Call) -> Act:
    """A call to a queue that rings everybody at once (any queue, if there is none such)."""
    ringall = next((q for q in pbx.config.queues if q.strategy == "ringall"), None)
    return queue_call(pbx, call, Script(), did=ringall.did if ringall else None)


def queue_timeout(pbx: Pbx, call: Call) -> Act:
    """Nobody answers within the number's limit; the caller hears so and is hung up on."""
    return queue_call(pbx, call, Script(("ignore",), max_wait=6.0), did=pbx.config.timeout_did)


def anonymous_caller(pbx: Pbx, call: Call) -> Act:
    """A caller who hides the number."""
    return queue_call(pbx, call, Script(), caller=WITHHELD)


def no_caller_id(pbx: Pbx, call: Call) -> Act:
    """The trunk sends no number at all."""
    return queue_call(pbx, call, Script(), caller=NO_NUMBER)


def cyrillic_caller_name(pbx: Pbx, call: Call) -> Act:
    """The trunk sends a name in Cyrillic letters."""
    number = caller_of(pbx, call).number
    return queue_call(pbx, call, Script(), caller=SimCaller(number, CYRILLIC_NAME))


def hold_unhold(pbx: Pbx, call: Call) -> Act:
    """The agent holds the caller for a while."""
    return queue_call(pbx, call, Script(), hold=True)


def queue_call(
    pbx: Pbx,
    call: Call,
    script: Script,
    *,
    ended_by: Party = "caller",
    did: str | None = None,
    caller: SimCaller | None = None,
    hold: bool = False,
) -> Act:
    """From the trunk into a queue, to an agent, to the end."""
    number = call.order.did or did or default_queue(pbx).did
    queue = queue_of(pbx, number)
    channel = arrive(pbx, call, number, call.order.caller or caller or caller_of(pbx, call))
    enter_queue(pbx, channel, queue)
    talk = yield from stay_in_queue(pbx, call, queue.name, script)
    if talk is not None:
        yield from converse(pbx, call, talk, ended_by, hold=hold)


def default_queue(pbx: Pbx) -> SimQueue:
    """The queue of calls that name none: the first that does not ring everybody, else the first."""
    queues = pbx.config.queues
    return next((q for q in queues if q.strategy != "ringall"), queues[0])


def queue_of(pbx: Pbx, did: str) -> SimQueue:
    """The queue behind a number; SimulatorError if there is none."""
    return default_queue(pbx) if did == pbx.config.timeout_did else pbx.config.queue(did)


def enter_queue(pbx: Pbx, channel: Channel, queue: SimQueue) -> None:
    """The dialplan between a number and its queue."""
    if queue.announce:
        pbx.run(channel, "Answer")
        answer_caller(pbx, channel)
        if channel.dnid == pbx.config.timeout_did:
            pbx.run(channel, "Set", "QMAX=6", priority=2)
            pbx.var(channel, "QMAX", 6)
            pbx.run(channel, "Goto", f"q-{queue.name},s,1", priority=3)
        else:
            pbx.run(channel, "Goto", f"q-{queue.name},s,1", priority=2)
    else:
        pbx.run(channel, "Set", f"DID={channel.dnid}")
        pbx.var(channel, "DID", channel.dnid)
        pbx.run(channel, "GotoIf", "0?closed,s,1", priority=2)
        pbx.run(channel, "Goto", f"q-{queue.name},s,1", priority=3)


# ---- transfers -------------------------------------------------------------------------------------------------------


def blind_transfer_refer(pbx: Pbx, call: Call) -> Act:
    """The agent passes the caller on to a free colleague (REFER); without one it is a plain call."""
    number = call.order.did or default_queue(pbx).did
    queue = queue_of(pbx, number)
    channel = arrive(pbx, call, number, caller_of(pbx, call))
    enter_queue(pbx, channel, queue)
    talk = yield from stay_in_queue(pbx, call, queue.name, Script())
    if talk is None:
        return
    signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk) / 2)
    others = [agent for agent in pbx.free_agents() if agent.endpoint != talk.leg.endpoint]
    target = call.order.other or (pbx.rng.choice(others) if others else None)
    if signal is not Signal.GO or target is None or not pbx.is_free(target.endpoint):
        end_talk(pbx, call, talk, "agent" if signal is Signal.LEG_GONE else "caller")
        return
    yield from transfer_blind(pbx, call, talk, target.extension, "caller")


# ---- menu, closed ----------------------------------------------------------------------------------------------------


def ivr_then_queue(pbx: Pbx, call: Call) -> Act:
    """The caller presses a key in the menu and gets into that queue."""
    return menu_call(pbx, call, presses=True)


def ivr_timeout_to_queue(pbx: Pbx, call: Call) -> Act:
    """The caller presses nothing; after two prompts the first queue takes the call."""
    return menu_call(pbx, call, presses=False)


def ivr_caller_hangup(pbx: Pbx, call: Call) -> Act:
    """The caller hangs up in the menu."""
    channel = arrive(pbx, call, pbx.config.ivr_did, caller_of(pbx, call))
    enter_menu(pbx, channel)
    yield Wait(Stage.IVR, between(pbx, pbx.config.ivr))
    leave_menu(pbx, call)


def menu_call(pbx: Pbx, call: Call, *, presses: bool) -> Act:
    """Greeting, a key or none, queue, agent."""
    config = pbx.config
    channel = arrive(pbx, call, config.ivr_did, caller_of(pbx, call))
    enter_menu(pbx, channel)
    if presses:
        signal = yield Wait(Stage.IVR, between(pbx, config.ivr))
        if signal is not Signal.GO:
            leave_menu(pbx, call)
            return
        digit = call.order.digit or str(pbx.rng.randrange(len(config.queues)) + 1)
        pbx.digit(channel, digit)
        call.truth.digits += digit
        pbx.var(channel, "CHOICE", digit)
        pbx.var(channel, "READSTATUS", "OK")
        queue = config.queues[(int(digit) - 1) % len(config.queues)]
    else:
        for attempt in (1, 2):
            signal = yield Wait(Stage.IVR if attempt == 1 else None, 7.3)
            if signal is not Signal.GO:
                leave_menu(pbx, call)
                return
            pbx.var(channel, "CHOICE", "")
            pbx.var(channel, "READSTATUS", "TIMEOUT")
        queue = default_queue(pbx)
    pbx.run(channel, "GotoIf", f"1?q-{queue.name},s,1", priority=5)
    talk = yield from stay_in_queue(pbx, call, queue.name, Script())
    if talk is not None:
        yield from converse(pbx, call, talk, "caller" if presses else "agent")


def enter_menu(pbx: Pbx, channel: Channel) -> None:
    """The dialplan of the switchboard number up to the prompt."""
    pbx.run(channel, "Set", f"DID={channel.dnid}")
    pbx.var(channel, "DID", channel.dnid)
    pbx.run(channel, "GotoIf", "0?closed,s,1", priority=2)
    pbx.run(channel, "GotoIfTime", "00:00-23:59,*,*,*?ivr-main,s,1", priority=3)
    pbx.run(channel, "Answer", context="ivr-main", exten="s", priority=1)
    answer_caller(pbx, channel)
    for priority, tries in ((2, 0), (3, 1)):
        pbx.run(channel, "Set", f"TRIES={tries}", priority=priority)
        pbx.var(channel, "TRIES", tries)
    pbx.run(channel, "Read", "CHOICE,vm-press&digits/1&vm-press&digits/2,1,,1,4", priority=4)
    pbx.var(channel, "READSTATUS", "ERROR")


def leave_menu(pbx: Pbx, call: Call) -> None:
    """The caller hangs up while the prompt plays."""
    channel = call.channel
    pbx.statistics(channel)
    pbx.request_hangup(channel)
    pbx.var(channel, "CHOICE", "")
    pbx.cdr(channel, None, channel.created, "ANSWERED")
    pbx.var(channel, "READSTATUS", "HANGUP")
    pbx.soft_hangup(channel)
    give_up_channel(pbx, call, 0)
    call.ends(CallEndReason.ABANDONED, pbx.now)


def out_of_hours(pbx: Pbx, call: Call) -> Act:
    """The office is closed: an announcement, then the PBX hangs up."""
    channel = arrive(pbx, call, pbx.config.ivr_did, caller_of(pbx, call))
    pbx.run(channel, "Set", f"DID={channel.dnid}")
    pbx.var(channel, "DID", channel.dnid)
    pbx.run(channel, "GotoIf", "1?closed,s,1", priority=2)
    pbx.run(channel, "Answer", context="closed", exten="s", priority=1)
    answer_caller(pbx, channel)
    pbx.run(channel, "UserEvent", f"OutOfHours,Did: {channel.dnid}", priority=2)
    pbx.tell("UserEvent", channel, f"UserEvent: OutOfHours\r\nDid: {channel.dnid}\r\n", USER)
    pbx.run(channel, "Playback", "vm-nobodyavail", priority=3)
    signal = yield Wait(Stage.CLOSED, PLAYBACK_SECONDS)
    if signal is not Signal.GO:
        pbx.request_hangup(channel)
    pbx.var(channel, "PLAYBACKSTATUS", "SUCCESS")
    pbx.run(channel, "Hangup", priority=4)
    pbx.soft_hangup(channel)
    pbx.statistics(channel)
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.CLOSED, pbx.now)


# ---- straight to a phone ---------------------------------------------------------------------------------------------


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


def outside_call(pbx: Pbx, call: Call, outcome: str) -> Act:
    """Phone to trunk."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    channel = agent_dials(pbx, call, agent, number, Direction.OUTBOUND)
    leg = dial_outside(pbx, call, channel, number)
    yield from ring_phone(pbx, call, leg, outcome, priority=5)


def dial_outside(pbx: Pbx, call: Call, channel: Channel, number: str, *, silent: bool = False) -> Channel:
    """The dialplan of calls to the outside: the company's number is shown, then the trunk is dialled."""
    full = f"+7{number[1:]}" if number.startswith("8") else number
    pbx.run(channel, "Goto", f"out,{full},1")
    pbx.run(
        channel, "Set", f"CALLERID(num)={pbx.config.outgoing_number}", context="out", exten=full, priority=1
    )
    pbx.identify(channel, pbx.config.outgoing_number, channel.party)
    pbx.run(channel, "Set", "CALLERID(name)=", priority=2)
    pbx.identify(channel, pbx.config.outgoing_number, None)
    pbx.record(channel, 3)
    return dial(pbx, call, pbx.config.trunk, f"{full}@trunk", 30, priority=4, silent=silent)


def callback_originate(pbx: Pbx, call: Call) -> Act:
    """AMI Originate: the agent's phone rings first, then the customer is dialled."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    shown = call.order.caller or SimCaller(number)
    channel = pbx.new_channel(
        agent.endpoint,
        0,
        number=agent.extension,
        party=agent.name,
        context="internal",
        exten="s",
        uniqueid=call.order.uniqueid,
    )
    call.begin(channel, Direction.OUTBOUND, number, pbx.now)
    true_leg = call.rings(channel, pbx.now)
    busy = pbx.devices[agent.endpoint].channels > 1
    pbx.run(channel, "AppDial2", "(Outgoing Line)")
    pbx.identify(channel, shown.number, shown.name or agent.name)
    channel.connect(shown.number, shown.name)
    pbx.tell("NewConnectedLine", channel)
    pbx.dial("DialBegin", None, channel, f"DialString: {agent.login}\r\n")
    pbx.set_state(channel, 5)
    pbx.dial("DialState", None, channel, "DialStatus: RINGING\r\n")
    pbx.refresh(channel.endpoint)
    # The agent asked for this call, so he picks up well before Originate's timeout.
    signal = yield Wait(Stage.RINGING, min(between(pbx, pbx.config.ring), 0.9 * call.order.timeout))
    if signal is not Signal.GO or busy:
        pbx.request_hangup(channel, *BUSY_HERE)
        pbx.dial_end(None, channel, "BUSY")
        originate_response(pbx, call, agent, shown, number, reason=0)
        give_up_channel(pbx, call, *BUSY_HERE, LegEndReason.BUSY)
        call.ends(CallEndReason.BUSY, pbx.now)
        return
    pbx.set_state(channel, 6)
    true_leg.answered_at = pbx.now  # the agent; the call is answered when the customer answers
    originate_response(pbx, call, agent, shown, number, reason=4)
    pbx.refresh(channel.endpoint)
    pbx.dial_end(None, channel, "ANSWER")
    channel.update(exten=number)
    colleague = next((one for one in pbx.config.agents if one.extension == number), None)
    if colleague is not None:
        leg = dial(pbx, call, colleague.endpoint, colleague.login, 20, priority=1)
    else:
        leg = dial_outside(pbx, call, channel, number, silent=True)
    yield from ring_phone(pbx, call, leg, "answer", priority=5, ended_by="agent")


def originate_response(
    pbx: Pbx, call: Call, agent: SimAgent, shown: SimCaller, number: str, *, reason: int
) -> None:
    """What became of an asynchronous Originate; in the event stream, found by its ActionID."""
    success = reason == 4
    pairs = [
        ("Response", "Success" if success else "Failure"),
        ("Channel", call.channel.name if success else agent.endpoint),
        ("Context", "internal"),
        ("Exten", number),
        ("Reason", str(reason)),
        ("Uniqueid", call.channel.uniqueid if success else "<unknown>"),
        ("CallerIDNum", shown.number or "<unknown>"),
        ("CallerIDName", shown.name or "<unknown>"),
    ]
    if call.order.action_id:
        pairs.insert(0, ("ActionID", call.order.action_id))
    pbx.out.append(packet("OriginateResponse", CALL, headers(*pairs), call.channel.uniqueid))


# ---- agents ----------------------------------------------------------------------------------------------------------


def some_agent(pbx: Pbx) -> SimAgent:
    """A free agent, else any."""
    return pbx.rng.choice(pbx.free_agents() or list(pbx.config.agents))


def free_agent(pbx: Pbx, besides: SimAgent | None = None) -> SimAgent:
    """A free agent who can make a call; SimulatorError if there is none."""
    free = [agent for agent in pbx.free_agents() if agent is not besides]
    if not free:
        raise SimulatorError("every agent is in a call; wait until one is free or configure more agents")
    return pbx.rng.choice(free)


SCENARIOS: Mapping[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        answered_queue_call,
        answered_agent_hangup,
        abandoned_in_queue,
        ring_no_answer_then_other,
        declined_agent,
        ringall_queue,
        queue_timeout,
        anonymous_caller,
        no_caller_id,
        cyrillic_caller_name,
        hold_unhold,
        blind_transfer_refer,
        ivr_then_queue,
        ivr_timeout_to_queue,
        ivr_caller_hangup,
        out_of_hours,
        direct_did,
        direct_did_missed,
        direct_did_busy,
        internal_call,
        internal_no_answer,
        outbound_answered,
        outbound_no_answer,
        outbound_busy,
        callback_originate,
    )
}
"""Name → scenario: what `Simulator.place` and a traffic mix may name."""
