"""The agent passes the caller on without asking whom it goes to: by REFER, or by the feature code *1."""

from collections.abc import Callable, Generator, Sequence
from typing import Literal

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.config import SimAgent
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import Behaviour, Party, Script, Talk, between, drop_leg
from services.simulator.pbx import Pbx
from services.simulator.queueing import stay_in_queue
from services.simulator.scenarios.queue_calls import talk_to_agent
from services.simulator.talking import converse, end_talk, leave_agent, over_after_transfer, put_through
from shared.contracts.call import LegEndReason, QueueOutcome, TransferKind, TransferOutcome

Step = Literal["transfer", "move", "part", "report", "drop"]
"""BlindTransfer is told; the caller leaves the bridge; the agent does; AgentComplete is told; his channel ends."""

# The ends are threads of the PBX: the recorded calls have these orders, and a tracker must not depend on any.
TO_A_PHONE: Sequence[Step] = ("transfer", "move", "report", "part", "drop")
TO_ONE_WHO_DECLINES: Sequence[Step] = ("transfer", "move", "part", "drop", "report")
TO_A_QUEUE: Sequence[Step] = ("part", "transfer", "report", "drop", "move")
BY_FEATURE: Sequence[Step] = ("transfer", "part", "report", "move", "drop")

FEATURE_BLIND = "*1"
NOBODY = "999"
"""An extension that no phone has; those of the phones begin at 101."""
QUEUE_BASE = 801
"""Extension of the first queue, for transfers; the others follow."""


def blind_transfer_refer(pbx: Pbx, call: Call) -> Act:
    """The agent passes the caller on to a free colleague; without one it is a plain call."""
    return passed_to_colleague(pbx, call, TO_A_PHONE)


def blind_transfer_no_answer(pbx: Pbx, call: Call) -> Act:
    """The colleague declines: the dialplan lets the caller go."""
    return passed_to_colleague(pbx, call, TO_ONE_WHO_DECLINES, behaviour="decline")


def blind_transfer_unanswered(pbx: Pbx, call: Call) -> Act:
    """The colleague lets it ring till the end."""
    return passed_to_colleague(pbx, call, TO_A_PHONE, behaviour="ignore")


def blind_transfer_feature(pbx: Pbx, call: Call) -> Act:
    """The agent presses *1 and the extension."""
    return passed_to_colleague(pbx, call, BY_FEATURE, feature=True)


def blind_transfer_nowhere(pbx: Pbx, call: Call) -> Act:
    """The agent mistypes: nobody has this extension."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    pass_on(pbx, call, talk, NOBODY, TO_A_PHONE)
    yield from put_through(pbx, call, NOBODY)


def blind_transfer_to_queue(pbx: Pbx, call: Call) -> Act:
    """The agent passes the caller on to another queue, the last of them."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    number, queue = len(pbx.config.queues) - 1, pbx.config.queues[-1]
    pass_on(pbx, call, talk, str(QUEUE_BASE + number), TO_A_QUEUE)
    again = yield from stay_in_queue(pbx, call, queue.name, Script())
    if again is not None:
        call.transfer_became(TransferOutcome.ANSWERED)
        yield from converse(pbx, call, again, "agent")
        return
    gave_up = call.truth.queue_outcome is QueueOutcome.ABANDONED
    over_after_transfer(pbx, call, TransferOutcome.CANCELLED if gave_up else TransferOutcome.NO_ANSWER)


def several_transfers(pbx: Pbx, call: Call) -> Act:
    """From agent to agent to agent, as long as somebody is free."""
    talk = yield from talk_to_agent(pbx, call)
    for _ in range(3):
        if talk is None or not (yield from talks_a_while(pbx, call, talk)):
            return
        target = colleague(pbx, call, talk)
        if target is None:
            break
        pass_on(pbx, call, talk, target.extension, TO_A_PHONE)
        talk = yield from put_through(pbx, call, target.extension)
    if talk is not None:
        yield from converse(pbx, call, talk, "caller")


