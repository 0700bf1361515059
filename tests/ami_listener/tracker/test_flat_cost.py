"""One more call costs the same with ten calls open as with two thousand: counted in lines of code run, not in time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ami_listener.tracker
from ami_listener.message import AmiMessage
from ami_listener.tracker.tracker import Tracker
from tests.ami_listener.tracker.recordings import Timed, messages, rules, track

TRACKER = str(Path(ami_listener.tracker.__file__).parent)
IDS = ("Uniqueid", "Linkedid", "DestUniqueid", "DestLinkedid", "BridgeUniqueid")


class Lines:
    count = 0


@contextmanager
def counted() -> Iterator[Lines]:
    """How many lines of the tracker run meanwhile. A loop counts once for each round."""
    lines, before = Lines(), sys.gettrace()

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(TRACKER):
            return None
        lines.count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def copy(events: list[Timed], number: int) -> list[Timed]:
    """The same call once more, as another one."""
    return [
        (at, AmiMessage({k: f"{v}{number:05}" if k in IDS else v for k, v in message.items()}))
        for at, message in events
    ]


def open_calls(count: int) -> Tracker:
    """A PBX where half the calls talk, a quarter rings and a quarter waits in the queue."""
    talk = list(messages("asterisk_restart.1"))  # the PBX died in mid-call: nobody hangs up
    rings = next(i for i, (_, m) in enumerate(talk) if m.event == "DialBegin") + 1
    waits = next(i for i, (_, m) in enumerate(talk) if m.event == "QueueCallerJoin") + 1
    tracker = Tracker("pbx", rules())
    for number in range(count):
        part = talk[: (waits, len(talk), rings, len(talk))[number % 4]]
        for _ in track(copy(part, number), tracker):
            pass
    assert tracker.size()["calls"] == count
    return tracker


@pytest.fixture(scope="module")
def busy() -> tuple[Tracker, Tracker]:
    return open_calls(10), open_calls(2000)


# Each family of events: queue with one and with many phones, Local channels, transfers, pickup, parking, conference,
# Originate.
@pytest.mark.parametrize(
    "name",
    [
        "answered_queue_call",
        "ringall_queue",
        "queue_local_members_rna",
        "attended_transfer_feature",
        "three_transfers",
        "call_pickup",
        "park_timeout",
        "conference_by_transfer",
        "callback_originate",
    ],
)
def test_one_more_call(name: str, busy: tuple[Tracker, Tracker]) -> None:
    for _ in track(messages(name)):
        pass  # what an endpoint is, is guessed once and remembered
    costs = []
    for tracker in busy:
        before = tracker.size()
        with counted() as lines:
            for at, message in messages(name):
                tracker.handle(message, at)
        assert tracker.size() == before
        assert tracker.last_problem is None
        costs.append(lines.count)
    few, many = costs
    assert few == many
