"""A listener is killed at any quiet moment of any recorded session; the next one goes on where it was."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import Call, CallEndReason, CallUpdate, LegEndReason, QueueOutcome
from tests.ami_listener.tracker.pbx import Pbx
from tests.ami_listener.tracker.recordings import (
    NAMES,
    START,
    Timed,
    having,
    messages,
    rules,
    told_late,
    track,
)
from tests.ami_listener.tracker.test_blind import false, lists, whole

# In the middle of what one act of a caller or an agent causes, something is always half told; nobody can know then.
_QUIET = timedelta(milliseconds=100)
_KEPT = (
    "direction", "end_reason", "did", "caller", "digits", "transfers", "holds", "queue", "variables", "recording",
    "started_at", "answered_at", "missed",
)  # fmt: skip
# Whose phone a Local half dials is not told again, so how such a leg ended is a guess (the first two); one of a
# conference may have come while nobody listened.
_LEGS_DIFFER = {"queue_local_members_rna", "follow_me_agent", "conference_by_transfer"}


def listing(tracker: Tracker) -> PbxSnapshot:
    """What the PBX would list at this moment."""
    rows = []
    for channel in tracker._book.channels.values():
        call = channel.call
        waits = channel is call.anchor and call.queue is not None and call.queue.left_at is None
        rows.append(
            AmiMessage(
                Event="CoreShowChannel",
                Uniqueid=channel.uniqueid,
                Linkedid=channel.linkedid,
                Channel=channel.name,
                ChannelState=str(channel.state),
                CallerIDNum=channel.number or "",
                Context=channel.context,
                Exten=channel.exten,
                BridgeId=channel.bridge or "",
                Duration="00:00:00",
                Application="Queue" if waits else "AppDial",
            )
        )
    return PbxSnapshot(tuple(rows))


def killed(events: list[Timed]) -> tuple[list[CallUpdate], PbxSnapshot]:
    """What was told of the calls that are open after these events, and what the PBX lists then."""
    tracker = Tracker("pbx", rules())
    told = {update.call_id: update for update in track(events, tracker)}
    still = {call.call_id for call in tracker.open_calls()}
    return [u for u in told.values() if u.call_id in still], listing(tracker)


def legs(call: Call) -> list[tuple[str, datetime | None, LegEndReason | None]]:
    return [(leg.endpoint, leg.ringing_at, leg.end_reason) for leg in call.legs]


def at_once(events: Iterable[Timed]) -> Iterator[Timed]:
    """What follows without a pause has one time, as if it had come with one read of a busy socket."""
    before = began = START
    for at, message in events:
        if at - before >= _QUIET:
            began = at
        before = at
        yield began, message


@pytest.mark.parametrize("busy", [False, True], ids=["as it was", "bursts are one read"])
@pytest.mark.parametrize("name", NAMES)
def test_a_restart_goes_on_with_history_and_versions(name: str, busy: bool) -> None:
    events = list(at_once(messages(name)) if busy else messages(name))
    whole = {call.call_id: call for call in final_calls(track(events))}
    for cut in range(1, len(events)):
        if events[cut][0] - events[cut - 1][0] < _QUIET:
            continue
        told, snapshot = killed(events[:cut])
        at = events[cut - 1][0]
        again = Tracker("pbx", rules())
        assert again.remember(told, at) == len(told)
        again.begin_resync(at)
        updates = [*again.settle(snapshot, at), *track(events[cut:], again)]
        assert all(update.version > max((u.version for u in told), default=0) for update in updates)
        final = {call.call_id: call for call in final_calls(updates)}
        assert set(final) <= set(whole)
        for update in told:
            was, now = whole[update.call_id], final[update.call_id]
            assert now.gap
            assert {f: getattr(now, f) for f in _KEPT} == {f: getattr(was, f) for f in _KEPT}, cut
            assert name in _LEGS_DIFFER or legs(now) == legs(was), cut
            assert now.timeline[: len(update.call.timeline)] == update.call.timeline
        if whole.keys() == {call.call_id for call in whole.values() if call.ended_at is not None}:
            assert not any(again.size().values())


@pytest.mark.parametrize("name", having("BlindTransfer"))
def test_a_restart_knows_whom_a_transfer_went_to_that_was_told_late(name: str) -> None:
    """Within the burst that it belongs to, after the next phone's ringing."""
    for events in told_late(name, "BlindTransfer", _QUIET):
        as_it_was = {call.call_id: call.transfers for call in final_calls(track(events))}
        for cut in range(1, len(events)):
            if events[cut][0] - events[cut - 1][0] < _QUIET:
                continue
            told, snapshot = killed(list(events[:cut]))
            again, at = Tracker("pbx", rules()), events[cut - 1][0]
            again.remember(told, at)
            again.begin_resync(at)
            updates = [*again.settle(snapshot, at), *track(events[cut:], again)]
            for call in final_calls(updates):
                assert call.transfers == as_it_was[call.call_id], cut


