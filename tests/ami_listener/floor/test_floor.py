"""Phones and queues, one decision at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ami_listener.floor.floor import Floor
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointRules
from shared.contracts.call import Presentation
from shared.contracts.floor import (
    FloorRoster,
    Membership,
    Phone,
    PhoneState,
    PhoneUpdate,
    Queue,
    QueueMember,
    QueueUpdate,
)
from tests.ami_listener.floor.floors import START, Stamps, events, feed, listed, new_floor

LATER = START + timedelta(seconds=7)


def event(name: str, **headers: Any) -> AmiMessage:
    return AmiMessage({"Event": name, "Privilege": "agent,all", **{k: str(v) for k, v in headers.items()}})


def member_row(name: str = "QueueMemberStatus", **more: Any) -> AmiMessage:
    """As Asterisk 16 to 22 write it."""
    interface = {"Location": "PJSIP/101"} if name == "QueueMember" else {"Interface": "PJSIP/101"}
    values: dict[str, Any] = {
        "Queue": "support",
        "StateInterface": "PJSIP/101",
        "Status": 1,
        "Paused": 0,
        "InCall": 0,
    }
    return event(name, **{**interface, **values, **more})


def join(uniqueid: str, position: int, **more: Any) -> AmiMessage:
    return event(
        "QueueCallerJoin", **{"Queue": "support", "Uniqueid": uniqueid, "Position": position, **more}
    )


def look(floor: Floor) -> tuple[dict[str, Queue], dict[str, Phone]]:
    """Everything, as a reader who comes now gets it."""
    floor.resend()
    messages = floor.take(START)
    return (
        {m.queue.name: m.queue for m in messages if isinstance(m, QueueUpdate)},
        {m.phone.device: m.phone for m in messages if isinstance(m, PhoneUpdate)},
    )


def support(floor: Floor) -> Queue:
    return look(floor)[0]["support"]


def the_member(floor: Floor) -> QueueMember:
    [member] = support(floor).members
    return member


class TestPhones:
    def test_change_and_since_when(self) -> None:
        floor = new_floor()
        floor.handle(event("DeviceStateChange", Device="PJSIP/agent101", State="RINGING"), START)
        floor.handle(event("DeviceStateChange", Device="PJSIP/agent101", State="INUSE"), LATER)
        floor.handle(event("DeviceStateChange", Device="PJSIP/agent101", State="INUSE"), LATER + timedelta(1))
        phone = look(floor)[1]["PJSIP/agent101"]
        assert phone == Phone(device="PJSIP/agent101", agent="101", state=PhoneState.IN_USE, since=LATER)

    @pytest.mark.parametrize(
        "device",
        [
            "PJSIP/trunk",
            "Queue:support",
            "Queue:a_pause_PJSIP/101",
            "Custom:DND101",
            "Local/101@x",
            "DAHDI/i1",
            "",
        ],
    )
    def test_what_is_no_phone(self, device: str) -> None:
        floor = new_floor()
        assert not floor.handle(event("DeviceStateChange", Device=device, State="INUSE"), START)
        assert look(floor)[1] == {}

    def test_every_state_has_its_word(self) -> None:
        floor = new_floor()
        words = "NOT_INUSE INUSE BUSY INVALID UNAVAILABLE RINGING RINGINUSE ONHOLD UNKNOWN".split()  # noqa: SIM905
        for number, word in enumerate(words):
            floor.handle(event("DeviceStateChange", Device=f"SIP/{number}", State=word), START)
        found = [phone.state for phone in look(floor)[1].values()]
        assert sorted(found) == sorted(PhoneState)
        assert look(floor)[1]["SIP/6"].state is PhoneState.RING_IN_USE

    def test_logins_of_the_agents_table(self) -> None:
        rules = EndpointRules(agents={"PJSIP/101": "anna", "SIP/desk-7": "boris"})
        floor = Floor("pbx", rules, Stamps())
        for device in ("PJSIP/101", "SIP/desk-7", "PJSIP/102"):
            floor.handle(event("DeviceStateChange", Device=device, State="INUSE"), START)
        assert {d: p.agent for d, p in look(floor)[1].items()} == {
            "PJSIP/101": "anna",
            "SIP/desk-7": "boris",
            "PJSIP/102": "102",
        }

    def test_agents_change_phones(self) -> None:
        floor = feed(new_floor(), [(START, event("DeviceStateChange", Device="PJSIP/101", State="INUSE"))])
        floor.take(START)
        floor.know(EndpointRules(agents={"PJSIP/101": "anna"}))
        [update] = floor.take(START)
        assert isinstance(update, PhoneUpdate)
        assert update.phone.agent == "anna"

    @pytest.mark.parametrize(
        "row",
        [
            event("DeviceStateChange", Device="PJSIP/101", State="RINGINUSE"),
            event("EndpointList", ObjectName="101", DeviceState="Ring+Inuse"),
            event("ExtensionStatus", Hint="PJSIP/101,CustomPresence:101", Status=9),
        ],
    )
    def test_whichever_list_the_pbx_gives(self, row: AmiMessage) -> None:
        mixed = event("ExtensionStatus", Hint="PJSIP/102&Custom:DND102", Status=1)
        floor = new_floor()
        floor.settle(FloorSnapshot(None, (row, mixed)), START)
        assert {d: p.state for d, p in look(floor)[1].items()} == {"PJSIP/101": PhoneState.RING_IN_USE}


class TestMembers:
    def test_freepbx_members(self) -> None:
        """Local channels, watched by a hint: the agent is behind the extension."""
        floor = Floor("pbx", EndpointRules(agents={"PJSIP/101": "anna"}), Stamps())
        who = {"Interface": "Local/101@from-queue/n", "StateInterface": "hint:101@ext-local"}
        floor.handle(member_row(**who, MemberName="Anna", Status=6, Membership="dynamic"), START)
        member = the_member(floor)
        assert (member.agent, member.state, member.membership) == (
            "anna",
            PhoneState.RINGING,
            Membership.DYNAMIC,
        )

    def test_pause_with_reason_and_since_when(self) -> None:
        floor = new_floor()
        floor.handle(
            member_row("QueueMemberPause", Paused=1, PausedReason="lunch", LastPause=1795301157), START
        )
        floor.handle(member_row(Paused=1, PausedReason="lunch", LastPause=1795301157, Status=2), LATER)
        member = the_member(floor)
        assert (member.paused, member.pause_reason) == (True, "lunch")
        assert member.paused_at == datetime.fromtimestamp(1795301157, UTC)
        floor.handle(member_row("QueueMemberPause", LastPause=1795301157), LATER)
        member = the_member(floor)
        assert (member.paused, member.pause_reason, member.paused_at) == (False, None, None)

    def test_pause_in_asterisk_13(self) -> None:
        """No LastPause, and the reason under another name."""
        floor = new_floor()
        floor.handle(member_row("QueueMemberPause", Paused=1, Reason="lunch"), START)
        floor.handle(member_row(Paused=1, Reason="lunch", Status=2), LATER)
        assert (the_member(floor).pause_reason, the_member(floor).paused_at) == ("lunch", START)
        floor.settle(FloorSnapshot((member_row("QueueMember", Paused=1),)), LATER)
        assert the_member(floor).paused_at == START

    def test_wrap_up_of_the_queue_and_of_the_member(self) -> None:
        floor = new_floor(wrapup={"support": 30})
        floor.handle(member_row(LastCall=1795301157, Wrapuptime=0), START)
        floor.handle(member_row(Interface="PJSIP/102", LastCall=1795301157, Wrapuptime=5), START)
        floor.handle(member_row(Interface="PJSIP/103", LastCall=0, Wrapuptime=5), START)
        floor.handle(member_row(Queue="sales", LastCall=1795301157, Wrapuptime=0), START)
        last = datetime.fromtimestamp(1795301157, UTC)
        ends = [member.wrapup_until for member in support(floor).members]
        assert ends == [last + timedelta(seconds=30), last + timedelta(seconds=5), None]
        assert look(floor)[0]["sales"].members[0].wrapup_until is None

    def test_two_calls_at_once(self) -> None:
        floor = new_floor()
        floor.handle(member_row(Status=2), START)
        for uniqueid, at in (("1.1", START), ("1.2", LATER)):
            floor.handle(event("AgentConnect", Queue="support", Interface="PJSIP/101", Uniqueid=uniqueid), at)
        assert (the_member(floor).in_call, the_member(floor).talking_since) == (2, START)
        floor.handle(event("AgentComplete", Queue="support", Interface="PJSIP/101", Uniqueid="1.1"), LATER)
        # The PBX's own flag is nought after the first of them.
        floor.handle(member_row(Status=2, InCall=0), LATER)
        assert (the_member(floor).in_call, the_member(floor).talking_since) == (1, LATER)

    def test_an_unseen_beginning_and_an_unseen_end(self) -> None:
        floor = new_floor()
        floor.handle(member_row(Status=2, InCall=1), START)
        assert (the_member(floor).in_call, the_member(floor).talking_since) == (1, None)
        floor.handle(member_row(Status=1, InCall=0), LATER)
        assert the_member(floor).in_call == 0

    def test_penalty_ring_in_use_and_removal(self) -> None:
        floor = new_floor()
        floor.handle(member_row("QueueMemberAdded", Penalty=2, Ringinuse=1), START)
        floor.handle(member_row("QueueMemberPenalty", Penalty=5, Ringinuse=1), START)
        floor.handle(member_row("QueueMemberRinginuse", Penalty=5, Ringinuse=0), START)
        assert (the_member(floor).penalty, the_member(floor).ring_in_use) == (5, False)
        floor.handle(member_row("QueueMemberRemoved"), START)
        assert support(floor).members == []


class TestCallers:
    def test_positions_follow_who_leaves_and_who_comes_first(self) -> None:
        floor = new_floor()
        floor.handle(join("1.1", 1), START)
        floor.handle(join("1.2", 2), START)
        floor.handle(join("1.3", 1), LATER)  # of a higher priority
        found = [(w.position, w.call_id) for w in support(floor).waiting]
        assert found == [(1, "pbx-1.3"), (2, "pbx-1.1"), (3, "pbx-1.2")]
        assert support(floor).longest_waiting_since == START
        floor.handle(event("QueueCallerLeave", Queue="support", Uniqueid="1.1"), LATER)
        assert [(w.position, w.call_id) for w in support(floor).waiting] == [(1, "pbx-1.3"), (2, "pbx-1.2")]

    def test_one_caller_waits_in_one_queue(self) -> None:
        floor = feed(new_floor(), [(START, join("1.1", 1)), (LATER, join("1.1", 1, Queue="sales"))])
        queues = look(floor)[0]
        assert queues["support"].waiting == []
        assert [w.joined_at for w in queues["sales"].waiting] == [LATER]

    def test_the_call_is_the_trackers(self) -> None:
        """A caller passed on to a queue keeps the call; before the tracker knows, Linkedid is the best guess."""
        floor = new_floor(call_of={"1.9": "pbx-1.1"}.get)
        floor.handle(join("1.9", 1, Linkedid="1.9"), START)
        floor.handle(join("1.8", 2, Linkedid="1.7"), START)
        assert [w.call_id for w in support(floor).waiting] == ["pbx-1.1", "pbx-1.7"]

    def test_who_waits(self) -> None:
        floor = new_floor()
        for position, number in enumerate(("89001112233", "anonymous", "<unknown>", "101"), 1):
            floor.handle(join(f"1.{position}", position, CallerIDNum=number, CallerIDName="<unknown>"), START)
        callers = [w.caller for w in support(floor).waiting]
        assert [(c.number, c.presentation) for c in callers] == [
            ("+79001112233", Presentation.ALLOWED),
            (None, Presentation.WITHHELD),
            (None, Presentation.UNAVAILABLE),
            ("101", Presentation.ALLOWED),
        ]
        assert {c.name for c in callers} == {None}


class TestStatistics:
    def test_averages_are_those_of_the_pbx(self) -> None:
        """The two calls that queue sales had in these sessions, against what the PBX says afterwards."""
        nought = event("QueueParams", Queue="sales", Holdtime=0, TalkTime=0, Completed=0, Abandoned=0)
        floor = new_floor()
        floor.settle(FloorSnapshot((nought,)), START)
        feed(floor, events("queue_local_members"))
        feed(floor, events("queue_local_members_rna"))
        ours = look(floor)[0]["sales"]
        floor.settle(listed("live_state_snapshot"), START)
        theirs = look(floor)[0]["sales"]
        for name in ("average_hold_seconds", "average_talk_seconds", "completed", "abandoned"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert (theirs.average_hold_seconds, theirs.completed) == (2, 2)

    def test_abandoned(self) -> None:
        floor = new_floor()
        floor.settle(FloorSnapshot((event("QueueParams", Queue="support", Abandoned=4, Max=0),)), START)
        feed(floor, events("abandoned_in_queue"))
        assert (support(floor).abandoned, support(floor).max_waiting) == (5, None)


class TestTaking:
    def test_a_storm_is_one_update(self) -> None:
        floor = new_floor()
        floor.handle(member_row(), START)
        first = floor.take(START)
        for status in (6, 2, 6, 2):
            assert floor.handle(member_row(Status=status), START)
        [update] = floor.take(LATER)
        assert isinstance(update, QueueUpdate)
        assert update.queue.members[0].state is PhoneState.IN_USE
        assert update.version > first[-1].version

    def test_nothing_new_is_not_said(self) -> None:
        floor = feed(new_floor(), [(START, member_row(Status=1))])
        floor.take(START)
        assert not floor.handle(member_row(Status=1), LATER), "the same again"
        floor.handle(member_row(Status=6), LATER)
        floor.handle(member_row(Status=1), LATER)
        assert floor.take(LATER) == [], "there and back"
        assert not floor.waiting

    def test_other_events_do_not_matter(self) -> None:
        assert not new_floor().handle(event("Newchannel", Queue="support"), START)

    def test_before_the_first_resync_nobody_is_told_what_there_is_not(self) -> None:
        floor = feed(new_floor(), [(START, member_row())])
        floor.resend()
        assert not any(isinstance(message, FloorRoster) for message in floor.take(START))


class TestResync:
    def test_what_is_gone_is_not_in_the_roster(self) -> None:
        floor = feed(new_floor(), [(START, member_row()), (START, member_row(Queue="old"))])
        floor.handle(event("DeviceStateChange", Device="PJSIP/7", State="INUSE"), START)
        floor.take(START)
        floor.settle(FloorSnapshot((member_row("QueueMember"),), ()), LATER)
        messages = floor.take(LATER)
        roster = messages[-1]
        assert isinstance(roster, FloorRoster)
        assert (roster.queues, roster.phones) == (["support"], ["PJSIP/101"])
        assert all(message.version < roster.version for message in messages[:-1])

    def test_what_the_pbx_refuses_stays_as_it_was(self) -> None:
        floor = feed(new_floor(), [(START, member_row(Status=2)), (START, join("1.1", 1))])
        floor.handle(event("DeviceStateChange", Device="PJSIP/101", State="INUSE"), START)
        before = look(floor)
        floor.settle(FloorSnapshot(None, None), LATER)
        assert look(floor) == before

    def test_without_a_list_of_devices_members_tell(self) -> None:
        floor = new_floor()
        floor.settle(FloorSnapshot((member_row("QueueMember", Status=6),), None), START)
        assert look(floor)[1]["PJSIP/101"].state is PhoneState.RINGING

    def test_who_was_seen_to_join_keeps_the_moment(self) -> None:
        floor = feed(new_floor(), [(START, join("1.1", 1))])
        entries = [
            event("QueueEntry", Queue="support", Uniqueid=f"1.{i}", Position=i, Wait=3) for i in (2, 1)
        ]
        floor.settle(FloorSnapshot(tuple(entries)), LATER)
        assert [(w.call_id, w.joined_at) for w in support(floor).waiting] == [
            ("pbx-1.1", START),
            ("pbx-1.2", LATER - timedelta(seconds=3)),
        ]

    def test_who_was_seen_to_begin_talking_keeps_the_moment(self) -> None:
        floor = feed(new_floor(), [(START, member_row(Status=2))])
        floor.handle(event("AgentConnect", Queue="support", Interface="PJSIP/101", Uniqueid="1.1"), START)
        floor.settle(FloorSnapshot((member_row("QueueMember", Status=2, InCall=1),)), LATER)
        assert (the_member(floor).in_call, the_member(floor).talking_since) == (1, START)
        floor.settle(FloorSnapshot((member_row("QueueMember", Status=2, InCall=0),)), LATER)
        assert the_member(floor).in_call == 0, "a list knows better than an event that was not seen"

    def test_nothing_is_counted_twice(self) -> None:
        floor = new_floor()
        floor.begin_resync()
        floor.handle(event("QueueCallerAbandon", Queue="support", Uniqueid="1.1"), START)
        floor.settle(FloorSnapshot((event("QueueParams", Queue="support", Abandoned=5),)), LATER)
        assert support(floor).abandoned == 5
        floor.handle(event("QueueCallerAbandon", Queue="support", Uniqueid="1.2"), START)
        assert support(floor).abandoned == 6
