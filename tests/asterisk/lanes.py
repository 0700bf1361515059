"""All scenarios, live: several Asterisks at once, each with phones of its own, and one product that follows them all.

A call waits most of its time, so two cores place many of them at once; but the agents of one PBX are four people, so
its scenarios go one after another. A lane is one PBX and its phones; lanes of one flavour share its scenarios.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from ami_listener.replay import final_calls, replay
from card_api.calls.models import calls as record
from shared.contracts.call import Call
from tests.asterisk import truth
from tests.asterisk.calls import further
from tests.asterisk.calls.ami import Ami
from tests.asterisk.calls.world import World
from tests.asterisk.pbx import Asterisk, Flavour
from tests.e2e.stack import Stack

# The longest scenario takes 17 s; one that hangs must not stop the others.
_SCENARIO_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Played:
    """One scenario: what the phones did, and what the product stored of it. failed: it could not be played."""

    lines: list[truth.Line]
    calls: list[Call]
    originated: int
    failed: str | None = None


class Lane:
    """One PBX, its phones, and the product's view of it under the name `pbx`."""

    def __init__(self, pbx: str, asterisk: Asterisk, stack: Stack, engine: AsyncEngine) -> None:
        self.pbx, self._asterisk, self._stack, self._engine = pbx, asterisk, stack, engine
        self._world: Any = World(asterisk.sip_port, asterisk.trunk_port, tech=asterisk.flavour.tech)
        self._known: set[str] = set()

    async def __aenter__(self) -> "Lane":
        await self._world.start()
        self._control = await Ami(port=self._asterisk.ami_port).connect(events="off")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._control.close()
        await self._world.stop()

    async def play(self, scenario: str) -> Played:
        """Never raises for what the scenario does."""
        world = self._world
        phones = [world.trunk, *world.a.values()]
        for phone in phones:
            phone.calls.clear()
            while not phone.incoming.empty():
                phone.incoming.get_nowait()
        world.ami = ami = await Ami(port=self._asterisk.ami_port).connect()
        failed = None
        try:
            try:
                async with asyncio.timeout(_SCENARIO_SECONDS):
                    await further.ALL[scenario](world)
            except Exception:
                failed = traceback.format_exc()
                await self._hang_up()
            if not await world.quiet(self._control, wrapup=self._asterisk.wrapup + 1):
                failed = failed or "Asterisk still had channels 20 s later"
            told = {call.call_id for call in final_calls(replay(bytes(ami.raw), pbx=self.pbx))}
            for call_id in told:
                with suppress(AssertionError):  # a call of the record that has not ended is told below
                    await self._stack.stored(call_id)
            originated = sum(text.startswith("Action: Originate") for _, text in ami.sent)
            return Played(truth.lines(world), await self._stored(), originated, failed)
        finally:
            await ami.close()

    async def _hang_up(self) -> None:
        for phone in (self._world.trunk, *self._world.a.values()):
            for dialog in list(phone.calls.values()):
                with suppress(Exception):
                    async with asyncio.timeout(3):
                        await dialog.hangup()

    async def _stored(self) -> list[Call]:
        """Calls of this PBX that were not there before, in the order they began."""
        query = select(record.c.call_id, record.c.document).where(record.c.pbx == self.pbx)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        new = [Call.model_validate(row.document) for row in rows if row.call_id not in self._known]
        self._known |= {call.call_id for call in new}
        return sorted(new, key=lambda call: (call.started_at, call.call_id))


class Lanes:
    """Plays the scenarios of each flavour on its lanes; `played` waits for one of them."""

    def __init__(self, scenarios: Sequence[tuple[Flavour, str]]) -> None:
        self._waiting: dict[Flavour, deque[str]] = {flavour: deque() for flavour in Flavour}
        self._done: dict[tuple[Flavour, str], asyncio.Future[Played]] = {}
        loop = asyncio.get_running_loop()
        for flavour, name in scenarios:
            self._waiting[flavour].append(name)
            self._done[flavour, name] = loop.create_future()

    async def run(self, flavour: Flavour, lane: Lane) -> None:
        waiting = self._waiting[flavour]
        while waiting:
            name = waiting.popleft()
            done = self._done[flavour, name]
            try:
                done.set_result(await lane.play(name))
            except Exception as problem:
                done.set_exception(problem)

    async def played(self, flavour: Flavour, name: str) -> Played:
        return await self._done[flavour, name]
