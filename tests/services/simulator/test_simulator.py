"""Pace, faults, determinism, and that the truth is what an observer of the events finds out."""

import asyncio
import json
import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from services.simulator import (
    WITHHELD,
    SimCaller,
    Simulator,
    SimulatorConfig,
    SimulatorError,
    Stage,
    make_agents,
    make_queues,
)
from services.simulator.app import http, simulator
from services.simulator.engine import Engine
from services.simulator.scenarios import SCENARIOS
from services.simulator.truth import Truth
from shared.contracts.call import Call, LegEndReason
from shared.settings import Settings, SettingsError
from tests.services.simulator.client import AmiClient

EPOCH = 1795300000.0


class TestManualPace:
    async def test_each_proceed_is_one_thing_that_happens(self) -> None:
        async with Simulator() as pbx, await AmiClient.log_in(pbx.address) as client:
            call = await pbx.place("answered_queue_call", pace="manual")
            assert (await client.until("AgentCalled"))["Uniqueid"] == call.uniqueid
            assert call.ringing == ["PJSIP/agent101"]

            await call.proceed()
            await call.reached("answered")
            assert (await client.until("AgentConnect"))["Interface"] == "PJSIP/agent101"
            assert call.truth.answered_by == "PJSIP/agent101"
            assert not call.truth.ended_at

            await call.proceed()
            await call.reached("ended")
            assert (await client.until("Hangup", Uniqueid=call.uniqueid))["Cause"] == "16"
            assert pbx.truth == [call.truth]
            assert pbx.open == []

            await call.proceed()  # nothing is left to happen

    @pytest.mark.parametrize("scenario", sorted(SCENARIOS))
    def test_every_scenario_comes_to_its_end(self, scenario: str) -> None:
        engine = Engine(SimulatorConfig(), EPOCH)
        call = engine.place(scenario, manual=True)
        for _ in range(8):
            engine.proceed(call)
        assert call.stages[-1] is Stage.ENDED
        assert call.truth.end_reason is not None
        assert all(leg.end_reason is not None for leg in call.truth.legs)
        assert nothing_is_left(engine)

    @pytest.mark.parametrize("scenario", sorted(SCENARIOS))
    @pytest.mark.parametrize("steps", [0, 1, 2, 3])
    def test_the_caller_may_hang_up_at_any_moment(self, scenario: str, steps: int) -> None:
        engine = Engine(SimulatorConfig(), EPOCH)
        call = engine.place(scenario, manual=True)
        for _ in range(steps):
            engine.proceed(call)
        engine.hang_up(call)
        assert call.stages[-1] is Stage.ENDED
        assert nothing_is_left(engine)

    async def test_busy_agents_are_not_rung(self) -> None:
        async with Simulator() as pbx:
            calls = [await pbx.place("answered_queue_call", pace="manual") for _ in range(5)]
            assert [call.ringing for call in calls] == [
                ["PJSIP/agent101"],
                ["PJSIP/agent102"],
                ["PJSIP/agent103"],
                ["PJSIP/agent104"],
                [],
            ]
            await calls[2].proceed()
            await calls[2].proceed()
            assert calls[4].ringing == ["PJSIP/agent103"]

    async def test_who_waits_longest_is_next(self) -> None:
        async with Simulator() as pbx:
            calls = [await pbx.place("answered_queue_call", pace="manual") for _ in range(7)]
            await calls[5].hang_up()
            for call in calls[:2]:
                await call.proceed()
                await call.proceed()
            assert [call.ringing for call in calls[4:]] == [["PJSIP/agent101"], [], ["PJSIP/agent102"]]

    async def test_the_agent_named_answers_when_all_ring(self) -> None:
        async with Simulator() as pbx:
            call = await pbx.place("ringall_queue", agent="102", pace="manual")
            assert len(call.ringing) == 4
            await call.proceed()
            assert call.ringing == ["PJSIP/agent102"]
            reasons = Counter(leg.end_reason for leg in call.truth.legs)
            assert reasons[LegEndReason.ANSWERED_ELSEWHERE] == 3

    async def test_one_of_several_phones_can_be_hung_up(self) -> None:
        async with Simulator() as pbx, await AmiClient.log_in(pbx.address) as client:
            call = await pbx.place("ringall_queue", agent="102", pace="manual")
            await client.ask("Hangup", Channel=call.truth.legs[0].channel)
            assert len(call.ringing) == 3
            await call.proceed()
            assert call.truth.answered_by == "PJSIP/agent102"

    async def test_callers_numbers_and_queue(self) -> None:
        async with Simulator() as pbx:
            hidden = await pbx.place("direct_did", caller=WITHHELD, agent="102", pace="manual")
            named = await pbx.place(
                "answered_queue_call",
                caller=SimCaller("+79990000000", "Иван"),
                did="+78000000001",
                pace="manual",
            )
            assert (hidden.truth.number, hidden.truth.did) == ("anonymous", "+78430000102")
            assert (named.truth.name, named.truth.queue) == ("Иван", "billing")
            digits = await pbx.place("ivr_then_queue", digit="2", pace="manual")
            await digits.proceed()
            assert (digits.truth.digits, digits.truth.queue) == ("2", "billing")

    @pytest.mark.parametrize(
        ("scenario", "fields"),
        [
            ("nonsense", {}),
            ("direct_did", {"agent": "999"}),
            ("answered_queue_call", {"did": "+70000000000"}),
            ("ivr_then_queue", {"digit": "7"}),
        ],
    )
    async def test_what_is_not_there_is_a_sentence(self, scenario: str, fields: dict[str, str]) -> None:
        async with Simulator() as pbx:
            with pytest.raises(SimulatorError, match=r"there (is|are)|it has"):
                await pbx.place(scenario, **fields)  # type: ignore[arg-type]
            assert pbx.engine.pbx.channels == {}


