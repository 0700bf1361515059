"""Each defect seen in panoramisk 1.4, one test a row: what must be true here instead."""

import asyncio
import inspect

import pytest

from ami_listener.connection import ActionTimeout, AmiAccount, AmiConnection, LinkLost, Timing
from ami_listener.message import AmiMessage
from ami_listener.wire import AmiFramer, UnsafeValueError, WireLimits
from shared.contracts.call import PbxLink
from tests.ami_listener.conftest import Logs, connected
from tests.ami_listener.stub import BANNER, AmiStub, until


async def test_a_name_split_over_two_segments_arrives_whole(stub: AmiStub) -> None:
    async with connected(stub) as link:
        session = await stub.session()
        packet = "Event: Newchannel\r\nCallerIDName: Иванов Пётр\r\n\r\n".encode()
        cut = packet.index("ё".encode()) + 1  # in the middle of a letter
        session.send(packet[:cut])
        assert link.connection.protocol is not None
        pending = link.connection.protocol.framer._pending
        await until(lambda: pending.endswith(packet[cut - 1 : cut]))  # the half letter was read by itself
        session.send(packet[cut:])
        assert (await link.heard.named("Newchannel"))["CallerIDName"] == "Иванов Пётр"


async def test_an_exception_in_the_handler_costs_one_event_only(stub: AmiStub, logs: Logs) -> None:
    async with connected(stub) as link:
        session = await stub.session()

        def fail_on_hold(event: AmiMessage) -> None:
            if event.event == "Hold":
                raise RuntimeError("boom")

        link.heard.handle = fail_on_hold
        session.send(b"Event: Newchannel\r\n\r\nEvent: Hold\r\n\r\nEvent: Hangup\r\n\r\n")
        await link.heard.named("Hangup")
        assert [e.event for e in link.heard.events] == ["Newchannel", "Hangup"]
        assert link.connection.events_failed == 1
        assert link.connection.link is PbxLink.UP
        assert not session.ended.is_set()
        assert [e["ami_event"] for e in logs if "was skipped" in e["event"]] == ["Hold"]


async def test_events_are_handled_strictly_in_order(stub: AmiStub) -> None:
    async with connected(stub) as link:
        session = await stub.session()
        for n in range(500):
            session.event("Newstate", Uniqueid=str(n))
        await link.heard.until(lambda h: len(h.events) == 500)
        assert [e["Uniqueid"] for e in link.heard.events] == [str(n) for n in range(500)]

    async def coroutine(manager: object, event: object) -> None: ...

    with pytest.raises(TypeError, match="in order"):
        link.connection.register_event("*", coroutine)


async def test_a_half_open_link_is_noticed_and_reconnected() -> None:
    async with AmiStub(pings=False) as stub, connected(stub) as link:
        session = await stub.session()
        for _ in range(3):
            await link.clock.sleeping()
            await link.clock.advance(5)
        await link.heard.until(lambda h: h.links[-1][0] is PbxLink.LOST)
        assert "nothing was heard" in (link.heard.links[-1][1] or "").lower()
        await session.ended.wait()
        assert [a["Action"] for a in session.seen].count("Ping") == 2
        await link.clock.sleeping()
        await link.clock.advance(1)
        await link.heard.up(2)


async def test_a_link_that_answers_pings_stays(stub: AmiStub) -> None:
    async with connected(stub) as link:
        session = await stub.session()
        for _ in range(8):
            await link.clock.sleeping()
            await link.clock.advance(5)
            await session.pings.get()
            # The answer is on its way over a real socket; an action behind it proves that it has come.
            status = asyncio.create_task(link.connection.action("CoreStatus"))
            session.answer(await session.next("CoreStatus"))
            await status
        assert [state for state, _ in link.heard.links] == [PbxLink.UP]


