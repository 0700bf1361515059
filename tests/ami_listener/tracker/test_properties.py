"""What must hold whatever a PBX, a cut link or a lost packet does to the stream.

A few seconds by default, always the same examples; `CALLCARD_EXAMPLES=2000 pytest tests/ami_listener/tracker` draws
that many new ones for each property.
"""

import os
from datetime import timedelta
from itertools import accumulate, pairwise
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls, replay
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import CallState, CallUpdate, LegState
from tests.ami_listener.tracker import written
from tests.ami_listener.tracker.recordings import (
    NAMES,
    OLDER,
    START,
    Timed,
    messages,
    read,
    rules,
    text,
    track,
)

# asterisk_restart.1 ends in mid-call: its channels never hang up.
RECORDED = [name for name in NAMES + OLDER if name != "asterisk_restart.1"]
recorded = st.sampled_from(RECORDED)
names = st.sampled_from(RECORDED + written.NAMES)
# A seed and not Hypothesis' own random: one draw for each event would cost more than the test.
seeds = st.integers(0, 1 << 30)
EXAMPLES = os.environ.get("CALLCARD_EXAMPLES")
quick = settings(
    max_examples=int(EXAMPLES or 40),
    deadline=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.too_slow],
)


def story(name: str) -> list[Timed]:
    return written.events(name) if name in written.NAMES else list(messages(name))


def hang_up_the_rest(events: list[Timed], tracker: Tracker) -> list[CallUpdate]:
    """Whatever was lost of a stream: in the end every channel it named is hung up."""
    ids = {
        message[header]: None
        for _, message in events
        for header in ("Uniqueid", "DestUniqueid")
        if message.get(header, "<unknown>") != "<unknown>"
    }
    end = START + timedelta(hours=1)
    return list(track(((end, AmiMessage(Event="Hangup", Uniqueid=uid, Cause="16")) for uid in ids), tracker))


def assert_sound(updates: list[CallUpdate], tracker: Tracker) -> None:
    assert all(size == 0 for size in tracker.size().values())
    assert tracker.open_calls() == []
    versions = [update.version for update in updates]
    assert all(late > early for early, late in pairwise(versions))
    over: set[str] = set()
    for update in updates:
        assert update.call_id not in over or update.call.state is CallState.ENDED  # nothing is over twice
        if update.call.state is CallState.ENDED:
            over.add(update.call_id)
    for call in final_calls(updates):
        assert call.state is CallState.ENDED
        assert call.end_reason is not None
        assert call.ended_at is not None
        assert all(leg.state is LegState.ENDED and leg.end_reason for leg in call.legs)
        assert not any("Local/" in leg.endpoint for leg in call.legs)
        assert not (call.missed and call.answered_at)
    for update in updates:
        assert CallUpdate.model_validate_json(update.to_json()).to_json() == update.to_json()


def run(events: list[Timed]) -> list[CallUpdate]:
    tracker = Tracker("pbx", rules())
    updates = list(track(events, tracker))
    updates += hang_up_the_rest(events, tracker)
    assert_sound(updates, tracker)
    return updates


@quick
@given(names, st.data())
def test_any_part_of_a_stream(name: str, data: st.DataObject) -> None:
    """A link that came late or was cut."""
    events = story(name)
    begin = data.draw(st.integers(0, len(events)))
    end = data.draw(st.integers(begin, len(events)))
    run(events[begin:end])


@quick
@given(names, seeds, st.floats(0.01, 0.5))
def test_lost_events(name: str, seed: int, share: float) -> None:
    random = Random(seed)
    run([event for event in story(name) if random.random() > share])


@quick
@given(names, seeds)
def test_doubled_events_change_nothing(name: str, seed: int) -> None:
    """Each event may come again right away. Only keys of a caller cannot be told from pressing them twice."""
    random = Random(seed)
    events = story(name)
    doubled = [
        event
        for event in events
        for _ in range(2 if random.random() < 0.5 and event[1].event != "DTMFEnd" else 1)
    ]
    assert text(final_calls(run(doubled))) == text(final_calls(run(events)))


