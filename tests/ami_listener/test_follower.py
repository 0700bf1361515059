"""From a PBX's socket to call updates: settling after each connect, and what goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ami_listener import resync
from ami_listener.agents import AgentPhoneBook
from ami_listener.floor.floor import Floor
from ami_listener.follower import PbxFollower
from ami_listener.lease import Lease
from ami_listener.memory import Recalled
from shared.bus import connect_redis
from shared.contracts.agents import AgentPhone, AgentPhones
from shared.contracts.call import CallEndReason, CallState, CallUpdate, PbxLink, PbxRoster, PbxStatus
from shared.contracts.floor import FloorMessage, PhoneUpdate, QueueUpdate
from shared.settings import PbxSettings
from tests.ami_listener.conftest import Logs
from tests.ami_listener.stub import AmiStub, Session, TestClock, until

RINGING = {
    "Channel": "PJSIP/trunk-00000001",
    "ChannelState": "4",
    "CallerIDNum": "+79001112233",
    "Context": "from-pstn",
    "Exten": "+78000000003",
    "Uniqueid": "1.1",
    "Linkedid": "1.1",
}


EVERY_QUESTION = (
    *("CoreShowChannels", "Status", "CoreStatus", "CoreSettings"),
    *("DeviceStateList", "PJSIPShowEndpoints", "ExtensionStateList", "QueueStatus"),
)
_NOTHING = Recalled()
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Offered:
    """In place of the publisher: what was offered, to be awaited."""

    def __init__(self) -> None:
        self.updates: list[CallUpdate] = []
        self.statuses: list[PbxStatus] = []
        self.rosters: list[PbxRoster] = []
        self.recalled = Recalled()
        self.ended: list[str] = []
        self.speaking: list[bool] = []
        self._changed = asyncio.Event()

    def offer(self, update: CallUpdate) -> None:
        self.updates.append(update)
        self._changed.set()

    def offer_status(self, status: PbxStatus) -> None:
        self.statuses.append(status)
        self._changed.set()

    def offer_roster(self, roster: PbxRoster) -> None:
        self.rosters.append(roster)
        self._changed.set()

    def hold(self, pbx: str) -> None:
        self.speaking.append(False)

    def speaks(self, pbx: str) -> bool:
        return bool(self.speaking) and self.speaking[-1]

    async def recall(self, pbx: str) -> Recalled:
        return self.recalled

    def speak(self, pbx: str, recalled: Recalled, stamp: Callable[[datetime], int]) -> set[str]:
        self.speaking.append(True)
        self._changed.set()
        return set(self.ended)

    async def until(self, condition: Callable[["Offered"], bool]) -> None:
        while not condition(self):
            self._changed.clear()
            await self._changed.wait()


class Floors:
    """In place of the floor's publisher: what it would have written."""

    def __init__(self) -> None:
        self.taken: list[FloorMessage] = []

    def offer(self, floor: Floor) -> None:
        self.taken += floor.take(NOW)


class Phones(AgentPhoneBook):
    """The agents' phones, changed by hand."""

    def __init__(self) -> None:
        super().__init__(connect_redis("redis://127.0.0.1:1/0"))

    def change(self, **logins: str) -> None:
        phones = [AgentPhone(endpoint=f"PJSIP/{name}", agent=login) for name, login in logins.items()]
        self._current = AgentPhones(phones=phones)
        for callback in self._callbacks:
            callback()


class Following:
    def __init__(
        self, follower: PbxFollower, offered: Offered, floors: Floors, phones: Phones, clock: TestClock
    ) -> None:
        self.follower = follower
        self.offered = offered
        self.floors = floors
        self.phones = phones
        self.clock = clock

    async def ended(self) -> CallUpdate:
        await self.offered.until(lambda o: bool(o.updates) and o.updates[-1].call.state is CallState.ENDED)
        return self.offered.updates[-1]

    async def settled(self, times: int = 1) -> None:
        """Until the state was read so often: each time the status says the version."""
        await self.offered.until(lambda o: sum(s.version == "Asterisk 22.1" for s in o.statuses) >= times)


@asynccontextmanager
async def following(stub: AmiStub, recalled: Recalled = _NOTHING) -> AsyncIterator[Following]:
    offered, clock, floors, phones = Offered(), TestClock(), Floors(), Phones()
    settings = PbxSettings(port=stub.port, secret=SecretStr("x"))
    offered.recalled = recalled
    follower = PbxFollower("main", settings, "RU", offered, floors, phones, Lease("main"), clock=clock)  # type: ignore[arg-type]
    follower.start()
    try:
        yield Following(follower, offered, floors, phones, clock)
    finally:
        await follower.close()