async def test_a_refused_login_is_a_visible_state_and_not_a_loop() -> None:
    async with AmiStub(login="Error") as stub, connected(stub, wait_up=False) as link:
        await link.heard.until(lambda h: bool(h.links))
        state, sentence = link.heard.links[0]
        assert state is PbxLink.REFUSED
        assert sentence is not None
        assert "callcard" in sentence
        assert "manager.conf" in sentence
        assert "secret" not in sentence.replace("the secret", "")
        await link.clock.sleeping(at_least=30)
        assert stub.accepted == 1
        stub.login = "Success"
        await link.clock.advance(30)
        await link.heard.up()


async def test_back_off_doubles_to_a_cap_and_has_jitter() -> None:
    async with AmiStub() as stub:
        port = stub.port
    async with connected(
        AmiStub(port=port), wait_up=False, timing=Timing(backoff_first=1, backoff_cap=30)
    ) as link:
        for _ in range(8):
            await link.clock.sleeping()
            await link.clock.advance(link.clock.slept[-1])
        await link.clock.sleeping()
        assert link.clock.slept[:7] == [0.5, 1, 2, 4, 8, 15, 15]
        link.connection._jitter = lambda: 1.0
        assert link.connection._backoff(3) == 8
        assert "no connection" in (link.heard.links[0][1] or "").lower()


async def test_close_while_reconnecting_is_final(stub: AmiStub) -> None:
    async with connected(stub) as link:
        (await stub.session()).abort()
        await link.heard.until(lambda h: h.links[-1][0] is PbxLink.LOST)
        await link.clock.sleeping()
        link.connection.close()
        await link.connection.wait_closed()
        await link.clock.advance(60)
        assert stub.accepted == 1
        with pytest.raises(RuntimeError):
            link.connection.start()


async def test_an_action_is_never_sent_again_after_a_reconnect(stub: AmiStub) -> None:
    async with connected(stub) as link:
        first = await stub.session()
        dial = asyncio.create_task(link.connection.originate(Channel="PJSIP/agent101", Exten="100"))
        await first.next("Originate")
        first.abort()
        with pytest.raises(LinkLost):
            await dial
        await link.heard.until(lambda h: h.links[-1][0] is PbxLink.LOST)
        with pytest.raises(LinkLost, match="not sent"):
            await link.connection.action("Hangup", Channel="PJSIP/agent101-1")
        await link.clock.sleeping()
        await link.clock.advance(1)
        second = await stub.session()
        await link.heard.up(2)
        second.packet(("Event", "FullyBooted"))
        await link.heard.named("FullyBooted")
        status = asyncio.create_task(link.connection.action("CoreStatus"))
        second.answer(await second.actions.get())
        await status
        assert {a["Action"] for a in second.seen} == {"Login", "CoreStatus"}
        assert not link.connection.awaiting_actions


async def test_every_action_has_a_deadline(stub: AmiStub) -> None:
    async with connected(stub) as link:
        session = await stub.session()
        with pytest.raises(ActionTimeout, match="CoreStatus"):
            await link.connection.action("CoreStatus", timeout=0.01)
        with pytest.raises(ActionTimeout):
            await link.connection.action_list("CoreShowChannels", timeout=0.01)
        late = await session.next("CoreShowChannels")
        session.items(late, "CoreShowChannel", [{"Uniqueid": "1"}], "CoreShowChannelsComplete")
        session.event("Marker")
        await link.heard.named("Marker")
        assert [e.event for e in link.heard.events] == ["Marker"]  # a late answer is no news


async def test_originate_is_async_with_our_own_action_id(stub: AmiStub) -> None:
    async with connected(stub, wanted=frozenset({"Newchannel", "OriginateResponse"})) as link:
        session = await stub.session()
        dial = asyncio.create_task(link.connection.originate(Channel="PJSIP/agent101", Exten="100"))
        action = await session.next("Originate")
        assert action["Async"] == "true"
        assert action["ActionID"].startswith("callcard-")
        session.answer(action, Message="Originate successfully queued")
        session.event("Newchannel")
        session.packet(
            ("Event", "OriginateResponse"),
            ("ActionID", action["ActionID"]),
            ("Response", "Failure"),
            ("Reason", "3"),
        )
        answer = await dial
        assert answer["Reason"] == "3"
        await link.heard.named("OriginateResponse")  # the tracker sees it too
        for field in ("Async", "ActionID", "actionid"):
            with pytest.raises(ValueError, match=field):
                await link.connection.originate(Channel="PJSIP/agent101", **{field: "x"})


