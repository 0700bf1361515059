"""Every recording keeps the invariants, and each invariant finds the call that breaks it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ami_listener.invariants import SENTENCES, Channels, Invariant, UpdateStream, of_call, violations
from ami_listener.message import AmiMessage
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import (
    Call,
    CallState,
    CallUpdate,
    Direction,
    Leg,
    LegState,
)
from tests.ami_listener.tracker.recordings import NAMES, START, messages, rules, track


@pytest.mark.parametrize("name", NAMES)
def test_recordings_keep_them(name: str) -> None:
    tracker, channels, stream = Tracker("pbx", rules()), Channels(), UpdateStream()
    found = []
    for at, message in messages(name):
        channels.see(message)
        for update in tracker.handle(message, at):
            found += stream.take(update)
        if message.event == "Hangup":
            found += channels.judge(tracker.open_calls(), tracker.size())
    assert found == []
    # A PBX that restarts in mid-call says no Hangup: its calls are open at the end.
    assert bool(stream.open) is bool(channels.up) is (name == "asterisk_restart.1")


UPDATES = list(track(messages("ringall_queue")))
HELD = list(track(messages("hold_unhold")))[-1].call
MOVED = list(track(messages("blind_transfer_refer")))[-1].call
MISSED = list(track(messages("direct_did_missed")))[-1].call
ENDED = UPDATES[-1].call
HOUR = timedelta(hours=1)


def leg(call: Call, **changes: Any) -> Call:
    return call.model_copy(update={"legs": [call.legs[0].model_copy(update=changes), *call.legs[1:]]})


def changed(call: Call, **changes: Any) -> Call:
    return call.model_copy(update=changes)


def a_local(call: Call) -> Leg:
    return call.legs[0].model_copy(update={"endpoint": "Local/101@x", "channel": "Local/101@x-00000001;1"})


# fmt: off
BROKEN: list[tuple[Invariant, Callable[[], Call]]] = [
    (Invariant.IDENTITY, lambda: changed(ENDED, pbx="other")),
    (Invariant.END_IS_WHOLE, lambda: changed(ENDED, end_reason=None)),
    (Invariant.END_IS_WHOLE, lambda: changed(ENDED, ended_at=None)),
    (Invariant.END_IS_WHOLE, lambda: changed(ENDED, state=CallState.ANSWERED)),
    (Invariant.NOTHING_GOES_ON, lambda: changed(ENDED, talking_to="PJSIP/agent101")),
    (Invariant.NOTHING_GOES_ON,
     lambda: changed(HELD, holds=[HELD.holds[0].model_copy(update={"ended_at": None})])),
    (Invariant.NOTHING_GOES_ON, lambda: leg(ENDED, state=LegState.RINGING, ended_at=None, end_reason=None)),
    (Invariant.NOTHING_GOES_ON,
     lambda: changed(MOVED, transfers=[MOVED.transfers[0].model_copy(update={"outcome": None})])),
    (Invariant.NOTHING_GOES_ON,
     lambda: changed(ENDED, queue=ENDED.queue and ENDED.queue.model_copy(update={"outcome": None}))),
    (Invariant.LEG_IS_WHOLE, lambda: leg(ENDED, end_reason=None)),
    (Invariant.LEG_IS_WHOLE,
     lambda: leg(UPDATES[0].call.model_copy(update={"legs": ENDED.legs}), state=LegState.HELD, answered_at=None)),
    (Invariant.NO_LOCAL_LEG, lambda: changed(ENDED, legs=[*ENDED.legs, a_local(ENDED)])),
    (Invariant.ONE_LEG_A_CHANNEL, lambda: changed(ENDED, legs=[*ENDED.legs, ENDED.legs[0]])),
    (Invariant.TIMES_IN_ORDER, lambda: leg(ENDED, ringing_at=ENDED.started_at - HOUR)),
    (Invariant.TIMES_IN_ORDER, lambda: changed(ENDED, ended_at=ENDED.started_at - HOUR)),
    (Invariant.TIMES_IN_ORDER, lambda: changed(ENDED, timeline=ENDED.timeline[::-1])),
    (Invariant.ANSWERED_BY_A_LEG, lambda: changed(MISSED, answered_at=MISSED.started_at)),
    (Invariant.MISSED_IS_RIGHT, lambda: changed(ENDED, missed=True)),
    (Invariant.MISSED_IS_RIGHT, lambda: changed(MISSED, direction=Direction.INTERNAL)),
    (Invariant.KNOWN_WORDS, lambda: changed(ENDED, end_reason="gone")),
]
# fmt: on


@pytest.mark.parametrize(("invariant", "broken"), BROKEN)
def test_a_broken_call_is_found(invariant: Invariant, broken: Callable[[], Call]) -> None:
    found = of_call(broken())
    assert invariant in {violation.invariant for violation in found}


def test_the_calls_they_were_made_of_are_sound() -> None:
    assert [of_call(call) for call in (ENDED, HELD, MOVED, MISSED)] == [[], [], [], []]
    assert set(SENTENCES) == set(Invariant)


def found_in(updates: list[CallUpdate]) -> set[Invariant]:
    return {violation.invariant for violation in violations(updates)}


def test_updates_in_their_order_are_sound() -> None:
    assert found_in(UPDATES) == set()


def test_a_version_that_does_not_grow_is_found() -> None:
    assert Invariant.VERSION_GROWS in found_in([*UPDATES[:3], UPDATES[2]])
    assert Invariant.VERSION_GROWS in found_in([UPDATES[0].model_copy(update={"version": 2**53})])


def test_an_ended_call_that_is_told_again_is_found() -> None:
    again = UPDATES[-1].model_copy(update={"version": UPDATES[-1].version + 1})
    assert found_in([*UPDATES, again]) == {Invariant.ENDED_STAYS}


def test_a_call_that_forgets_is_found() -> None:
    later = UPDATES[-1].version + 1
    fewer = UPDATES[-2].model_copy(
        update={"version": later, "call": UPDATES[-2].call.model_copy(update={"legs": []})}
    )
    assert Invariant.NOTHING_IS_UNSAID in found_in([*UPDATES[:-1], fewer])
    moved = UPDATES[1].model_copy(
        update={"call": UPDATES[1].call.model_copy(update={"started_at": START - HOUR})}
    )
    assert Invariant.NOTHING_IS_UNSAID in found_in([UPDATES[0], moved])


def test_an_update_about_another_call_is_found() -> None:
    assert Invariant.IDENTITY in found_in([UPDATES[0].model_copy(update={"call_id": "pbx-1.1"})])


class TestChannels:
    def test_a_call_without_channels_is_found(self) -> None:
        """What a tracker would do that had missed the hang-ups."""
        tracker, channels = Tracker("pbx", rules()), Channels()
        for at, message in messages("direct_did"):
            channels.see(message)
            if message.event != "Hangup":
                tracker.handle(message, at)
        found = {v.invariant for v in channels.judge(tracker.open_calls(), tracker.size())}
        assert found == {Invariant.OPEN_HAS_A_CHANNEL, Invariant.MEMORY_IS_EMPTY}

    def test_what_the_pbx_does_not_list_is_gone(self) -> None:
        channels = Channels()

        def see(name: str, **headers: str) -> None:
            channels.see(AmiMessage(Event=name, **headers))

        see("Newchannel", Uniqueid="1.1", Channel="PJSIP/a-00000001")
        see("Newchannel", Uniqueid="1.2", Channel="PJSIP/b-00000002")
        see("CoreShowChannel", Uniqueid="1.2", Channel="PJSIP/b-00000002")
        see("Newchannel", Uniqueid="1.3", Channel="PJSIP/c-00000003")
        see("CoreShowChannelsComplete")
        see("Rename", Uniqueid="1.3", Channel="PJSIP/c-00000003", Newname="PJSIP/d-00000003")
        see("Newchannel", Uniqueid="1.4", Channel="Message/ast_msg_queue")
        assert channels.up == {"1.2": "PJSIP/b-00000002", "1.3": "PJSIP/d-00000003"}
