"""The PBX tells each thing from the thread that does it, so what happens at once may be told in any order."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls
from ami_listener.tracker.events import WANTED
from ami_listener.wire import AmiFramer
from bench.soak import EPOCH, configuration
from services.simulator.compare import differences
from services.simulator.engine import Engine
from services.simulator.scenarios import SCENARIOS
from shared.contracts.call import Call
from tests.ami_listener.tracker.recordings import (
    NAMES,
    OLDER,
    Timed,
    having,
    messages,
    text,
    told_late,
    track,
)

# Longer than any pause within what one act of somebody causes.
_AT_ONCE = timedelta(milliseconds=30)
# Told by the very thread that hangs the agent up next, so never after that.
_THREAD_OF_AGENT = {"attended_transfer_feature"}


def _truth(events: Iterable[Timed]) -> list[str]:
    """What is told of the calls in the end, but for times and for the order of phones that ring at once."""
    calls = re.sub(r"\b\d+\.\d\b", "#", text(final_calls(track(events))))
    return sorted(calls.splitlines())


@pytest.mark.parametrize(
    ("name", "event"),
    [
        (name, event)
        for event in ("BlindTransfer", "AttendedTransfer")
        for name in having(event)
        if name not in _THREAD_OF_AGENT
    ],
)
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


# Told once it is done, while what follows from it has begun elsewhere.
_TOLD_AFTERWARDS = ("BlindTransfer", "DialBegin", "ParkedCall", "OriginateResponse")
# Where the thread that dials sends on what a phone forwards, both are told in their order. And a caller who was sent
# to nobody may be gone before it is told: his call has ended by then, and an end does not change any more.
_OTHERWISE = {"phone_forward_302", "blind_transfer_nowhere"}


@pytest.mark.parametrize("seed", range(3))
def test_simulated_calls_of_every_kind_on_a_pbx_that_tells_late(seed: int) -> None:
    engine = Engine(configuration(seed, sorted(SCENARIOS.keys() - _OTHERWISE)), EPOCH)
    engine.start_traffic(400)

    told: dict[str, Call] = {call.call_id: call for call in final_calls(track(_late(engine, Random(seed))))}

    assert len(engine.truth) >= 400
    assert [str(one) for one in differences("pbx", list(engine.truth), told)] == []


def _late(engine: Engine, random: Random) -> Iterator[Timed]:
    """What the PBX says, in the order in which it is told."""
    framer, found = AmiFramer(WANTED), []
    last: dict[str, float] = {}
    while engine.step(float("inf")):
        for message in framer.feed("".join(packet.text for packet in engine.take()).encode()):
            late = random.uniform(0, 0.2) if message.event in _TOLD_AFTERWARDS else 0.0
            at = max([engine.pbx.now + late, *(last.get(channel, 0.0) for channel in _channels(message))])
            last.update(dict.fromkeys(_channels(message), at))
            found.append((at, message))
    found.sort(key=lambda timed: timed[0])
    for at, message in found:
        yield datetime.fromtimestamp(at, UTC), message
