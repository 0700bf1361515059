"""The link to a PBX: bad input, restarts, what it asks for at login."""

import asyncio

import pytest

from ami_listener.connection import ActionFailed, AmiAccount, LinkLost
from ami_listener.tracker.events import WANTED
from shared.contracts.call import PbxLink
from tests.ami_listener.conftest import Link, Logs, connected
from tests.ami_listener.stub import AmiStub, Session


async def answered(link: Link, session: Session) -> None:
    """An action there and back: everything the stub sent before has been handled."""
    status = asyncio.create_task(link.connection.action("CoreStatus"))
    session.answer(await session.next("CoreStatus"))
    await status


class TestBadInput:
    async def test_garbage_is_logged_and_the_next_event_is_read(self, stub: AmiStub, logs: Logs) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            session.send(bytes(range(256)) * 50 + b"\r\n\r\n")
            session.event("Hangup", Cause="16")
            assert (await link.heard.named("Hangup"))["Cause"] == "16"
            assert link.connection.problems_seen > 0
            (entry,) = [e for e in logs if "could not be understood" in e["event"]]
            assert "skipped" in entry["problem"]
            assert entry["pbx"] == "test"

    async def test_four_megabytes_without_an_end_do_not_stop_the_link(
        self, stub: AmiStub, logs: Logs
    ) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            for _ in range(1024):
                session.send(b"A" * 4096)
                await session.writer.drain()
            session.send(b"\r\n\r\n")
            session.event("Hangup")
            await link.heard.named("Hangup")
            assert link.connection.link is PbxLink.UP
            assert [e["problem"] for e in logs if "could not be understood" in e["event"]] == [
                "a message of more than 1048576 bytes was skipped whole"
            ]

    async def test_utf8_byte_by_byte(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            for byte in "Event: Newchannel\r\nCallerIDName: Иванов Пётр\r\n\r\n".encode():
                session.send(bytes([byte]))
                await session.writer.drain()
            assert (await link.heard.named("Newchannel"))["CallerIDName"] == "Иванов Пётр"

    async def test_a_banner_that_comes_after_the_login_is_kept(self) -> None:
        async with AmiStub(banner=b"") as stub, connected(stub) as link:
            session = await stub.session()
            session.send(b"Asterisk Call Manager/11.0.0\r\n")
            session.event("Hangup")
            await link.heard.named("Hangup")
            assert link.connection.banner == "Asterisk Call Manager/11.0.0"

    async def test_a_server_that_is_no_pbx_is_given_up_and_tried_again(self, logs: Logs) -> None:
        async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(web_server, "127.0.0.1", 0)
        stub = AmiStub(port=server.sockets[0].getsockname()[1])
        async with server, connected(stub, wait_up=False) as link:
            await link.heard.until(lambda h: bool(h.links))
            assert link.heard.links[0][0] is PbxLink.LOST
            await link.clock.sleeping()

    async def test_an_error_answer_that_belongs_to_no_action_is_logged(
        self, stub: AmiStub, logs: Logs
    ) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            session.send(b"Response: Error\r\nMessage: Missing action in request\r\n\r\n")
            await answered(link, session)
            assert [e["said"] for e in logs if "reports an error" in e["event"]] == [
                "Missing action in request"
            ]


class TestRestart:
    async def test_a_restarted_pbx_is_found_again(self) -> None:
        async with AmiStub() as first, connected(first) as link:
            port = first.port
            (await first.session()).close()
            await link.heard.until(lambda h: h.links[-1][0] is PbxLink.LOST)
            assert "closed the connection" in (link.heard.links[-1][1] or "")
            await first.__aexit__(None, None, None)
            await link.clock.sleeping()
            await link.clock.advance(1)  # nobody listens yet
            await link.clock.sleeping()
            async with AmiStub(port=port) as second:
                await link.clock.advance(2)
                await link.heard.up(2)
                session = await second.session()
                session.event("Hangup")
                await link.heard.named("Hangup")

    async def test_what_is_under_way_fails_when_the_link_breaks(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            asking = asyncio.create_task(link.connection.action_list("CoreShowChannels"))
            await session.next("CoreShowChannels")
            session.abort()
            with pytest.raises(LinkLost):
                await asking

    async def test_close_fails_what_is_under_way(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            asking = asyncio.create_task(link.connection.action("CoreStatus"))
            await session.next("CoreStatus")
            link.connection.close()
            with pytest.raises(LinkLost):
                await asking
            await session.ended.wait()


class TestLogin:
    async def test_asks_for_no_more_events_than_are_wanted(self, stub: AmiStub) -> None:
        async with connected(stub, wanted=WANTED) as link:
            session = await stub.session()
            login, asked = session.seen[:2]
            assert login["Events"] == "agent,call,dtmf,system,user"
            assert login["Secret"] == "secret"
            assert asked["Action"] == "Filter"
            assert asked["Filter"].startswith("^Event: (AgentConnect|")
            assert "VarSet" not in asked["Filter"]
            assert link.connection.filtered

    async def test_variables_are_asked_for_by_name(self, stub: AmiStub) -> None:
        async with connected(stub, wanted=WANTED, variables=frozenset({"CAMPAIGN", "CONTRACT"})):
            session = await stub.session()
            login, first, second = session.seen[:3]
            assert login["Events"] == "agent,call,dialplan,dtmf,system,user"
            assert "VarSet" not in first["Filter"]
            assert second["Filter"] == "^Event: VarSet.*Variable: _*(CAMPAIGN|CONTRACT)[[:cntrl:]]"

    async def test_a_pbx_that_sends_every_variable_costs_nothing_here(self) -> None:
        variables = frozenset({"CAMPAIGN"})
        async with (
            AmiStub(may_filter=False) as stub,
            connected(stub, wanted=WANTED, variables=variables) as link,
        ):
            session = await stub.session()
            session.event("VarSet", Variable="DIALSTATUS", Value="ANSWER")
            session.event("VarSet", Variable="CAMPAIGN", Value="spring")
            session.event("Hangup")
            await link.heard.named("Hangup")
            assert [e.get("Value") for e in link.heard.events] == ["spring", None]

    async def test_an_account_that_may_not_filter_is_enough(self) -> None:
        async with AmiStub(may_filter=False) as stub, connected(stub, wanted=WANTED) as link:
            session = await stub.session()
            assert not link.connection.filtered
            session.event("VarSet")
            session.event("Hangup")
            await link.heard.named("Hangup")
            assert [e.event for e in link.heard.events] == ["Hangup"]

    async def test_does_not_wait_for_fully_booted(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            assert link.heard.links == [(PbxLink.UP, None)]

    def test_the_secret_is_in_no_text_of_the_account(self) -> None:
        assert "hunter2" not in repr(AmiAccount("pbx", 5038, "callcard", "hunter2"))


class TestActions:
    async def test_a_list_is_collected_to_its_end(self, stub: AmiStub) -> None:
        async with connected(stub, wanted=frozenset({"Hangup"})) as link:
            session = await stub.session()
            asking = asyncio.create_task(link.connection.action_list("CoreShowChannels"))
            action = await session.next("CoreShowChannels")
            session.answer(action, EventList="start")
            session.packet(("Event", "CoreShowChannel"), ("ActionID", action["ActionID"]), ("Uniqueid", "1"))
            session.event("Hangup", Uniqueid="9")  # news in the middle of a list is news
            session.packet(("Event", "CoreShowChannel"), ("ActionID", action["ActionID"]), ("Uniqueid", "2"))
            session.packet(("Event", "CoreShowChannelsComplete"), ("ActionID", action["ActionID"]))
            assert [item["Uniqueid"] for item in await asking] == ["1", "2"]
            assert [e["Uniqueid"] for e in link.heard.events] == ["9"]
            assert link.connection.protocol is not None
            assert not link.connection.protocol.framer.answers_expected

    async def test_answers_in_another_order_reach_their_own_action(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            first = asyncio.create_task(link.connection.action("CoreStatus"))
            second = asyncio.create_task(link.connection.action("CoreSettings"))
            one, two = await session.next("CoreStatus"), await session.next("CoreSettings")
            session.answer(two, AsteriskVersion="22")
            session.answer(one, CoreStartupTime="1")
            assert (await first)["CoreStartupTime"] == "1"
            assert (await second)["AsteriskVersion"] == "22"

    async def test_a_refusal_says_what_the_pbx_said(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            asking = asyncio.create_task(link.connection.action_list("QueueStatus"))
            session.answer(await session.next("QueueStatus"), "Error", Message="Permission denied")
            with pytest.raises(ActionFailed, match="Permission denied") as caught:
                await asking
            assert caught.value.answer["Response"] == "Error"

    async def test_the_way_panoramisk_sends_is_as_safe(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            asking = link.connection.send_command("core show uptime")
            action = await session.next("Command")
            assert action["Command"] == "core show uptime"
            assert action["ActionID"].startswith("callcard-")
            session.answer(action, Output="1 day")
            assert (await asking)["Output"] == "1 day"

    async def test_repeated_headers_are_sent_as_such(self, stub: AmiStub) -> None:
        async with connected(stub) as link:
            session = await stub.session()
            dial = asyncio.create_task(link.connection.originate(Channel="PJSIP/1", Variable=["a=1", "b=2"]))
            action = await session.next("Originate")
            assert b"Variable: a=1\r\nVariable: b=2\r\n" in session.received
            session.answer(action, "Error", Message="Extension does not exist.")
            with pytest.raises(ActionFailed, match="Extension does not exist"):
                await dial