def passed_to_colleague(
    pbx: Pbx, call: Call, order: Sequence[Step], *, behaviour: Behaviour = "answer", feature: bool = False
) -> Act:
    """A queue call whose agent passes the caller on to a free colleague; without one it is a plain call."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    target = colleague(pbx, call, talk)
    if target is None:
        end_talk(pbx, call, talk, "caller")
        return
    if feature and not (yield from types_extension(pbx, call, talk, FEATURE_BLIND, target.extension)):
        return
    if feature and not pbx.is_free(target.endpoint):
        behaviour = "ignore"  # a colleague who was rung while the agent typed: his phone is engaged
    pass_on(pbx, call, talk, target.extension, order, external=not feature)
    again = yield from put_through(pbx, call, target.extension, behaviour)
    if again is not None:
        yield from converse(pbx, call, again, "caller")


def talks_a_while(pbx: Pbx, call: Call, talk: Talk) -> Generator[Wait, Signal, bool]:
    """The talk before something is done about it; False if it ended by then."""
    signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk) / 2)
    if signal is Signal.GO:
        return True
    by: Party = "agent" if signal is Signal.LEG_GONE else "caller"
    end_talk(pbx, call, talk, by)
    return False


def colleague(pbx: Pbx, call: Call, talk: Talk) -> SimAgent | None:
    """Whom the agent may pass the caller to: as ordered, else anybody who is free."""
    others = [agent for agent in pbx.free_agents() if agent.endpoint != talk.leg.endpoint]
    if call.order.other is not None:
        return call.order.other if call.order.other in others else None
    return pbx.rng.choice(others) if others else None


def types_extension(
    pbx: Pbx, call: Call, talk: Talk, code: str, extension: str
) -> Generator[Wait, Signal, bool]:
    """A feature code: the caller hears music while the agent types; False if somebody hung up meanwhile."""
    for key in code:
        pbx.digit(talk.leg, key)
    pbx.hold(talk.leg, call.channel, by_feature=True)
    call.truth.holds += 1
    signal = yield Wait(Stage.HELD, 2.0)
    for key in extension:
        pbx.digit(talk.leg, key)
    if signal is Signal.GO:
        return True
    pbx.unhold(talk.leg, call.channel)
    end_talk(pbx, call, talk, "agent" if signal is Signal.LEG_GONE else "caller")
    return False


def pass_on(
    pbx: Pbx, call: Call, talk: Talk, exten: str, order: Sequence[Step], *, external: bool = True
) -> None:
    """BlindTransfer: the caller goes to an extension, the agent is out of the call. external: by REFER."""
    caller, leg = call.channel, talk.leg
    bridge = leg.bridge
    assert bridge is not None
    pbx.unhold(leg, caller)  # Asterisk tells it though nobody held
    pbx.var(caller, "BLINDTRANSFER", leg.name)
    pbx.var(leg, "BLINDTRANSFER", caller.name)
    pbx.var(caller, "SIPTRANSFER", "yes")
    pbx.forget_peers(leg)
    body = (
        "Result: Success\r\n"
        + leg.render("Transferer")
        + caller.render("Transferee")
        + bridge.block
        + headers(("IsExternal", "Yes" if external else "No"), ("Context", "internal"), ("Extension", exten))
    )
    call.transferred(TransferKind.BLIND, leg.endpoint, exten, pbx.now)

    def move() -> None:
        pbx.run(caller, "Queue", caller.app_data, context="internal", exten=exten, priority=1)
        pbx.leave(caller)

    steps: dict[Step, Callable[[], object]] = {
        "transfer": lambda: pbx.out.append(packet("BlindTransfer", CALL, body, caller.uniqueid)),
        "move": move,
        "part": lambda: pbx.leave(leg),
        "report": lambda: leave_agent(pbx, call, talk, "transfer"),
        "drop": lambda: drop_leg(pbx, call, leg, 16, None, LegEndReason.TRANSFERRED),
    }
    for step in order:
        steps[step]()
