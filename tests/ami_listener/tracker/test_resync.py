"""After a reconnect the PBX is the truth."""

from datetime import timedelta

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls, replay
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    CallUpdate,
    Direction,
    LegState,
    QueueOutcome,
)
from tests.ami_listener.tracker.recordings import FOLDER, START, Timed, messages, rules, track

LATER = START + timedelta(minutes=1)


@pytest.fixture(scope="module")
def snapshot() -> PbxSnapshot:
    """What Asterisk answered in live_state_snapshot: one call answered by agent101, one that rings agent102."""
    framer = AmiFramer(frozenset({"CoreShowChannel", "QueueEntry"}))
    rows = framer.feed((FOLDER / "live_state_snapshot.ami").read_bytes())
    return PbxSnapshot(
        channels=tuple(row for row in rows if row.event == "CoreShowChannel"),
        queue_entries=tuple(row for row in rows if row.event == "QueueEntry"),
        booted_at="2026-11-21 22:40:00",
    )


def before_and_after() -> tuple[list[Timed], list[Timed]]:
    """live_state_snapshot up to the moment the PBX was asked, and from there on."""
    events = list(messages("live_state_snapshot"))
    cut = next(
        at
        for at, (_, message) in enumerate(events)
        if message.event == "HangupRequest"  # the first thing after the questions
    )
    return events[:cut], events[cut:]


def settled(tracker: Tracker, snapshot: PbxSnapshot) -> list[CallUpdate]:
    tracker.begin_resync(LATER)
    return tracker.settle(snapshot, LATER)


def by_number(calls: list[Call]) -> dict[str | None, Call]:
    return {call.caller.number: call for call in calls}


def test_running_calls_appear(snapshot: PbxSnapshot) -> None:
    tracker = Tracker("pbx", rules())
    updates = settled(tracker, snapshot)
    assert {update.change for update in updates} == {"started"}
    calls = by_number(final_calls(updates))
    talking, ringing = calls["+79001112233"], calls["+79001110002"]
    assert talking.call_id == "pbx-1795301163.154"
    assert (talking.state, talking.talking_to, talking.gap) == (CallState.ANSWERED, "PJSIP/agent101", True)
    assert [(leg.agent, leg.state) for leg in talking.legs] == [("101", LegState.ANSWERED)]
    assert talking.started_at == LATER - timedelta(seconds=1)  # its Duration
    assert ringing.call_id == "pbx-1795301165.156"
    assert (ringing.state, ringing.gap) == (CallState.RINGING, True)
    assert ringing.queue is not None
    assert (ringing.queue.name, ringing.queue.position) == ("support", 1)
    assert [(leg.agent, leg.state) for leg in ringing.legs] == [("102", LegState.RINGING)]


def test_calls_found_go_on_and_end_like_others(snapshot: PbxSnapshot) -> None:
    tracker = Tracker("pbx", rules())
    updates = settled(tracker, snapshot)
    updates += track(before_and_after()[1], tracker)
    calls = by_number(final_calls(updates))
    assert calls["+79001112233"].end_reason is CallEndReason.COMPLETED
    assert calls["+79001110002"].end_reason is CallEndReason.ABANDONED
    assert calls["+79001110002"].missed
    assert not any(tracker.size().values())


def test_nothing_changes_where_nothing_was_missed(snapshot: PbxSnapshot) -> None:
    tracker = Tracker("pbx", rules())
    list(track(before_and_after()[0], tracker))
    assert settled(tracker, snapshot) == []
    assert not any(call.gap for call in tracker.open_calls())


def test_calls_that_are_gone_end_with_their_gap_marked() -> None:
    tracker = Tracker("pbx", rules())
    list(track(before_and_after()[0], tracker))
    updates = settled(tracker, PbxSnapshot(channels=()))
    ended = final_calls(updates)
    assert len(ended) == 2
    assert {(c.state, c.end_reason, c.gap, c.missed) for c in ended} == {
        (CallState.ENDED, CallEndReason.UNKNOWN, True, False)
    }
    assert by_number(ended)["+79001110002"].queue.outcome is QueueOutcome.UNKNOWN  # type: ignore[union-attr]
    assert not any(tracker.size().values())


def test_what_begins_during_the_resync_is_not_judged() -> None:
    tracker = Tracker("pbx", rules())
    tracker.begin_resync(START)
    list(track(before_and_after()[0], tracker))
    assert tracker.settle(PbxSnapshot(channels=()), LATER) == []
    assert len(tracker.open_calls()) == 2


def test_what_ends_during_the_resync_does_not_come_back(snapshot: PbxSnapshot) -> None:
    """The channels were listed, then hung up, then the list came."""
    tracker = Tracker("pbx", rules())
    tracker.begin_resync(START)
    hangups = [(at, message) for at, message in before_and_after()[1] if message.event == "Hangup"]
    list(track(hangups, tracker))
    assert tracker.settle(snapshot, LATER) == []
    assert tracker.open_calls() == []


def test_who_leaves_his_queue_during_the_resync_does_not_wait(snapshot: PbxSnapshot) -> None:
    """The queues were listed, then an agent answered, then the list came: both came with the same read."""
    tracker = Tracker("pbx", rules())
    tracker.lose_sight(START)
    tracker.begin_resync(START)
    (entry,) = snapshot.queue_entries
    where = {"Uniqueid": entry["Uniqueid"], "Queue": entry["Queue"]}
    tracker.handle(AmiMessage(where, Event="QueueCallerLeave"), LATER)
    tracker.handle(AmiMessage(where, Event="AgentConnect", DestUniqueid="1795301165.160"), LATER)
    updates = tracker.settle(snapshot, LATER)
    call = by_number(final_calls(updates))["+79001110002"]
    assert call.queue is not None
    assert call.queue.outcome is QueueOutcome.ANSWERED
    assert call.queue.left_at is not None


