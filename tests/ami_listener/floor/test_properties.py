"""What must hold whatever a PBX, a cut link or a lost packet does to the stream."""

from itertools import pairwise
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ami_listener.floor.events import FLOOR_WANTED
from ami_listener.floor.floor import HANDLERS, Floor
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.message import AmiMessage
from shared.contracts.floor import FloorMessage, read_floor_message
from tests.ami_listener.floor.floors import START, Reader, Timed, events, feed, listed, new_floor
from tests.ami_listener.tracker.recordings import NAMES

names = st.sampled_from(NAMES)
seeds = st.integers(0, 1 << 30)
quick = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def told(floor: Floor, stream: list[Timed], random: Random | None = None) -> list[FloorMessage]:
    """What is said when somebody takes now and then, and at the end."""
    messages: list[FloorMessage] = []
    for timed in stream:
        feed(floor, [timed])
        if random is None or random.random() < 0.3:
            messages += floor.take(timed[0])
    messages += floor.take(START)
    assert all(late.version > early.version for early, late in pairwise(messages))
    for message in messages:
        assert read_floor_message(message.to_json()).to_json() == message.to_json()
    return messages


def as_now(floor: Floor) -> str:
    """What is said to somebody who comes now."""
    floor.resend()
    return Reader().read(floor.take(START)).text()


def test_every_event_that_is_wanted_is_handled() -> None:
    assert HANDLERS.keys() == FLOOR_WANTED


@quick
@given(names, st.data())
def test_any_part_of_a_stream_in_any_doses(name: str, data: st.DataObject) -> None:
    """Updates are the state: who reads them from the beginning knows what one who comes late is told."""
    stream = events(name)
    begin = data.draw(st.integers(0, len(stream)))
    floor = new_floor()
    messages = told(floor, stream[begin:], Random(data.draw(seeds)))
    assert Reader().read(messages).text() == as_now(floor)


@quick
@given(names, seeds)
def test_doubled_events_change_nothing(name: str, seed: int) -> None:
    random = Random(seed)
    stream = events(name)
    doubled = [event for event in stream for _ in range(1 + (random.random() < 0.5))]
    assert as_now(feed(new_floor(), doubled)) == as_now(feed(new_floor(), stream))


@quick
@given(names, seeds, st.floats(0.01, 0.5))
def test_after_a_resync_the_state_is_the_snapshot(name: str, seed: int, lost: float) -> None:
    """Whatever went wrong before."""
    random = Random(seed)
    floor = feed(new_floor(), [event for event in events(name) if random.random() > lost])
    reader = Reader().read(floor.take(START))
    snapshot = listed("live_state_snapshot")
    floor.begin_resync()
    floor.settle(snapshot, START)
    clean = new_floor()
    clean.settle(snapshot, START)
    assert without_moments(reader.read(floor.take(START))) == without_moments(
        Reader().read(clean.take(START))
    )


def without_moments(reader: Reader) -> str:
    """A list does not say since when: who saw it happen knows more."""
    return "\n".join(
        line.partition(" since ")[0].partition(", talks")[0] for line in reader.text().splitlines()
    )


@quick
@given(st.sampled_from([n for n in NAMES if n != "asterisk_restart.1"]), st.data())
def test_events_during_a_resync_are_neither_lost_nor_applied_twice(name: str, data: st.DataObject) -> None:
    """The lists may be from any moment while they were asked for; in the end everything is as without a resync."""
    stream = events(name)
    begin, made, end = sorted(data.draw(st.tuples(*[st.integers(0, len(stream))] * 3)))
    floor = feed(new_floor(), stream[:begin])
    floor.begin_resync()
    feed(floor, stream[begin:end])
    floor.settle(lists_of(feed(new_floor(), stream[:made])), START)
    feed(floor, stream[end:])
    expected = feed(new_floor(), stream)
    assert without_moments(Reader().read(floor.take(START))) == without_moments(
        Reader().read(expected.take(START))
    )