# Twenty times as long as recorded: between people, not between two test scripts that hang up within seconds.
_AS_PEOPLE = 20


@pytest.mark.parametrize("busy", [False, True], ids=["as it was", "bursts are one read"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in _LEGS_DIFFER])
def test_nothing_false_is_told_when_nobody_listened_for_a_while(name: str, busy: bool) -> None:
    """Killed at any moment, begun again at any quiet one: what is said of calls that went on meanwhile was so."""
    recorded = messages(name)
    events = [
        (START + (at - START) * _AS_PEOPLE, message)
        for at, message in (at_once(recorded) if busy else recorded)
    ]
    truth = whole(events)
    for lost in range(1, len(events), 2):
        told, _ = killed(events[:lost])
        for found in range(lost, len(events), 3):
            if recorded[found][0] - recorded[found - 1][0] < _QUIET:
                continue
            again, at = Tracker("pbx", rules()), events[found - 1][0]
            again.remember(told, at)
            again.begin_resync(at)
            updates = [*again.settle(lists(events[:found], at), at), *track(events[found:], again)]
            for call in final_calls(updates):
                was, where = truth[call.call_id], f"{lost}..{found}"
                assert call.end_reason in (None, CallEndReason.UNKNOWN, was.end_reason), where
                assert was.missed or not call.missed, where
                assert list(false(call, was)) == [], where


def halfway(name: str) -> tuple[list[CallUpdate], PbxSnapshot, list[Timed]]:
    """Killed while somebody talks."""
    events = list(messages(name))
    cut = 1 + next(at for at, (_, m) in enumerate(events) if m.event == "BridgeEnter")
    told, snapshot = killed(events[: cut + 1])
    return told, snapshot, events[cut + 1 :]


def test_a_conversation_whose_linkedid_has_changed_is_known_by_its_legs() -> None:
    told, snapshot, _ = halfway("answered_queue_call")
    for row in snapshot.channels:
        row["Linkedid"] = "1795309999.1"
    tracker = Tracker("pbx", rules())
    tracker.remember(told, START)
    tracker.begin_resync(START)
    (update,) = tracker.settle(snapshot, START)
    assert update.call_id == told[0].call_id
    assert [leg.ended_at for leg in update.call.legs] == [None]


def test_names_of_channels_that_a_restarted_pbx_uses_again_are_other_calls() -> None:
    told, snapshot, _ = halfway("answered_queue_call")
    later = START + timedelta(hours=1)
    for row in snapshot.channels:
        row["Uniqueid"] = row["Uniqueid"].replace("1795", "1796")
        row["Linkedid"] = row["Linkedid"].replace("1795", "1796")
    tracker = Tracker("pbx", rules())
    tracker.remember(told, later)
    tracker.begin_resync(later)
    calls = {call.call_id: call for call in final_calls(tracker.settle(snapshot, later))}
    assert len(calls) == 2
    assert calls[told[0].call_id].end_reason is CallEndReason.UNKNOWN


def test_what_is_remembered_while_the_pbx_is_asked_is_judged_the_next_time() -> None:
    told, _, _ = halfway("answered_queue_call")
    tracker = Tracker("pbx", rules())
    tracker.begin_resync(START)
    tracker.remember(told, START)
    assert tracker.settle(PbxSnapshot(()), START) == []
    tracker.begin_resync(START)
    assert [u.call.end_reason for u in tracker.settle(PbxSnapshot(()), START)] == [CallEndReason.UNKNOWN]


def test_open_calls_are_known_better_here() -> None:
    told, _, rest = halfway("answered_queue_call")
    events = list(messages("answered_queue_call"))
    tracker = Tracker("pbx", rules())
    list(track(events[: len(events) - len(rest)], tracker))
    assert tracker.remember(told, START) == 0
    assert [call.gap for call in tracker.open_calls()] == [False]


def test_killed_between_an_answer_and_what_follows_from_it() -> None:
    """The others that rang, and the queue, have not been told off yet."""
    pbx = Pbx()
    pbx.customer()
    pbx.queue("QueueCallerJoin", 1, "support", Position="1")
    for number, agent in ((2, 101), (3, 102)):
        pbx.phone(number, agent, of=1)
        pbx.dial(1, number)
    pbx.answer(1, 2)
    told, snapshot = pbx.updates[-1:], listing(pbx.tracker)
    pbx.tracker = Tracker("pbx", rules())
    pbx.tracker.remember(told, pbx.at)
    pbx.tracker.begin_resync(pbx.at)
    pbx.updates += pbx.tracker.settle(snapshot, pbx.at)
    pbx.dialled(1, 3, "CANCEL")
    pbx.hang_up(3, cause=26)
    pbx.queue("QueueCallerLeave", 1, "support")
    pbx.hang_up(2, 1)
    (call,) = pbx.over()
    assert [leg.end_reason for leg in call.legs] == [LegEndReason.HANGUP, LegEndReason.ANSWERED_ELSEWHERE]
    assert call.queue is not None and call.queue.outcome is QueueOutcome.ANSWERED