def test_who_left_his_queue_during_the_resync_and_joins_it_again_waits(snapshot: PbxSnapshot) -> None:
    tracker = Tracker("pbx", rules())
    tracker.begin_resync(START)
    (entry,) = snapshot.queue_entries
    for name in ("QueueCallerLeave", "QueueCallerJoin"):
        tracker.handle(AmiMessage(entry, Event=name), LATER)
    call = by_number(final_calls(tracker.settle(snapshot, LATER)))["+79001110002"]
    assert call.queue is not None
    assert call.queue.outcome is None


def test_answered_unseen(snapshot: PbxSnapshot) -> None:
    tracker = Tracker("pbx", rules())
    begin = [
        (at, message)
        for at, message in before_and_after()[0]
        if message.event in {"Newchannel", "Newstate", "QueueCallerJoin", "DialBegin"}
        and message.get("ChannelState") != "6"
    ]
    list(track(begin, tracker))
    calls = by_number(final_calls(settled(tracker, snapshot)))
    assert calls["+79001112233"].state is CallState.ANSWERED
    assert calls["+79001112233"].talking_to == "PJSIP/agent101"
    assert calls["+79001112233"].gap


def test_restart_of_the_pbx_ends_everything(snapshot: PbxSnapshot) -> None:
    """Also a channel that seems to be there: it is another one."""
    tracker = Tracker("pbx", rules())
    settled(tracker, snapshot)
    tracker.lose_sight(LATER)  # as a restart does
    again = PbxSnapshot(snapshot.channels, booted_at="2026-11-21 23:00:00")
    updates = settled(tracker, again)
    assert [update.call.end_reason for update in updates] == [CallEndReason.UNKNOWN] * 2


def test_the_recorded_restart() -> None:
    """asterisk_restart: the link ends in mid-call; the new PBX knows nothing of it, then a new call comes."""
    tracker = Tracker("pbx", rules())
    updates = list(track(messages("asterisk_restart.1"), tracker))
    assert len(tracker.open_calls()) == 1
    updates += settled(tracker, PbxSnapshot(channels=()))
    updates += track(((LATER, message) for _, message in messages("asterisk_restart.2")), tracker)
    assert [call.end_reason for call in final_calls(updates)] == [
        CallEndReason.UNKNOWN,
        CallEndReason.COMPLETED,
    ]
    assert not any(tracker.size().values())


def test_replay_uses_the_answers_in_a_recording() -> None:
    """A recording that begins in mid-call, as every one of a busy PBX does."""
    data = (FOLDER / "live_state_snapshot.ami").read_bytes()
    calls = by_number(final_calls(replay(data[data.index(b"Event: CoreShowChannel") :], rules=rules())))
    assert calls["+79001112233"].end_reason is CallEndReason.COMPLETED
    assert calls["+79001110002"].end_reason is CallEndReason.ABANDONED


def test_versions_grow_across_restarts() -> None:
    first = list(track(messages("direct_did")))
    floor = first[-1].version + 10**6
    second = list(track(messages("direct_did"), Tracker("pbx", rules(), version_floor=floor)))
    assert [update.call_id for update in second] == [update.call_id for update in first]
    assert second[0].version > floor
    assert second[-1].version < 2**53


def test_resend_tells_each_open_call_with_a_new_version() -> None:
    tracker = Tracker("pbx", rules())
    updates = list(track(messages("asterisk_restart.1"), tracker))
    again = tracker.resend(LATER)
    assert [(u.change, u.call) for u in again] == [("resent", updates[-1].call)]
    assert again[0].version > updates[-1].version
    assert tracker.resend(LATER)[0].version > again[0].version


def test_earlier_updates_stay_as_they_were() -> None:
    updates = list(track(messages("ringall_queue")))
    told = [update.to_json() for update in updates]
    assert updates[0].call.state is CallState.NEW
    assert updates[0].call.legs == []
    assert [update.to_json() for update in updates] == told
    assert [len(update.call.timeline) for update in updates] == sorted(len(u.call.timeline) for u in updates)


def test_link_that_comes_up_in_an_outbound_call() -> None:
    """The first event is the trunk's: it looks like a caller until the agent's channel shows up."""
    events = list(messages("outbound_answered"))
    begin = next(at for at, (_, m) in enumerate(events) if m.event == "Newstate" and m["ChannelState"] == "6")
    (call,) = final_calls(track(events[begin:]))
    assert (call.direction, call.caller.number, call.gap) == (Direction.OUTBOUND, "101", True)
    assert [leg.endpoint for leg in call.legs] == ["PJSIP/trunk"]
    assert call.end_reason is CallEndReason.COMPLETED


def test_events_for_nobody_are_ignored() -> None:
    tracker = Tracker("pbx", rules())
    assert tracker.handle(AmiMessage(Event="Hangup", Uniqueid="1.1"), START) == []
    assert tracker.handle(AmiMessage(Response="Success"), START) == []
    assert tracker.handle(AmiMessage(Event="Newchannel"), START) == []
    assert not any(tracker.size().values())
