"""Two listeners for one PBX, and one that is killed: nothing is lost, nothing is told twice."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.simulator.call import Stage
from services.simulator.config import FULL_ACCOUNT
from services.simulator.simulator import SimCall, Simulator
from shared import bus
from shared.contracts.call import CallEndReason, CallState, CallUpdate
from tests.e2e.conftest import CLIENT

# Longer than a listener's start and a lease take on a busy machine together.
_DEADLINE = 25.0

_SPEAKS = "calls are told from here on"
_STANDS_BY = "another listener speaks for the PBX; this one stands by"
_PBX_READ = "the state of the PBX is read"


class Listener:
    """`callcard run listener` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._unheard: list[dict[str, Any]] = []

    async def says(self, event: str) -> dict[str, Any]:
        """Its first log entry of that kind that nobody has asked for yet."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_DEADLINE):
            while True:
                for at, entry in enumerate(self._unheard):
                    if entry["event"] == event:
                        return self._unheard.pop(at)
                line = await self._process.stdout.readline()
                assert line, f"the listener has ended; it said {self._unheard}"
                if line.startswith(b"{"):
                    self._unheard.append(json.loads(line))

    def send(self, sign: signal.Signals) -> None:
        self._process.send_signal(sign)

    async def ended(self) -> None:
        await self._process.wait()


class Told:
    """The stream as a consumer reads it: each update in order."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last = "0"
        self.updates: list[CallUpdate] = []

    async def until(self, condition: Callable[[CallUpdate], bool]) -> CallUpdate:
        """The first update of which that is true."""
        async with asyncio.timeout(_DEADLINE):
            seen = 0
            while True:
                for update in itertools.islice(self.updates, seen, None):
                    if condition(update):
                        return update
                seen = len(self.updates)
                for _, entries in await self._redis.xread({bus.CALLS_STREAM: self._last}, block=1000) or []:
                    for entry, fields in entries:
                        self._last = entry
                        if bus.decode_roster(fields) is None:
                            self.updates.append(bus.decode_update(fields))

    async def call(self, call: SimCall, state: CallState) -> CallUpdate:
        return await self.until(lambda u: u.call_id == f"main-{call.uniqueid}" and u.call.state is state)

    def check(self) -> None:
        """No update is told twice or out of order, and no call ends twice."""
        newest: dict[str, CallUpdate] = {}
        for update in self.updates:
            before = newest.get(update.call_id)
            assert before is None or before.version < update.version, (before, update)
            assert before is None or before.call.state is not CallState.ENDED, update
            newest[update.call_id] = update


Begin = Callable[[str], Any]


@pytest.fixture
def listener(pbx: Simulator, redis_url: str, tmp_path: Path) -> Begin:
    """Starts a listener for `pbx` with a data folder of its own."""

    @asynccontextmanager
    async def begin(name: str) -> AsyncIterator[Listener]:
        folder = tmp_path / name
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("callcard")),
            "run",
            "listener",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("CALLCARD_")},
                "CALLCARD_PBX__MAIN__HOST": pbx.address[0],
                "CALLCARD_PBX__MAIN__PORT": str(pbx.address[1]),
                "CALLCARD_PBX__MAIN__USERNAME": FULL_ACCOUNT.username,
                "CALLCARD_PBX__MAIN__SECRET": FULL_ACCOUNT.secret,
                "CALLCARD_REDIS__URL": redis_url,
                "CALLCARD_DATA_DIR": str(folder),
                "CALLCARD_HTTP__PORT": "0",
                "CALLCARD_LOG_FORMAT": "json",
            },
        )
        running = Listener(process)
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return begin


async def to(call: SimCall, stage: Stage) -> None:
    while stage not in call.stages:
        await call.proceed()


async def place(pbx: Simulator, scenario: str) -> SimCall:
    return await pbx.place(scenario, caller=CLIENT, pace="manual")


async def test_a_speaker_that_is_paused_and_one_that_is_killed(
    pbx: Simulator, redis: Redis, listener: Begin
) -> None:
    """One test, because a listener's start takes longer than everything else in it."""
    told = Told(redis)
    async with listener("one") as one:
        await one.says(_PBX_READ)
        await one.says(_SPEAKS)
        async with listener("two") as two:
            await two.says(_STANDS_BY)
            await two.says(_PBX_READ)
            await _paused(pbx, told, one, two)
            await _killed(pbx, told, two, one)
    told.check()