def lists_of(floor: Floor) -> FloorSnapshot:
    """What a PBX in this state would answer."""
    floor.resend()
    reader = Reader().read(floor.take(START))
    numbers = [
        "unknown",
        "not_in_use",
        "in_use",
        "busy",
        "invalid",
        "unavailable",
        "ringing",
        "ring_in_use",
        "on_hold",
    ]
    rows: list[AmiMessage] = []
    for name, update in reader.queues.items():
        rows.append(AmiMessage(Event="QueueParams", Queue=name))
        for member in update.queue.members:
            rows.append(
                AmiMessage(
                    Event="QueueMember",
                    Queue=name,
                    Location=member.interface,
                    StateInterface=member.device,
                    Name=member.name or "",
                    Membership=member.membership or "",
                    Penalty=str(member.penalty),
                    CallsTaken=str(member.calls_taken),
                    LastCall=f"{member.last_call_at.timestamp():.0f}" if member.last_call_at else "0",
                    LastPause=f"{member.paused_at.timestamp():.0f}" if member.paused_at else "0",
                    InCall="1" if member.in_call else "0",
                    Status=str(numbers.index(member.state)),
                    Paused="1" if member.paused else "0",
                    PausedReason=member.pause_reason or "",
                )
            )
        for waiting in update.queue.waiting:
            rows.append(
                AmiMessage(
                    Event="QueueEntry",
                    Queue=name,
                    Position=str(waiting.position),
                    Uniqueid=waiting.call_id.removeprefix("pbx-"),
                    CallerIDNum=waiting.caller.number or "unknown",
                    Wait="1",
                )
            )
    devices = [
        AmiMessage(
            Event="DeviceStateChange", Device=device, State=update.phone.state.replace("_", "").upper()
        )
        for device, update in reader.phones.items()
    ]
    return FloorSnapshot(tuple(rows), tuple(devices))


# fmt: off
HEADERS = [
    "Queue", "Interface", "Location", "StateInterface", "MemberName", "Uniqueid", "Linkedid", "Position", "Device",
    "State", "Status", "Paused", "PausedReason", "LastPause", "LastCall", "CallsTaken", "InCall", "Penalty",
    "Wrapuptime", "HoldTime", "TalkTime", "Completed", "Wait", "CallerIDNum", "CallerIDName", "Membership", "Hint",
    "ObjectName", "DeviceState", "Max",
]
VALUES = [
    "", "0", "1", "2", "9", "-1", "4102444800", "99999999999999999999", "support", "billing", "PJSIP/101",
    "Local/101@x/n", "hint:101@x", "Queue:a_pause_PJSIP/1", "RINGING", "1.1", "1.2", "anonymous", "<unknown>",
]
# fmt: on
headers = st.dictionaries(
    st.sampled_from(HEADERS), st.one_of(st.sampled_from(VALUES), st.text(max_size=5)), max_size=16
)


def messages_of(kinds: list[str]) -> st.SearchStrategy[list[AmiMessage]]:
    one = st.builds(lambda kind, found: AmiMessage({"Event": kind, **found}), st.sampled_from(kinds), headers)
    return st.lists(one, max_size=15)


@quick
@given(
    messages_of(sorted(FLOOR_WANTED)),
    messages_of(["QueueParams", "QueueMember", "QueueEntry"]),
    messages_of(["DeviceStateChange", "EndpointList", "ExtensionStatus"]),
)
def test_nonsense_is_survived(
    stream: list[AmiMessage], queues: list[AmiMessage], devices: list[AmiMessage]
) -> None:
    floor = new_floor()
    timed = [(START, message) for message in stream]
    told(floor, timed)
    floor.begin_resync()
    told(floor, timed)
    floor.settle(FloorSnapshot(tuple(queues), tuple(devices)), START)
    told(floor, timed)
    floor.settle(FloorSnapshot((), ()), START)
    assert not any(floor.size().values())