def test_a_message_without_end_is_capped_and_searched_from_the_old_end_only() -> None:
    framer = AmiFramer(limits=WireLimits(message=64 << 10))
    chunk = b"A" * 4096
    for _ in range(1024):  # 4 MB
        assert framer.feed(chunk) == []
        assert len(framer._pending) <= (64 << 10) + len(chunk)
    assert framer.problems.total == 1
    assert [m.event for m in framer.feed(b"\r\n\r\nEvent: Hangup\r\n\r\n")] == ["Hangup"]


@pytest.mark.parametrize("value", ["1\r\nAction: Originate", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "\ud800"])
async def test_control_characters_in_a_value_are_refused_before_anything_is_sent(
    stub: AmiStub, value: str
) -> None:
    async with connected(stub) as link:
        session = await stub.session()
        with pytest.raises(UnsafeValueError, match="CallerID"):
            await link.connection.action("Redirect", CallerID=value)
        with pytest.raises(UnsafeValueError):
            await link.connection.action("Redirect", **{"X\r\nAction": "Originate"})
        status = asyncio.create_task(link.connection.action("CoreStatus"))
        session.answer(await session.next("CoreStatus"))
        await status
        assert "Redirect" not in session.received.decode()


def test_empty_headers_are_kept_and_repeated_ones_are_a_list() -> None:
    (event,) = AmiFramer().feed(
        b"Event: Newchannel\r\nAccountCode: \r\nChanVariable: a=1\r\nChanVariable: b=2\r\nExten:\r\n\r\n"
    )
    assert event["AccountCode"] == ""
    assert event["Exten"] == ""
    assert event.all("ChanVariable") == ["a=1", "b=2"]
    assert event["ChanVariable"] == "a=1"
    assert event.all("Event") == ["Newchannel"]


def test_nothing_takes_an_event_loop_before_there_is_one() -> None:
    connection = AmiConnection(  # no loop runs here
        "test", AmiAccount("127.0.0.1", 1, "u", "s"), on_event=lambda e, at: None, on_link=lambda s, d: None
    )
    assert connection.loop is None
    with pytest.raises(RuntimeError, match="no running event loop"):
        connection.start()
    assert "get_event_loop()" not in inspect.getsource(AmiConnection)


def test_unwanted_events_are_dropped_at_their_first_line_unparsed() -> None:
    framer = AmiFramer(frozenset({"Hangup"}), WireLimits(headers=3))
    noise = b"Event: VarSet\r\n" + b"Variable: x\r\n" * 10 + b"\r\n"
    messages = framer.feed(noise * 3 + b"Event: Hangup\r\nCause: 16\r\n\r\n" + noise)
    assert messages == [{"Event": "Hangup", "Cause": "16"}]
    assert framer.problems.total == 0  # nobody counted its headers
    framer = AmiFramer(frozenset({"VarSet"}), WireLimits(headers=3))
    assert framer.feed(noise) == []
    assert framer.problems.total == 1


def test_the_banner_is_kept_however_late_it_comes() -> None:
    framer = AmiFramer()
    for byte in BANNER:
        framer.feed(bytes([byte]))
    assert framer.banner == "Asterisk Call Manager/11.0.0"
    late = AmiFramer()
    late.feed(b"Response: Success\r\n\r\n" + BANNER + b"Event: Hangup\r\n\r\n")
    assert late.banner == "Asterisk Call Manager/11.0.0"
