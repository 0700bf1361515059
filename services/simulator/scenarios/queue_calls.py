"""Queue calls: from the trunk into a line, to an agent, to the end."""

from collections.abc import Generator

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import NO_NUMBER, WITHHELD, SimCaller, SimQueue
from services.simulator.parts import Party, Script, Talk, answer_caller, arrive, between, caller_of
from services.simulator.pbx import Pbx
from services.simulator.queueing import stay_in_queue
from services.simulator.talking import converse, cut_talk, end_talk

CYRILLIC_NAME = "Иванов Пётр"


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


def busy_agent_rejects(pbx: Pbx, call: Call) -> Act:
    """The first agent's phone says it is busy; the next agent answers."""
    return queue_call(pbx, call, Script(("busy", "answer")))


def hangup_by_ami(pbx: Pbx, call: Call) -> Act:
    """Somebody ends the call by the AMI action Hangup."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is not None:
        signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk))
        if signal is Signal.GO:
            cut_talk(pbx, call, talk)
        else:
            end_talk(pbx, call, talk, "agent" if signal is Signal.LEG_GONE else "caller")


def queue_overflow(pbx: Pbx, call: Call) -> Act:
    """Nobody in the first queue answers in time; the second one takes the call."""
    first, second = default_queue(pbx), pbx.config.queues[-1]
    channel = arrive(pbx, call, call.order.did or first.did, caller_of(pbx, call))
    enter_queue(pbx, channel, first)
    script = Script(("ignore",), max_wait=6.0, overflow=True)
    talk = yield from stay_in_queue(pbx, call, first.name, script)
    if talk is None and not call.ended:
        talk = yield from stay_in_queue(pbx, call, second.name, Script())
    if talk is not None:
        yield from converse(pbx, call, talk, "caller")


def queue_local_members(pbx: Pbx, call: Call) -> Act:
    """A queue whose members are Local channels."""
    return local_call(pbx, call, Script())


def queue_local_members_rna(pbx: Pbx, call: Call) -> Act:
    """The same; the first agent lets it ring."""
    return local_call(pbx, call, Script(("ignore", "answer")), ended_by="agent")


def local_call(pbx: Pbx, call: Call, script: Script, *, ended_by: Party = "caller") -> Act:
    """A call to the queue with Local members (any queue, if there is none such)."""
    local = next((q for q in pbx.config.queues if q.members[0].startswith("Local/")), None)
    return queue_call(pbx, call, script, did=local.did if local else None, ended_by=ended_by)


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


def talk_to_agent(pbx: Pbx, call: Call) -> Generator[Wait, Signal, Talk | None]:
    """From the trunk through a queue to an agent who talks (→ Talk), or to the end of the call (→ None)."""
    number = call.order.did or default_queue(pbx).did
    queue = queue_of(pbx, number)
    channel = arrive(pbx, call, number, caller_of(pbx, call))
    enter_queue(pbx, channel, queue)
    return (yield from stay_in_queue(pbx, call, queue.name, Script()))