def nothing_is_left(engine: Engine) -> bool:
    """No channel, no bridge but an empty parking lot, every phone free, nobody in a queue or parked."""
    pbx = engine.pbx
    return (
        not (engine.open or pbx.channels or pbx.parked)
        and all(bridge is pbx.lot and not bridge.channels for bridge in pbx.bridges.values())
        and all(device.current() == "NOT_INUSE" and not device.channels for device in pbx.devices.values())
        and not any(queue.waiting for queue in pbx.queues.values())
    )


class TestTraffic:
    async def test_calls_come_by_themselves_and_end(self) -> None:
        config = SimulatorConfig(calls_per_second=2.0, time_scale=500.0)
        async with Simulator(config) as pbx:
            pbx.run_traffic(30)
            await pbx.quiet()
            assert len(pbx.truth) == 30

    async def test_stop(self) -> None:
        config = SimulatorConfig(calls_per_second=5.0, time_scale=500.0)
        async with Simulator(config) as pbx, await AmiClient.log_in(pbx.address) as client:
            pbx.run_traffic()
            for _ in range(3):
                await client.until("Newchannel")
            pbx.stop_traffic()
            await pbx.quiet()
            ended = len(pbx.truth)
            assert ended >= 1
            await pbx.quiet()
            assert len(pbx.truth) == ended

    def test_started_again_it_is_one_stream_of_calls(self) -> None:
        engine = Engine(SimulatorConfig(calls_per_second=1.0), EPOCH)
        engine.start_traffic()
        engine.stop_traffic()
        engine.start_traffic(3)
        while engine.due is not None:
            engine.step(math.inf)
        assert len(engine.truth) == 3

    def test_same_seed_same_bytes(self) -> None:
        first, again, other = (bytes_of(seed) for seed in (7, 7, 8))
        assert first == again
        assert first != other

    async def test_the_wall_clock_changes_nothing(self) -> None:
        """The same calls at two speeds and without any clock."""
        truths = []
        for scale in (2000.0, 9000.0, math.inf):
            config = SimulatorConfig(calls_per_second=1.0, time_scale=scale, epoch=EPOCH)
            async with Simulator(config) as pbx:
                pbx.engine.start_traffic(40)  # at the epoch itself: run_traffic begins when it is called
                pbx.flush()
                await pbx.quiet()
                truths.append(pbx.truth)
        assert truths[0] == truths[1] == truths[2]

    async def test_without_a_clock_no_client_loses_a_byte(self) -> None:
        config = SimulatorConfig(calls_per_second=1.0, time_scale=math.inf, noise=True, epoch=EPOCH)
        async with Simulator(config) as pbx, await AmiClient.log_in(pbx.address) as client:
            pbx.run_traffic(200)
            ended: set[str] = set()
            while len(pbx.truth) < 200 or not {truth.uniqueid for truth in pbx.truth} <= ended:
                ended.add((await client.until("Hangup"))["Uniqueid"])


def bytes_of(seed: int) -> str:
    engine = Engine(SimulatorConfig(seed=seed, noise=True, calls_per_second=1.0), EPOCH)
    engine.start_traffic(50)
    while engine.due is not None:
        engine.step(math.inf)
    return "".join(packet.text for packet in engine.take())


