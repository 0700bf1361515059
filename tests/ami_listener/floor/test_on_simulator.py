"""Hundreds of calls: what the events tell and what the PBX says in the end are the same."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from ami_listener.connection import AmiAccount, AmiConnection
from ami_listener.floor.events import FLOOR_WANTED
from ami_listener.floor.snapshot import FloorSnapshot
from services.simulator.config import DEFAULT_MIX, SimulatorConfig
from services.simulator.simulator import Simulator
from shared.contracts.call import PbxLink
from shared.contracts.floor import FloorMessage
from tests.ami_listener.floor.floors import Reader, new_floor

# Averages are compared with a real PBX's, in test_floor.py; moments a list does not say.
_NOT_COMPARED = re.compile(r", on average .*| since \S+")
# A resync may miss what is counted while it goes on, which at this speed is many calls.
_COUNTED = re.compile(r"\d+ completed, \d+ abandoned")


def comparable(messages: list[FloorMessage], *, counters: bool) -> list[str]:
    text = _NOT_COMPARED.sub("", Reader().read(messages).text())
    return (text if counters else _COUNTED.sub("", text)).splitlines()


async def lists(connection: AmiConnection) -> FloorSnapshot:
    queues = await connection.action_list("QueueStatus")
    return FloorSnapshot(tuple(queues), tuple(await connection.action_list("DeviceStateList")))


@pytest.mark.parametrize("resyncs", [False, True], ids=["events only", "and resyncs in the middle"])
async def test_events_lead_to_what_the_pbx_says(resyncs: bool) -> None:
    now = datetime.now(UTC)
    floor, fresh, up = new_floor(), new_floor(), asyncio.Event()

    def on_link(link: PbxLink, _: str | None) -> None:
        if link is PbxLink.UP:
            up.set()

    everything_alike = dict.fromkeys(DEFAULT_MIX, 1.0)
    config = SimulatorConfig(time_scale=1000.0, calls_per_second=0.3, mix=everything_alike, epoch=1795300000)
    async with Simulator(config) as pbx:
        connection = AmiConnection(
            "pbx",
            AmiAccount(*pbx.address, "callcard", "callcard-test"),
            on_event=floor.handle,
            on_link=on_link,
            wanted=FLOOR_WANTED,
        )
        connection.start()
        try:
            await up.wait()
            floor.begin_resync()
            floor.settle(await lists(connection), now)
            told = Reader().read(floor.take(now))
            pbx.run_traffic(200)
            while resyncs and (not pbx.truth or pbx.open):
                floor.begin_resync()
                floor.settle(await lists(connection), now)
                told.read(floor.take(now))
            await pbx.quiet()
            fresh.settle(await lists(connection), now)
        finally:
            connection.close()
            await connection.wait_closed()
    assert len(pbx.truth) == 200
    assert floor.last_problem is None
    told.read(floor.take(now))
    floor.resend()
    ours, theirs = floor.take(now), fresh.take(now)
    assert comparable(ours, counters=not resyncs) == comparable(theirs, counters=not resyncs)
    assert told.text() == Reader().read(ours).text(), (
        "who read it all along knows what one who comes late is told"
    )
