"""What happens while the link is lost is not known afterwards: what is told of it is true, or `unknown`, with a gap."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import Call, CallEndReason, LegEndReason, QueueOutcome, TransferOutcome
from tests.ami_listener.tracker.recordings import NAMES, Timed, messages, rules, track

# What a PBX does at once in answer to one act comes within this time; a link is cut in between as well as anywhere.
_STEP = timedelta(milliseconds=100)


def lists(events: Sequence[Timed], at: datetime) -> PbxSnapshot:
    """What the PBX lists when it has said all this."""
    tracker, rows, entries = Tracker("pbx", rules()), list[AmiMessage](), list[AmiMessage]()
    began = {m.get("Uniqueid", ""): then for then, m in reversed(events) if m.event == "Newchannel"}
    list(track(events, tracker))
    for channel in tracker._book.channels.values():
        queue, anchor = channel.call.queue, channel.call.anchor
        waits = channel is anchor and queue is not None and queue.left_at is None
        age = at - began.get(channel.uniqueid, at)
        rows.append(
            AmiMessage(
                Event="CoreShowChannel",
                Uniqueid=channel.uniqueid,
                Linkedid=channel.linkedid,
                Channel=channel.name,
                ChannelState=str(channel.state),
                BridgeId=channel.bridge or "",
                Context=channel.context,
                Exten=channel.exten,
                Duration=f"00:00:{int(age.total_seconds()):02}",
                Application="Queue" if waits else "AppDial",
            )
        )
        if waits and queue is not None and queue.joined_at is not None:
            wait = str(int((at - queue.joined_at).total_seconds()))
            entries.append(
                AmiMessage(Event="QueueEntry", Queue=queue.name, Uniqueid=channel.uniqueid, Wait=wait)
            )
    return PbxSnapshot(tuple(rows), tuple(entries))


def with_a_hole(events: Sequence[Timed], lost: int, found: int, *, settled: bool = True) -> list[Call]:
    """The calls as told when events[lost:found] happened unseen. settled: the PBX is asked before the rest."""
    tracker = Tracker("pbx", rules())
    updates = list(track(events[:lost], tracker))
    updates += tracker.lose_sight(events[lost - 1][0])
    if settled:
        at = events[found - 1][0]
        tracker.begin_resync(at)
        updates += tracker.settle(lists(events[:found], at), at)
    updates += track(events[found:], tracker)
    return final_calls(updates)


def whole(events: Iterable[Timed]) -> dict[str, Call]:
    return {call.call_id: call for call in final_calls(track(events))}


def first(events: Sequence[Timed], name: str, **headers: str) -> int:
    return next(at for at, (_, m) in enumerate(events) if m.event == name and headers.items() <= m.items())


@pytest.mark.parametrize("settled", [True, False])
def test_answered_unseen_and_over_before_the_pbx_was_asked_is_not_missed(settled: bool) -> None:
    events = messages("answered_queue_call")
    lost = first(events, "DialBegin") + 1
    found = first(events, "HangupRequest") if not settled else len(events) - 1
    (call,) = with_a_hole(events, lost, found, settled=settled)
    assert (call.end_reason, call.missed, call.gap) == (CallEndReason.UNKNOWN, False, True)
    assert {leg.end_reason for leg in call.legs} == {LegEndReason.UNKNOWN}
    assert call.queue is not None and call.queue.outcome is QueueOutcome.UNKNOWN


def test_a_queue_left_unseen_has_no_known_outcome() -> None:
    events = messages("queue_timeout")
    (call,) = with_a_hole(events, first(events, "QueueCallerAbandon"), first(events, "QueueCallerLeave") + 1)
    assert call.queue is not None and call.queue.outcome is QueueOutcome.UNKNOWN
    assert call.gap


def test_a_phone_that_rang_all_the_time_was_not_answered() -> None:
    events = messages("abandoned_in_queue")
    lost = first(events, "DialBegin") + 2
    (call,) = with_a_hole(events, lost, lost)
    assert (call.end_reason, call.missed, call.gap) == (CallEndReason.ABANDONED, True, True)


def test_each_open_call_is_told_with_its_gap_once() -> None:
    events = messages("answered_queue_call")
    tracker = Tracker("pbx", rules())
    list(track(events[:10], tracker))
    (update,) = tracker.lose_sight(events[9][0])
    assert (update.change, update.call.gap) == ("gap", True)
    assert tracker.lose_sight(events[9][0]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_resync_without_a_lost_link_changes_nothing(name: str) -> None:
    events = messages(name)
    truth = {call.call_id: how_it_ended(call) for call in whole(events).values()}
    for cut in range(1, len(events)):
        tracker = Tracker("pbx", rules())
        updates = list(track(events[:cut], tracker))
        tracker.begin_resync(events[cut - 1][0])
        updates += tracker.settle(lists(events[:cut], events[cut - 1][0]), events[cut - 1][0])
        updates += track(events[cut:], tracker)
        assert {call.call_id: how_it_ended(call) for call in final_calls(updates)} == truth, cut


def how_it_ended(call: Call) -> tuple[object, ...]:
    legs = [(leg.channel, leg.end_reason) for leg in call.legs]
    return call.gap, call.end_reason, legs, call.transfers, call.queue, call.holds


@pytest.mark.parametrize("name", ["attended_transfer_refer", "attended_transfer_feature"])
def test_a_transfer_before_the_pbx_has_said_who_is_where_is_no_guess(name: str) -> None:
    """The listener has just come; the PBX was asked at `asked`, and its answer comes after the transfer."""
    events = messages(name)
    truth = whole(events)
    passed_on = next(
        at for at, (_, m) in enumerate(events) if m.event in ("AttendedTransfer", "BlindTransfer")
    )
    for asked in range(1, passed_on):
        for answered in (passed_on + 1, passed_on + 6):
            tracker, then = Tracker("pbx", rules()), events[answered - 1][0]
            tracker.begin_resync(events[asked - 1][0])
            updates = list(track(events[asked:answered], tracker))
            updates += tracker.settle(lists(events[:asked], events[asked - 1][0]), then)
            updates += track(events[answered:], tracker)
            for call in final_calls(updates):
                if call.ended_at is not None and call.call_id in truth:
                    assert list(false(call, truth[call.call_id])) == [], f"{asked}..{answered}"


@pytest.mark.parametrize("name", ["answered_queue_call", "blind_transfer_refer"])
def test_a_call_known_by_half_its_channels_is_not_over_when_they_are(name: str) -> None:
    """The other half is in the answer that is still to come: it was told as a call of its own."""
    events = messages(name)
    for asked in range(1, len(events)):
        for answered in range(asked, min(asked + 9, len(events))):
            tracker, at = Tracker("pbx", rules()), events[asked - 1][0]
            tracker.begin_resync(at)
            updates = list(track(events[asked:answered], tracker))
            updates += tracker.settle(lists(events[:asked], at), events[answered - 1][0])
            updates += track(events[answered:], tracker)
            assert {call.call_id for call in final_calls(updates)} <= whole(events).keys()
            assert all(call.ended_at for call in final_calls(updates))
            assert not any(tracker.size().values())


def false(call: Call, was: Call) -> Iterator[str]:
    """What is told of how things ended, and was not so."""
    ends = {leg.channel: leg.end_reason for leg in was.legs}
    for leg in call.legs:
        if leg.end_reason not in (LegEndReason.UNKNOWN, ends.get(leg.channel)):
            yield f"{leg.channel} {leg.end_reason}"
    outcomes = {(transfer.by, transfer.to, transfer.outcome) for transfer in was.transfers}
    for transfer in call.transfers:
        told = (transfer.by, transfer.to, transfer.outcome)
        if transfer.outcome is not TransferOutcome.UNKNOWN and told not in outcomes:
            yield str(told)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_false_is_told_wherever_the_link_is_lost(name: str) -> None:
    """In the middle of every recorded session, for a while: what is said of its calls afterwards was so."""
    events = messages(name)
    truth = whole(events)
    for lost in range(1, len(events), 3):
        for found in range(lost, min(lost + 40, len(events)), 7):
            if found < len(events) and events[found][0] - events[found - 1][0] < _STEP:
                continue
            for call in with_a_hole(events, lost, found):
                was = truth.get(call.call_id)
                if was is None:
                    continue
                where = f"{lost}..{found}: {call.end_reason} was {was.end_reason}"
                assert call.end_reason in (CallEndReason.UNKNOWN, was.end_reason) or call.ended_at is None, (
                    where
                )
                assert was.missed or not call.missed, where