async def tell_state(session: Session, channels: list[dict[str, str]], boot: str = "12:00:00") -> None:
    """Answer one round of questions."""
    session.items(
        await session.next("CoreShowChannels"), "CoreShowChannel", channels, "CoreShowChannelsComplete"
    )
    await tell_rest(session, boot)


async def tell_rest(
    session: Session, boot: str = "12:00:00", members: list[dict[str, str]] | None = None
) -> None:
    members = members or []
    session.answer(await session.next("CoreStatus"), CoreStartupDate="2026-11-21", CoreStartupTime=boot)
    session.answer(await session.next("CoreSettings"), AsteriskVersion="22.1")
    session.items(await session.next("DeviceStateList"), "DeviceStateChange", [], "DeviceStateListComplete")
    session.items(await session.next("QueueStatus"), "QueueMember", members, "QueueStatusComplete")


async def test_calls_that_go_on_already_begin_with_a_gap(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [RINGING])
        await f.offered.until(lambda o: bool(o.updates))
        call = f.offered.updates[-1].call
        assert call.caller.number == "+79001112233"
        assert call.gap
        await f.settled()
        assert f.offered.statuses[-1].link is PbxLink.UP
        assert f.offered.statuses[-1].open_calls == 1
        (roster,) = f.offered.rosters
        assert roster.open == [call.call_id]
        assert roster.version > f.offered.updates[-1].version