class TestTruth:
    @pytest.mark.parametrize("noise", [False, True], ids=["lean", "noise"])
    def test_it_is_what_the_tracker_finds_out(self, noise: bool) -> None:
        """800 calls of every kind for four agents, so many that callers wait."""
        mix = dict.fromkeys(SCENARIOS, 1.0)
        waited: set[str] = set()
        engine = Engine(
            SimulatorConfig(calls_per_second=0.15, mix=mix, seed=3, noise=noise),
            EPOCH,
            lambda call, stage: waited.add(call.uniqueid) if stage is Stage.QUEUED else None,
        )
        engine.start_traffic(800)
        framer, tracker = AmiFramer(WANTED), Tracker("main")
        calls: dict[str, Call] = {}
        while engine.due is not None:
            engine.step(math.inf)
            at = datetime.fromtimestamp(engine.pbx.now, UTC)
            for message in framer.feed("".join(packet.text for packet in engine.take()).encode()):
                calls.update((update.call_id, update.call) for update in tracker.handle(message, at))

        assert {truth.scenario for truth in engine.truth} == SCENARIOS.keys()
        assert len(waited) > 10
        assert nothing_is_left(engine)
        assert {f"main-{truth.uniqueid}" for truth in engine.truth} == calls.keys()
        for truth in engine.truth:
            assert facts_of_call(calls[f"main-{truth.uniqueid}"]) == facts_of_truth(truth), truth

    async def test_over_http(self) -> None:
        async with Simulator() as pbx:
            transport = httpx.ASGITransport(app=http(pbx))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                over = await pbx.place("direct_did", agent="101", pace="manual")
                await over.proceed()
                await over.proceed()
                await pbx.place("answered_queue_call", pace="manual")

                health = (await client.get("/healthz")).json()
                ended = (await client.get("/simulator/truth")).text.splitlines()
                going_on = (await client.get("/simulator/open")).text.splitlines()

        assert health == {"ok": True, "ami": f"{pbx.address[0]}:{pbx.address[1]}", "calls": 1}
        assert [json.loads(line) for line in ended] == [over.truth.to_dict()]
        assert json.loads(ended[0])["end_reason"] == "completed"
        assert json.loads(ended[0])["ended_at"].endswith("Z")
        assert json.loads(going_on[0])["ended_at"] is None

    async def test_as_a_piece_of_callcard_run(self, settings: Settings) -> None:
        async with simulator(settings, [("+79991234567", "Пётр")]) as app:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                host, port = (await client.get("/healthz")).json()["ami"].split(":")
            async with await AmiClient.connect((host, int(port))) as ami:
                await ami.ask("Login", Username="callcard", Secret="callcard-demo")
                await ami.until("Newchannel", CallerIDNum="+79991234567", CallerIDName="Пётр")

    async def test_a_taken_port_is_a_sentence(self, settings: Settings) -> None:
        async with Simulator() as other:
            taken = settings.simulator.model_copy(update={"port": other.address[1]})
            with pytest.raises(SettingsError, match="CALLCARD_SIMULATOR__PORT"):
                async with simulator(settings.model_copy(update={"simulator": taken})):
                    pass


@pytest.fixture
def settings() -> Settings:
    """A simulator on any port, busy enough for a test that waits for a call."""
    plain = Settings()
    busy = plain.simulator.model_copy(update={"port": 0, "calls_per_minute": 6000.0})
    return plain.model_copy(update={"simulator": busy})


def facts_of_truth(truth: Truth) -> dict[str, Any]:
    """What an observer can know."""
    moments = (truth.started_at, truth.answered_at, truth.ended_at)
    return {
        "direction": truth.direction,
        "number": None if truth.number == "anonymous" else truth.number,
        # colleagues' names are the agents' table's business
        "name": truth.name if truth.direction == "inbound" and truth.number != "anonymous" else None,
        "did": truth.did,
        "queue": truth.queue,
        "digits": truth.digits,
        "legs": sorted((leg.channel, leg.endpoint, leg.end_reason) for leg in truth.legs),
        "times": [datetime.fromtimestamp(t, UTC) if t else None for t in moments],
        "end_reason": truth.end_reason,
        "missed": truth.missed,
        "holds": truth.holds,
        "transferred": bool(truth.transfers),
    }


def facts_of_call(call: Call) -> dict[str, Any]:
    """The same of the product's call."""
    return {
        "direction": call.direction,
        "number": call.caller.number,
        "name": call.caller.name
        if call.direction == "inbound" and call.caller.presentation == "allowed"
        else None,
        "did": call.did,
        "queue": call.queue.name if call.queue else None,
        "digits": "".join(one.digits for one in call.digits),
        "legs": sorted((leg.channel, leg.endpoint, leg.end_reason) for leg in call.legs),
        "times": [call.started_at, call.answered_at, call.ended_at],
        "end_reason": call.end_reason,
        "missed": call.missed,
        "holds": len(call.holds),
        "transferred": bool(call.transfers),
    }


