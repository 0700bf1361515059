"""Calls to the switchboard number: the menu, and the office that is closed."""

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.packets import USER
from services.simulator.parts import (
    PLAYBACK_SECONDS,
    Script,
    answer_caller,
    arrive,
    between,
    caller_of,
    give_up_channel,
)
from services.simulator.pbx import Pbx
from services.simulator.queueing import stay_in_queue
from services.simulator.scenarios.queue_calls import default_queue
from services.simulator.talking import converse
from shared.contracts.call import (
    CallEndReason,
)


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