async def test_events_that_come_while_the_state_is_read_are_neither_lost_nor_doubled(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        asked = await session.next("CoreShowChannels")
        session.event("Newchannel", **RINGING)
        session.event(
            "Newchannel",
            **{**RINGING, "Channel": "PJSIP/trunk-00000002", "Uniqueid": "2.1", "Linkedid": "2.1"},
        )
        session.items(asked, "CoreShowChannel", [RINGING], "CoreShowChannelsComplete")
        session.event("Hangup", **RINGING, Cause="16")
        await tell_rest(session)
        await f.settled()
        latest = {u.call_id: u.call.state for u in f.offered.updates}
        assert sorted(latest.values()) == [CallState.ENDED, CallState.NEW]
        assert len(f.follower.tracker.open_calls()) == 1


async def test_a_call_that_ended_unseen_ends(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [RINGING])
        await f.settled()
        session.abort()
        await f.offered.until(lambda o: o.statuses[-1].link is PbxLink.LOST)
        assert f.offered.statuses[-1].detail
        await f.clock.sleeping()
        await f.clock.advance(1)
        again = await stub.session()
        await tell_state(again, [])
        call = (await f.ended()).call
        assert call.end_reason is CallEndReason.UNKNOWN
        assert call.gap
        assert f.follower.tracker.open_calls() == []


async def test_a_late_fully_booted_has_the_state_read_again(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [])
        await f.settled()
        session.packet(("Event", "FullyBooted"), ("Privilege", "system,all"))
        await tell_state(session, [RINGING])
        await f.settled(2)
        assert len(f.follower.tracker.open_calls()) == 1


async def test_an_account_that_may_list_nothing_is_told_so_and_ends_no_call(
    stub: AmiStub, logs: Logs
) -> None:
    def missing() -> list[str]:
        return [e["missing"] for e in logs if "missing" in e]

    async with following(stub) as f:
        session = await stub.session()
        session.event("Newchannel", **RINGING)
        for name in EVERY_QUESTION:
            session.answer(await session.next(name), "Error", Message="Permission denied")
        await f.offered.until(lambda o: o.statuses[-1].open_calls == 1 and bool(missing()))
        assert f.offered.statuses[-1].version == "Asterisk Call Manager/11.0.0"
        assert [c.state for c in f.follower.tracker.open_calls()] == [CallState.NEW]
        assert f.offered.rosters == []  # nothing was read, so nothing can be concluded
        assert len(missing()) == 5
        assert missing()[0].startswith("CoreShowChannels is refused (Permission denied)")


async def test_status_stands_in_for_the_list_of_channels(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        session.answer(await session.next("CoreShowChannels"), "Error", Message="Permission denied")
        session.items(await session.next("Status"), "Status", [{**RINGING, "BridgeID": ""}], "StatusComplete")
        await tell_rest(session)
        await f.settled()
        assert len(f.follower.tracker.open_calls()) == 1


async def test_who_talks_with_whom_is_asked_where_the_list_of_channels_does_not_say_it(
    stub: AmiStub,
) -> None:
    caller = {**RINGING, "ChannelState": "6"}
    agent = {**caller, "Channel": "PJSIP/101-00000002", "Context": "from-internal", "Uniqueid": "1.2"}
    async with following(stub) as f:
        session = await stub.session()
        asked = await session.next("CoreShowChannels")
        session.items(asked, "CoreShowChannel", [caller, agent], "CoreShowChannelsComplete")
        bridges = [
            {"BridgeUniqueid": "b-1", "BridgeNumChannels": "2"},
            {"BridgeUniqueid": "b-2", "BridgeNumChannels": "0"},
            {"BridgeUniqueid": "b-3", "BridgeNumChannels": "1"},
        ]
        session.items(await session.next("BridgeList"), "BridgeListItem", bridges, "BridgeListComplete")
        asked = await session.next("BridgeInfo")
        assert asked["BridgeUniqueid"] == "b-1"
        members = [{"Uniqueid": "1.1"}, {"Uniqueid": "1.2"}]
        session.items(asked, "BridgeInfoChannel", members, "BridgeInfoComplete")
        session.answer(await session.next("BridgeInfo"), "Error", Message="Bridge not found")  # over by now
        await tell_rest(session)
        await f.settled()
        (call,) = f.follower.tracker.open_calls()
        assert (call.state, call.talking_to) == (CallState.ANSWERED, "PJSIP/101")


async def test_a_pbx_too_busy_to_answer_is_asked_again(
    stub: AmiStub, monkeypatch: pytest.MonkeyPatch, logs: Logs
) -> None:
    monkeypatch.setattr(resync, "_LIST_SECONDS", 0.01)
    async with following(stub) as f:
        session = await stub.session()
        await session.next("CoreShowChannels")
        await until(lambda: f.clock.slept.count(10) == 2)  # the heartbeat, and the next try
        await f.clock.advance(10)
        monkeypatch.setattr(resync, "_LIST_SECONDS", 30)
        await tell_state(session, [RINGING])
        await f.settled()
        assert len(f.follower.tracker.open_calls()) == 1
    assert any("asked again" in e["event"] for e in logs)


async def test_a_heartbeat_keeps_the_status_alive(stub: AmiStub) -> None:
    async with following(stub) as f:
        await tell_state(await stub.session(), [])
        await f.settled()
        said = len(f.offered.statuses)
        await f.clock.sleeping(at_least=10)
        await f.clock.advance(10)
        await f.offered.until(lambda o: len(o.statuses) > said)


async def test_a_recorded_call_gives_its_updates(stub: AmiStub) -> None:
    trace = (Path(__file__).parent.parent / "traces" / "22" / "answered_queue_call.ami").read_bytes()
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [])
        await f.settled()
        session.send(trace.partition(b"\r\n\r\n")[2])
        call = (await f.ended()).call
        assert call.end_reason is CallEndReason.COMPLETED
        assert call.queue is not None
        assert call.queue.name == "support"
        versions = [u.version for u in f.offered.updates]
        assert versions == sorted(set(versions))


def told(stub_call: CallUpdate, version: int) -> Recalled:
    """That call as a listener before us told it, with history that the PBX does not tell any more."""
    call = stub_call.call.model_copy(update={"recording": "before.wav"})
    return Recalled((stub_call.model_copy(update={"call": call, "version": version}),))


async def seen_before(stub: AmiStub) -> CallUpdate:
    """What a listener that found the ringing call told of it."""
    async with following(stub) as f:
        await tell_state(await stub.session(), [RINGING])
        await f.settled()
        return f.offered.updates[-1]


class TestAfterARestart:
    async def test_a_call_goes_on_with_its_history_and_a_higher_version(self, stub: AmiStub) -> None:
        before = told(await seen_before(stub), 2**52)
        async with following(stub, before) as f:
            session = await stub.session()
            await tell_state(session, [RINGING])
            await f.settled()
            (update,) = f.offered.updates
            assert update.call.recording == "before.wav"
            assert (update.call_id, update.call.gap) == (before.open[0].call_id, True)
            assert update.version > 2**52
            session.event("Hangup", **RINGING, Cause="16")
            assert (await f.ended()).call.recording == "before.wav"

    async def test_an_event_before_the_list_finds_the_history_too(self, stub: AmiStub) -> None:
        async with following(stub, told(await seen_before(stub), 1)) as f:
            session = await stub.session()
            session.event("Newstate", **{**RINGING, "ChannelState": "6"})
            await f.offered.until(lambda o: bool(o.updates))
            assert f.offered.updates[-1].call.recording == "before.wav"
            await tell_state(session, [RINGING])
            await f.settled()
            assert len(f.follower.tracker.open_calls()) == 1

    async def test_a_call_the_pbx_does_not_have_any_more_ends_with_what_is_known(self, stub: AmiStub) -> None:
        async with following(stub, told(await seen_before(stub), 1)) as f:
            await tell_state(await stub.session(), [])
            call = (await f.ended()).call
            assert (call.end_reason, call.gap) == (CallEndReason.UNKNOWN, True)
            assert call.recording == "before.wav"
            await f.settled()
            assert f.offered.rosters[-1].open == []

    async def test_where_nothing_may_be_listed_only_calls_with_events_go_on(self, stub: AmiStub) -> None:
        async with following(stub, told(await seen_before(stub), 1)) as f:
            session = await stub.session()
            for name in EVERY_QUESTION:
                session.answer(await session.next(name), "Error", Message="Permission denied")
            assert (await f.ended()).call.end_reason is CallEndReason.UNKNOWN
            assert f.follower.tracker.open_calls() == []


class TestTakingOver:
    async def test_what_goes_on_is_told_anew_and_the_pbx_is_asked_again(self, stub: AmiStub) -> None:
        async with following(stub) as f:
            session = await stub.session()
            await tell_state(session, [RINGING])
            await f.settled()
            f.offered.recalled = told(f.offered.updates[-1], 2**52)
            said = len(f.offered.updates)
            f.follower.taken()
            assert f.offered.speaking == [False]
            await f.offered.until(lambda o: len(o.updates) > said)
            update = f.offered.updates[-1]
            assert (update.change, update.call.recording) == ("resent", None)  # what we saw is newer
            assert update.version > 2**52
            assert f.offered.speaking == [False, True]
            await tell_state(session, [RINGING])
            await f.offered.until(lambda o: len(o.rosters) == 2)
            assert f.offered.rosters[-1].version > update.version
            assert f.follower.taken_over == 1

    async def test_a_call_only_the_speaker_knew_is_judged_by_the_pbx(self, stub: AmiStub) -> None:
        before = told(await seen_before(stub), 1)
        async with following(stub) as f:
            session = await stub.session()
            await tell_state(session, [])
            await f.settled()
            f.offered.recalled = before
            f.follower.taken()
            await tell_state(session, [])
            assert (await f.ended()).call.end_reason is CallEndReason.UNKNOWN

    async def test_an_end_that_is_told_here_is_not_taken_up(self, stub: AmiStub) -> None:
        before = told(await seen_before(stub), 1)
        async with following(stub) as f:
            session = await stub.session()
            await tell_state(session, [])
            await f.settled()
            f.offered.recalled = before
            f.offered.ended = [before.open[0].call_id]
            f.follower.taken()
            await tell_state(session, [])
            await f.offered.until(lambda o: len(o.rosters) == 2)
            assert f.offered.updates == []


async def test_who_speaks_tells_of_queues_and_phones_as_well(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        session.items(
            await session.next("CoreShowChannels"), "CoreShowChannel", [], "CoreShowChannelsComplete"
        )
        member = {"Queue": "support", "Name": "One", "Location": "PJSIP/one", "Paused": "0", "Status": "1"}
        await tell_rest(session, members=[member])
        await f.settled()
        assert f.floors.taken == []  # on standby
        f.follower.taken()
        await f.offered.until(lambda o: o.speaks("main") and bool(o.statuses))
        await tell_state(session, [])
        await f.settled(2)
        (queue,) = [m.queue for m in f.floors.taken if isinstance(m, QueueUpdate) and m.queue.members]
        assert [member.interface for member in queue.members] == ["PJSIP/one"]
        session.event("DeviceStateChange", Device="PJSIP/one", State="RINGING")
        session.event("Newchannel", **RINGING)
        await f.offered.until(lambda o: bool(o.updates))
        assert any(isinstance(m, PhoneUpdate) and m.phone.device == "PJSIP/one" for m in f.floors.taken)


async def test_agents_that_change_phones_are_known_by_their_login_from_then_on(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [RINGING])
        f.phones.change(desk7="anna")
        session.event(
            "Newchannel",
            **RINGING
            | {"Channel": "PJSIP/desk7-00000002", "Uniqueid": "2.1", "Linkedid": "1.1", "CallerIDNum": ""},
        )
        session.event(
            "DialBegin",
            Channel="PJSIP/trunk-00000001",
            Uniqueid="1.1",
            Linkedid="1.1",
            DestChannel="PJSIP/desk7-00000002",
            DestUniqueid="2.1",
            DestLinkedid="1.1",
        )
        await f.offered.until(lambda o: any(u.call.legs for u in o.updates))
        assert [leg.agent for leg in f.offered.updates[-1].call.legs] == ["anna"]


async def test_a_lost_link_leaves_a_gap_in_the_calls_that_go_on(stub: AmiStub) -> None:
    async with following(stub) as f:
        session = await stub.session()
        await tell_state(session, [])
        await f.settled()
        session.event("Newchannel", **RINGING)
        await f.offered.until(lambda o: bool(o.updates))
        assert not f.offered.updates[-1].call.gap
        session.abort()
        await f.offered.until(lambda o: o.updates[-1].call.gap)
        assert f.offered.statuses[-1].link is PbxLink.LOST