class TestFaults:
    async def test_drop_clients(self) -> None:
        async with Simulator() as pbx:
            async with await AmiClient.log_in(pbx.address) as client:
                call = await pbx.place("answered_queue_call", pace="manual")
                pbx.drop_clients()
                await client.until_closed()
            await call.proceed()
            async with await AmiClient.log_in(pbx.address) as again:
                channels = await again.ask("CoreShowChannels")
                assert channels[-1]["ListItems"] == "2"

    async def test_freeze_is_silence_on_an_open_socket(self) -> None:
        async with Simulator() as pbx, await AmiClient.log_in(pbx.address) as client:
            await client.events()
            pbx.freeze()
            client.write("Ping")
            call = await pbx.place("answered_queue_call", pace="manual")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.readexactly(1), 0.1)
            pbx.thaw()
            assert (await client.packet())["Ping"] == "Pong"
            await call.proceed()
            assert (await client.packet())["Event"] == "Newstate"

    async def test_send_raw(self) -> None:
        async with Simulator() as pbx, await AmiClient.log_in(pbx.address) as client:
            await client.events()
            pbx.send_raw(b"Garbage\r\n\r\n")
            assert "Garbage" in await client.packet()

    async def test_restart_forgets_channels_without_a_word(self) -> None:
        async with Simulator() as pbx:
            async with await AmiClient.log_in(pbx.address) as client:
                before = (await client.ask("CoreStatus"))[0]
                call = await pbx.place("answered_queue_call", pace="manual")
                await call.proceed()
                pbx.restart()
                last_words = {packet.get("Event") for packet in await client.until_closed()}
                assert not last_words & {"Hangup", "Shutdown"}
            assert call.truth.end_reason == "unknown"
            assert call.stages[-1] is Stage.ENDED
            async with await AmiClient.log_in(pbx.address) as again:
                after = (await again.ask("CoreStatus"))[0]
                assert (before["CoreStartupDate"], before["CoreStartupTime"]) != (
                    after["CoreStartupDate"],
                    after["CoreStartupTime"],
                )
                assert (await again.ask("CoreShowChannels"))[-1]["ListItems"] == "0"
                new = await pbx.place("answered_queue_call", pace="manual")
            assert new.channel == call.channel == "PJSIP/trunk-00000000"
            assert new.uniqueid != call.uniqueid

    async def test_traffic_goes_on_after_a_restart(self) -> None:
        async with Simulator(SimulatorConfig(calls_per_second=2.0, time_scale=500.0)) as pbx:
            pbx.run_traffic(20)
            await pbx.place("hold_unhold", pace="manual")
            pbx.restart()
            await pbx.quiet()
            assert len(pbx.truth) == 21

    async def test_a_client_that_does_not_read_is_cut_off_and_nobody_waits(self) -> None:
        config = SimulatorConfig(noise=True, time_scale=5000.0, calls_per_second=1.0, max_backlog=200_000)
        async with (
            Simulator(config) as pbx,
            await AmiClient.log_in(pbx.address) as slow,
            await AmiClient.log_in(pbx.address, Events="off") as other,
        ):
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            pbx.run_traffic(400)
            await pbx.quiet()
            assert len(pbx.truth) == 400
            assert (await other.ask("Ping"))[0]["Ping"] == "Pong"
            slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await slow.until_closed()

    async def test_on_sent_tells_when_each_event_left(self) -> None:
        sent: list[tuple[str, str, int]] = []
        pbx = Simulator(on_sent=lambda *event: sent.append(event))
        async with pbx, await AmiClient.log_in(pbx.address, "cardmin"):
            call = await pbx.place("answered_queue_call", pace="manual")
        ours = [event for event, uniqueid, _ in sent if uniqueid == call.uniqueid]
        assert ours[0] == "Newchannel"
        assert "AgentCalled" in ours
        assert "VarSet" not in ours
        assert all(moment > 0 for _, _, moment in sent)


def test_least_recent_gives_everybody_a_turn() -> None:
    people = make_agents(3)
    line = replace(make_queues(people)[0], strategy="leastrecent")
    engine = Engine(SimulatorConfig(agents=people, queues=(line,), mix={}, callers=(SimCaller("+7"),)), EPOCH)
    for _ in range(6):
        engine.place("answered_queue_call")
        while engine.due is not None:
            engine.step(math.inf)
    assert Counter(truth.answered_by for truth in engine.truth) == {agent.endpoint: 2 for agent in people}