@quick
@given(names, seeds)
def test_late_copies_bring_nothing_back(name: str, seed: int) -> None:
    """Events that come once more after everything ended: no call is open for ever."""
    random = Random(seed)
    events = story(name)
    tracker = Tracker("pbx", rules())
    updates = list(track(events, tracker))
    late = [event for event in events if event[1].event != "Newchannel" and random.random() < 0.5]
    updates += track(((events[-1][0], message) for _, message in late), tracker)
    assert_sound(updates, tracker)


@quick
@given(st.lists(names, min_size=2, max_size=3, unique=True), seeds)
def test_interleaved_calls_do_not_mix(chosen: list[str], seed: int) -> None:
    random = Random(seed)
    queues = [story(name) for name in chosen]
    alone = sorted(line for events in queues for line in text(final_calls(run(events))).splitlines())
    mixed: list[Timed] = []
    while any(queues):
        events = random.choice([q for q in queues if q])
        mixed.append(events.pop(0))
    together = sorted(text(final_calls(run(mixed))).splitlines())
    assert [line for line in together if line] == [line for line in alone if line]


@quick
@given(st.lists(names, min_size=2, max_size=4), seeds, st.floats(0.0, 0.4), st.floats(0.0, 0.4))
def test_all_of_it_at_once(chosen: list[str], seed: int, lost: float, moved: float) -> None:
    """Several calls at once (the same one twice: its ids come again), events lost, doubled and out of their order."""
    random = Random(seed)
    queues = [story(name) for name in chosen]
    mixed: list[Timed] = []
    while any(queues):
        mixed.append(random.choice([q for q in queues if q]).pop(0))
    chaos: list[Timed] = []
    for event in mixed:
        if random.random() < lost:
            continue
        back = random.randrange(1, 20) if random.random() < moved else 0
        chaos.insert(max(0, len(chaos) - back), event)
        if random.random() < moved:
            chaos.append(event)
    run(chaos)


@quick
@given(names, seeds)
def test_updates_in_any_order_give_the_same_calls(name: str, seed: int) -> None:
    random = Random(seed)
    updates = run(story(name))
    shuffled = updates + random.sample(updates, len(updates) // 2)
    random.shuffle(shuffled)
    assert text(final_calls(shuffled)) == text(final_calls(updates))


@quick
@given(recorded, st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_chunking_does_not_matter(name: str, sizes: list[int]) -> None:
    data, _ = read(name)
    cuts = list(accumulate(sizes, initial=0))
    pieces = [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)]
    whole = [update.to_json() for update in replay(data)]
    assert [update.to_json() for update in replay(pieces)] == whole


# fmt: off
HEADERS = [
    "Uniqueid", "Linkedid", "Channel", "ChannelState", "CallerIDNum", "Exten", "Context", "DestUniqueid",
    "DestLinkedid", "DestChannel", "DestChannelState", "DialStatus", "DialString", "Queue", "Position",
    "BridgeUniqueid", "SwapUniqueid", "Cause", "Digit", "Result", "TransfererUniqueid", "TransfereeUniqueid",
    "OrigTransfererUniqueid", "SecondTransfererUniqueid", "TransferTargetUniqueid", "TargetUniqueid", "Extension",
    "Newname", "UserEvent",
]
VALUES = [
    "", "1.1", "1.2", "1.3", "Local/1@x-00000001;1", "Local/1@x-00000001;2", "PJSIP/101-00000001",
    "PJSIP/trunk-00000002", "0", "4", "5", "6", "16", "ANSWER", "BUSY", "CANCEL", "Success",
]
# fmt: on
headers = st.dictionaries(
    st.sampled_from(HEADERS), st.one_of(st.sampled_from(VALUES), st.text(max_size=5)), max_size=12
)
events_of_nonsense = st.lists(
    st.tuples(st.sampled_from(sorted(WANTED)), headers),
    max_size=40,
)


@quick
@given(events_of_nonsense)
def test_nonsense_is_survived(stream: list[tuple[str, dict[str, str]]]) -> None:
    """No combination of headers makes the tracker stumble, and nothing of it stays for ever."""
    run([(START, AmiMessage({"Event": event, **found})) for event, found in stream])