async def _paused(pbx: Simulator, told: Told, speaker: Listener, standby: Listener) -> None:
    """Once another speaks it says nothing more, though it knew of nothing: it stands by."""
    call = await place(pbx, "answered_queue_call")
    await to(call, Stage.RINGING)
    await told.call(call, CallState.RINGING)
    speaker.send(signal.SIGSTOP)
    await to(call, Stage.ANSWERED)  # waits in the socket of the one that is paused
    ended = await place(pbx, "direct_did")
    await to(ended, Stage.ENDED)
    await standby.says(_SPEAKS)
    assert (await told.call(call, CallState.ANSWERED)).call.gap is False
    await told.call(ended, CallState.ENDED)
    speaker.send(signal.SIGCONT)
    await speaker.says(_STANDS_BY)
    await to(call, Stage.ENDED)
    await told.call(call, CallState.ENDED)


async def _killed(pbx: Simulator, told: Told, speaker: Listener, standby: Listener) -> None:
    """The standby goes on in its place; what ended meanwhile ends as it did."""
    ended_before = await place(pbx, "direct_did")
    await to(ended_before, Stage.ENDED)
    goes_on = await place(pbx, "answered_queue_call")
    ends_unheard = await place(pbx, "answered_queue_call")
    await to(goes_on, Stage.RINGING)
    await to(ends_unheard, Stage.RINGING)
    await told.call(ended_before, CallState.ENDED)
    before = await told.call(goes_on, CallState.RINGING)
    await told.call(ends_unheard, CallState.RINGING)

    speaker.send(signal.SIGKILL)
    await speaker.ended()
    await ends_unheard.hang_up()
    unseen = await place(pbx, "direct_did")  # begins and ends while nobody speaks
    await to(unseen, Stage.ENDED)
    assert (await standby.says(_SPEAKS))["ended_meanwhile"] == 2

    assert (await told.call(ends_unheard, CallState.ENDED)).call.end_reason is CallEndReason.ABANDONED
    assert (await told.call(unseen, CallState.ENDED)).call.end_reason == unseen.truth.end_reason
    await to(goes_on, Stage.ENDED)
    after = await told.call(goes_on, CallState.ENDED)
    assert after.version > before.version
    assert (after.call.end_reason, after.call.gap) == (goes_on.truth.end_reason, False)


async def test_a_killed_listener_goes_on_where_it_was(pbx: Simulator, redis: Redis, listener: Begin) -> None:
    told = Told(redis)
    async with listener("one") as first:
        await first.says(_SPEAKS)
        await first.says(_PBX_READ)
        call = await place(pbx, "ivr_then_queue")
        gone = await place(pbx, "direct_did")
        await to(gone, Stage.ANSWERED)
        await to(call, Stage.RINGING)
        before = await told.call(call, CallState.RINGING)
        talked = await told.call(gone, CallState.ANSWERED)
        first.send(signal.SIGKILL)
        await first.ended()
    await to(gone, Stage.ENDED)
    async with listener("one") as again:
        assert (await again.says(_SPEAKS))["open_calls"] >= 1
        lost = await told.call(gone, CallState.ENDED)
        assert (lost.call.end_reason, lost.call.gap) == (CallEndReason.UNKNOWN, True)
        assert lost.call.answered_at == talked.call.answered_at
        await to(call, Stage.ENDED)
        after = await told.call(call, CallState.ENDED)
        assert (after.call.end_reason, after.call.gap) == (call.truth.end_reason, True)
        # What no PBX tells afterwards: the keys, when it began, whom it rang.
        assert after.call.digits == before.call.digits != []
        assert (after.call.started_at, after.call.did) == (before.call.started_at, before.call.did)
        assert after.call.timeline[: len(before.call.timeline)] == before.call.timeline
        assert [leg.ringing_at for leg in after.call.legs] == [leg.ringing_at for leg in before.call.legs]
        told.check()
