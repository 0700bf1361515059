"""The PBX tells each thing from the thread that does it, so what happens at once may be told in any order."""

import re
from collections.abc import Iterable
from datetime import timedelta

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls
from tests.ami_listener.tracker.recordings import NAMES, OLDER, Timed, messages, text, told_late, track

# Longer than any pause within what one act of somebody causes.
_AT_ONCE = timedelta(milliseconds=30)
# Told by the very thread that hangs the agent up next, so never after that.
_THREAD_OF_AGENT = {"attended_transfer_feature"}


def _truth(events: Iterable[Timed]) -> list[str]:
    """What is told of the calls in the end, but for times and for the order of phones that ring at once."""
    calls = re.sub(r"\b\d+\.\d\b", "#", text(final_calls(track(events))))
    return sorted(calls.splitlines())


@pytest.mark.parametrize("event", ["BlindTransfer", "AttendedTransfer"])
@pytest.mark.parametrize("name", [name for name in NAMES + OLDER if name not in _THREAD_OF_AGENT])
def test_transfer_that_is_told_after_what_follows_from_it(name: str, event: str) -> None:
    """The next phone's ringing, its refusal or answer, and the end of who passed the call on (seen once in some
    thousand real calls, on a busy machine)."""
    as_it_was = _truth(messages(name))
    for late in told_late(name, event, timedelta(seconds=0.5)):
        assert _truth(late) == as_it_was


@pytest.mark.parametrize("name", NAMES + OLDER)
def test_what_different_channels_do_at_once_is_told_in_any_order(name: str) -> None:
    events = messages(name)
    as_it_was = _truth(events)
    for first, (at, message) in enumerate(events):
        if message.event in ("AttendedTransfer", "Pickup"):
            continue  # told by a thread that acts on these channels afterwards
        for then in range(first + 1, len(events)):
            if events[then][0] - at > _AT_ONCE or _one_after_the_other(message, events[then][1]):
                break
            late = (events[then][0], message)
            swapped = [*events[:first], *events[first + 1 : then + 1], late, *events[then + 1 :]]
            assert _truth(swapped) == as_it_was, (first, then)


def _one_after_the_other(first: AmiMessage, then: AmiMessage) -> bool:
    """A channel's events come in their order; and the first one of a call is made before it calls another."""
    both_new = first.event == then.event == "Newchannel"
    return both_new or bool(_channels(first) & _channels(then))


def _channels(event: AmiMessage) -> set[str]:
    return {event.get("Uniqueid", ""), event.get("DestUniqueid", "")} - {""}
