"""The AMI side: logins, rights, masks, filters, and answers that are true in mid-call."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.simulator import SimCaller, Simulator, SimulatorConfig
from tests.services.simulator.client import AmiClient, Packet
from tests.services.simulator.recorded import Event, Names, packets, recorded

CLIENT = SimCaller("+79001112233")


@pytest.fixture
async def pbx() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig(noise=True, epoch=1795300000.0)) as simulator:
        yield simulator


class TestLogin:
    async def test_banner_then_booted(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            assert client.raw.startswith(b"Asterisk Call Manager/11.0.0\r\n")
            assert (await client.packet())["Event"] == "FullyBooted"
            assert (await client.packet())["AccountID"] == "callcard"

    async def test_wrong_password_is_refused_and_cut_off(self, pbx: Simulator) -> None:
        async with await AmiClient.connect(pbx.address) as client:
            answer = await client.ask("Login", Username="callcard", Secret="wrong")

            assert answer == [{"Response": "Error", "ActionID": "test-1", "Message": "Authentication failed"}]
            with pytest.raises(ConnectionError):
                await client.packet()

    async def test_unknown_user_gets_the_same_answer(self, pbx: Simulator) -> None:
        async with await AmiClient.connect(pbx.address) as client:
            answer = await client.ask("Login", Username="nobody", Secret="wrong")
            assert answer[0]["Message"] == "Authentication failed"

    async def test_nothing_is_answered_before_login(self, pbx: Simulator) -> None:
        async with await AmiClient.connect(pbx.address) as client:
            assert (await client.ask("CoreStatus"))[0]["Message"] == "Permission denied"
            await pbx.place("ivr_caller_hangup")
            assert (await client.ask("Ping"))[0]["Message"] == "Permission denied"
            assert b"Newchannel" not in client.raw

    async def test_logoff(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            assert (await client.ask("Logoff"))[0]["Response"] == "Goodbye"
            with pytest.raises(ConnectionError):
                await client.packet()


class TestRights:
    async def test_least_account_sees_calls_and_agents_only(self, pbx: Simulator) -> None:
        async with (
            await AmiClient.log_in(pbx.address, "cardmin") as least,
            await AmiClient.log_in(pbx.address) as full,
        ):
            call = await pbx.place("answered_queue_call", pace="manual")
            await call.proceed()
            await call.proceed()
            seen, all_events = await least.events(), await full.events()

        assert {event["Privilege"] for event in seen} == {"call,all", "agent,all"}
        assert len(seen) < len(all_events) / 2
        assert seen == [event for event in all_events if event["Privilege"] in ("call,all", "agent,all")]

    async def test_least_account_may_read_and_call_but_not_steer(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address, "cardmin") as client:
            for action in ("CoreShowChannels", "QueueStatus", "CoreStatus", "CoreSettings", "Status", "Ping"):
                assert (await client.ask(action))[0]["Response"] == "Success", action
            for action in ("Hangup", "Redirect", "QueuePause", "QueueAdd", "Filter", "Command", "Setvar"):
                assert (await client.ask(action))[0]["Message"] == "Permission denied", action
            commands = (await client.ask("ListCommands"))[0]
            assert "Originate" in commands
            assert "Hangup" not in commands

    async def test_events_can_be_switched(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address, Events="off") as client:
            await pbx.place("ivr_caller_hangup", pace="manual")
            assert await client.events() == []
            assert (await client.ask("Events", EventMask="agent,call"))[0]["Events"] == "On"
            await pbx.place("answered_queue_call", pace="manual")
            assert {event["Privilege"] for event in await client.events()} == {"call,all", "agent,all"}
            assert (await client.ask("Events", EventMask="nonsense"))[0]["Message"] == "Invalid event mask"
            assert (await client.ask("Events", EventMask="off"))[0]["Events"] == "Off"

    async def test_filters_leave_out_and_let_in(self, pbx: Simulator) -> None:
        async with (
            await AmiClient.log_in(pbx.address) as without,
            await AmiClient.log_in(pbx.address) as only,
        ):
            await without.ask("Filter", Operation="Add", Filter="!Event: VarSet")
            await only.ask("Filter", Operation="Add", Filter="Event: (Newchannel|Hangup)")
            assert (await only.ask("Filter", Operation="Add", Filter="("))[0]["Response"] == "Error"
            await pbx.place("answered_queue_call", pace="manual")
            left = {event["Event"] for event in await without.events()}
            assert "Newexten" in left
            assert "VarSet" not in left
            assert {event["Event"] for event in await only.events()} <= {
                "Newchannel",
                "FullyBooted",
                "SuccessfulAuth",
            }

    async def test_a_filter_shows_nothing_the_mask_hides(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address, Events="call") as client:
            await client.ask("Filter", Operation="Add", Filter="!Event: Newstate")
            await pbx.place("answered_queue_call", pace="manual")
            events = await client.events()

        assert {event["Privilege"] for event in events} == {"call,all"}
        assert "Newstate" not in {event["Event"] for event in events}

    async def test_command_is_refused(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            answer = await client.ask("Command", Command="core show channels")
            assert answer[0]["Message"] == "Permission denied"

    async def test_unknown_action(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            answer = await client.ask("Nonsense")
            assert answer[0]["Message"].startswith("Invalid/unknown command: Nonsense.")


VOLATILE = frozenset(
    {
        "ActionID",
        "CallsTaken",
        "LastCall",
        "LastPause",
        "LoginTime",
        "Holdtime",
        "TalkTime",
        "Completed",
        "Abandoned",
        "Duration",
        "Seconds",
        "Wait",
        "HoldTime",
        "LongestHoldTime",
        "ListItems",
        "Items",
        # codecs are not simulated
        "Nativeformats",
        "Writeformat",
        "Writetrans",
    }
)


def answers(events: list[Event], names: Names, kinds: set[str]) -> list[Event]:
    """List items of some kinds, ordered, with what differs from run to run left out; the harness' own queues too."""
    found = []
    for event in events:
        fields = dict(event)
        if fields["Event"] in kinds and "ActionID" in fields and fields.get("Queue") not in ("sales", "load"):
            found.append([(n, "*" if n in VOLATILE else names.of(v)) for n, v in event])
    return sorted(found)


