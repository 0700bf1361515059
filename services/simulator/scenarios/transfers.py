"""The agent passes the caller on without asking."""

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.parts import Script, arrive, between, caller_of
from services.simulator.pbx import Pbx
from services.simulator.queueing import stay_in_queue
from services.simulator.scenarios.queue_calls import default_queue, enter_queue, queue_of
from services.simulator.talking import end_talk, transfer_blind


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