class TestSnapshot:
    """One call answered by agent101, a second one rings at agent102: the moment of trace live_state_snapshot."""

    LISTS = (
        ("CoreShowChannels", {"CoreShowChannel", "CoreShowChannelsComplete"}),
        ("QueueStatus", {"QueueParams", "QueueMember", "QueueEntry", "QueueStatusComplete"}),
        ("BridgeList", {"BridgeListItem", "BridgeListComplete"}),
        ("Status", {"Status", "StatusComplete"}),
        ("ExtensionStateList", {"ExtensionStatus", "ExtensionStateListComplete"}),
    )

    @pytest.mark.parametrize(
        ("action", "kinds"), LISTS, ids=lambda value: value if isinstance(value, str) else ""
    )
    async def test_answers_are_the_recorded_ones(self, pbx: Simulator, action: str, kinds: set[str]) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            first = await pbx.place("answered_queue_call", caller=CLIENT, pace="manual")
            await first.proceed()
            await pbx.place("answered_queue_call", caller=SimCaller("+79001110002"), pace="manual")
            await client.ask(action)
            simulated = packets(bytes(client.raw))

        real = recorded("live_state_snapshot")
        assert answers(simulated, Names(simulated), kinds) == answers(real, Names(real), kinds)

    async def test_devices(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            await pbx.place("answered_queue_call", pace="manual")
            states = {p["Device"]: p["State"] for p in (await client.ask("DeviceStateList"))[1:-1]}

        assert states["PJSIP/agent101"] == "RINGING"
        assert states["PJSIP/agent102"] == "NOT_INUSE"
        assert states["PJSIP/trunk"] == "INUSE"
        assert states["Queue:support"] == "RINGING"

    async def test_answers_are_true_at_every_moment_of_a_busy_minute(self, pbx: Simulator) -> None:
        """Channels, bridges and waiting callers from the answers = those from the events so far."""
        config = SimulatorConfig(calls_per_second=1.0, time_scale=200.0, epoch=1795300000.0)
        async with Simulator(config) as busy, await AmiClient.log_in(busy.address) as client:
            busy.run_traffic(60)
            world = World()
            for _ in range(40):
                asked = (
                    client.write("CoreShowChannels"),
                    client.write("QueueStatus"),
                    client.write("BridgeList"),
                )
                listed: dict[str, set[str]] = {"channels": set(), "waiting": set(), "bridges": set()}
                while True:
                    packet = await client.packet()
                    kind = packet.get("Event", "")
                    if kind == "CoreShowChannel":
                        listed["channels"].add(packet["Channel"])
                    elif kind == "CoreShowChannelsComplete":
                        assert listed["channels"] == world.channels
                    elif kind == "QueueEntry":
                        listed["waiting"].add(packet["Channel"])
                    elif kind == "QueueStatusComplete":
                        assert listed["waiting"] == world.waiting
                    elif kind == "BridgeListItem":
                        listed["bridges"].add(packet["BridgeUniqueid"])
                    elif kind == "BridgeListComplete":
                        assert packet["ActionID"] == asked[2]
                        assert listed["bridges"] == world.bridges
                        break
                    else:
                        world.see(packet)
            assert len(world.seen) > 20


class World:
    """What is going on, by the events alone."""

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.waiting: set[str] = set()
        self.bridges: set[str] = set()
        self.seen: set[str] = set()

    def see(self, packet: Packet) -> None:
        kind = packet.get("Event")
        if kind == "Newchannel":
            self.channels.add(packet["Channel"])
            self.seen.add(packet["Channel"])
        elif kind == "Hangup":
            self.channels.remove(packet["Channel"])
        elif kind == "QueueCallerJoin":
            self.waiting.add(packet["Channel"])
        elif kind == "QueueCallerLeave":
            self.waiting.remove(packet["Channel"])
        elif kind == "BridgeCreate":
            self.bridges.add(packet["BridgeUniqueid"])
        elif kind == "BridgeDestroy":
            self.bridges.remove(packet["BridgeUniqueid"])


class TestActions:
    async def test_members_come_and_go_as_recorded(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            member = {"Queue": "support", "Interface": "PJSIP/agent101"}
            messages = [
                (await client.ask("QueuePause", **member, Paused="true", Reason="lunch"))[0],
                (await client.ask("QueuePause", **member, Paused="false"))[0],
                (await client.ask("QueuePause", Interface="PJSIP/agent102", Paused="true"))[0],
                (await client.ask("QueuePenalty", **member, Penalty="5"))[0],
                (await client.ask("QueueRemove", **member))[0],
                (await client.ask("QueueRemove", **member))[0],
                (await client.ask("QueueAdd", **member, MemberName="Agent One", Penalty="2"))[0],
                (await client.ask("QueuePause", Queue="sales", Interface="PJSIP/nobody", Paused="true"))[0],
            ]
            summary = (await client.ask("QueueSummary", Queue="support"))[1]

        real = {m for block in self.recorded_messages() if (m := block.get("Message"))}
        assert {answer["Message"] for answer in messages} <= real
        assert [answer["Response"] for answer in messages] == [*["Success"] * 5, "Error", "Success", "Error"]
        assert (summary["LoggedIn"], summary["Available"]) == ("4", "3")

    @staticmethod
    def recorded_messages() -> list[Packet]:
        from tests.services.simulator.recorded import TRACES

        blocks = (TRACES / "queue_member_actions.ami").read_text().split("\n\n")
        return [dict(line.split(": ", 1) for line in b.splitlines() if ": " in line) for b in blocks]

    async def test_paused_agents_are_not_rung_and_waiting_callers_get_them_back(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            for agent in ("101", "102", "103", "104"):
                await client.ask("QueuePause", Interface=f"PJSIP/agent{agent}", Paused="true")
            call = await pbx.place("answered_queue_call", pace="manual")
            assert call.stages == ["queued"]
            await client.ask("QueuePause", Interface="PJSIP/agent103", Paused="false")
            await call.reached("ringing")
            assert call.ringing == ["PJSIP/agent103"]

    async def test_hangup_ends_the_call(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            call = await pbx.place("answered_queue_call", pace="manual")
            await call.proceed()
            answer = await client.ask("Hangup", Channel=call.channel)
            await call.reached("ended")
            assert answer[0]["Message"] == "Channel Hungup"
            assert call.truth.end_reason == "completed"
            assert (await client.ask("Hangup", Channel=call.channel))[0]["Message"] == "No such channel"

    async def test_redirect_sends_the_caller_to_a_colleague(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            call = await pbx.place("answered_queue_call", pace="manual")
            assert (await client.ask("Redirect", Channel=call.channel, Exten="103"))[0]["Response"] == "Error"
            await call.proceed()
            answer = await client.ask(
                "Redirect", Channel=call.channel, Context="internal", Exten="103", Priority="1"
            )
            assert answer[0]["Message"] == "Redirect successful"
            assert call.ringing == ["PJSIP/agent103"]
            await call.proceed()
            await call.proceed()
            assert [leg.end_reason for leg in call.truth.legs] == ["transferred", "hangup"]

    async def test_originate_rings_the_agent_first(self, pbx: Simulator) -> None:
        config = SimulatorConfig(time_scale=1000.0)
        async with Simulator(config) as fast, await AmiClient.log_in(fast.address) as client:
            answer = await client.ask(
                "Originate",
                Channel="PJSIP/agent102",
                Context="internal",
                Exten="+79003334455",
                Priority="1",
                CallerID='"Callback" <+79003334455>',
                Async="true",
                ChannelId="cb-0001",
            )
            assert answer[0]["Message"] == "Originate successfully queued"
            assert (await client.until("DialBegin"))["DestUniqueid"] == "cb-0001"
            response = await client.until("OriginateResponse")
            assert (response["Response"], response["Reason"]) == ("Success", "4")
            assert response["ActionID"] == answer[0]["ActionID"]
            assert (await client.until("DialBegin"))["DestChannel"].startswith("PJSIP/trunk-")
            assert (await client.until("Hangup", Uniqueid="cb-0001"))["Cause"] == "16"

    async def test_bad_input_is_a_sentence(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            for action, fields in (
                ("Originate", {}),
                ("Originate", {"Channel": "PJSIP/nobody", "Exten": "1"}),
                ("Originate", {"Channel": "PJSIP/agent101", "Exten": "1", "Timeout": "soon"}),
                ("QueueAdd", {"Queue": "support", "Interface": "PJSIP/agent999"}),
                ("QueueAdd", {"Queue": "nowhere", "Interface": "PJSIP/agent101"}),
                ("QueuePenalty", {"Queue": "support", "Interface": "PJSIP/agent101", "Penalty": "much"}),
                ("BridgeInfo", {"BridgeUniqueid": "none"}),
                ("Status", {"Channel": "none"}),
                ("Getvar", {}),
            ):
                answer = (await client.ask(action, **fields))[0]
                assert answer["Response"] == "Error", action
                assert answer["Message"]

    async def test_garbage_and_long_lines_hurt_nobody_else(self, pbx: Simulator) -> None:
        async with (
            await AmiClient.log_in(pbx.address) as good,
            await AmiClient.connect(pbx.address) as bad,
        ):
            bad.writer.write(b"\x00\xff\r\nAction\r\n\r\n" + b"x" * 100_000 + b"\r\n\r\n")
            assert all(answer["Response"] == "Error" for answer in await bad.until_closed())
            assert (await good.ask("Ping"))[0]["Ping"] == "Pong"

    async def test_variables(self, pbx: Simulator) -> None:
        async with await AmiClient.log_in(pbx.address) as client:
            await client.ask("Setvar", Variable="FORCE_CLOSED", Value="1")
            assert (await client.ask("Getvar", Variable="FORCE_CLOSED"))[0]["Value"] == "1"

    async def test_user_event_goes_to_everybody(self, pbx: Simulator) -> None:
        async with (
            await AmiClient.log_in(pbx.address) as one,
            await AmiClient.log_in(pbx.address) as other,
        ):
            await one.ask("UserEvent", UserEvent="Hello", Did="+7")
            assert (await other.until("UserEvent"))["UserEvent"] == "Hello"


async def test_many_clients_get_the_same_bytes(pbx: Simulator) -> None:
    clients = [await AmiClient.log_in(pbx.address) for _ in range(5)]
    call = await pbx.place("answered_queue_call", pace="manual")
    await call.proceed()
    await call.proceed()
    heard = await asyncio.gather(*(client.events() for client in clients))
    stories = [[event for event in events if event["Privilege"] != "security,all"] for events in heard]
    assert all(story[-5:] == stories[0][-5:] and len(story) >= 90 for story in stories)
    for client in clients:
        client.writer.close()
