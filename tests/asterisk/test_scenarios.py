"""Every scenario, through the whole product: the calls that are stored are those that the softphones made.

Twice over: against what each phone knows of its own dialogs (`truth`), and against the golden file of the scenario's
recording, which people have read.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from shared.bus import connect_redis
from shared.db import create_engine
from tests.ami_listener.tracker.recordings import text
from tests.ami_listener.tracker.test_golden import GOLDEN
from tests.asterisk import pbx, truth
from tests.asterisk.calls import further
from tests.asterisk.lanes import Lane, Lanes
from tests.asterisk.pbx import Asterisk, Flavour
from tests.e2e.stack import product

# A test waits for its scenario's turn; the first one, for nine Asterisks and the product.
pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

# Calls wait most of their time: these take two slow cores a third of theirs.
_LANES = {Flavour.V22: 3, Flavour.V16: 3, Flavour.V16_CHAN_SIP: 3}
# As when the recordings were made: an agent who has just passed a caller on is not free for him. Seconds.
_WRAPUP = 1
# The restart has tests of its own: the calls that it cuts off end otherwise than in a recording.
_NAMES = [name for name in further.ALL if name != "asterisk_restart"]
# Asks for what only chan_pjsip has.
_PJSIP_ONLY = {"live_state_snapshot"}
SCENARIOS = [
    pytest.param(flavour, name, id=f"{name}-{flavour}")
    for name in _NAMES
    for flavour in Flavour
    if not (flavour is Flavour.V16_CHAN_SIP and name in _PJSIP_ONLY)
]


@pytest.fixture(scope="module")
def asterisks(request: pytest.FixtureRequest) -> Iterator[dict[str, Asterisk]]:
    """Running instances, by the name that the product knows them by."""
    wanted = [f for f in _LANES if pbx.installed(f) is None]
    running = {f"{f}-{n}": pbx.start(f, _WRAPUP) for f in wanted for n in range(_LANES[f])}
    failed_before = request.session.testsfailed
    yield running
    keep = request.session.testsfailed > failed_before
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    for name, asterisk in running.items():
        if keep and reporter is not None:
            reporter.write_line(f"\nAsterisk's log of {name}: {asterisk.folder / 'log' / 'full.log'}")
    with ThreadPoolExecutor(len(running) or 1) as together:
        list(together.map(lambda asterisk: pbx.stop(asterisk, keep=keep), running.values()))


@pytest.fixture(scope="module")
def lanes_database(postgres: EmbeddedPostgres, _migrated: str) -> str:
    async def make() -> None:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(f'create database "scenarios" template "{_migrated}"')
        await connection.close()

    asyncio.run(make())
    return postgres.url.rsplit("/", 1)[0] + "/scenarios"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lanes(
    request: pytest.FixtureRequest,
    asterisks: dict[str, Asterisk],
    lanes_database: str,
    valkey: EmbeddedValkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Lanes]:
    """The scenarios of this run, being played."""
    redis = connect_redis(valkey.url)
    await redis.flushall()
    await redis.aclose()
    here = {asterisk.flavour for asterisk in asterisks.values()}
    wanted: list[tuple[Any, Any]] = [
        (item.callspec.params["flavour"], item.callspec.params["scenario"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    lanes = Lanes([(flavour, name) for flavour, name in wanted if flavour in here])
    async with AsyncExitStack() as running:
        engine = create_engine(lanes_database)
        running.push_async_callback(engine.dispose)
        follow = {name: asterisk.account() for name, asterisk in asterisks.items()}
        stack = await running.enter_async_context(
            product(lanes_database, valkey.url, tmp_path_factory.mktemp("lanes"), follow)
        )
        playing = []
        for name, asterisk in asterisks.items():
            lane = await running.enter_async_context(Lane(name, asterisk, stack, engine))
            playing.append(asyncio.create_task(lanes.run(asterisk.flavour, lane), name=name))
        yield lanes
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


# Scenarios are played in the order of the tests, several at once: a test waits for its own only.
@pytest.mark.parametrize(("flavour", "scenario"), SCENARIOS)
async def test_stored_calls_are_what_happened(flavour: Flavour, scenario: str, lanes: Lanes) -> None:
    why_not = pbx.installed(flavour)
    if why_not:
        pytest.skip(why_not)

    played = await lanes.played(flavour, scenario)

    assert played.failed is None, played.failed
    assert truth.deviations(played.lines, played.calls, played.originated) == []
    assert _comparable(text(played.calls)) == _comparable(_golden(flavour, scenario).read_text())


def _golden(flavour: Flavour, scenario: str) -> Path:
    """A flavour has a recording of its own where it tells something otherwise."""
    own = GOLDEN / flavour / f"{scenario}.txt"
    return own if own.exists() else GOLDEN / f"{scenario}.txt"


def _comparable(calls: str) -> list[list[str]]:
    """Without what differs from one run to the next (identities, seconds, causes of hanging up, the order of what
    happens at once, what channels are called), and without the way there, which is not stored. One list
    of lines a call."""
    found: list[list[str]] = []
    for line in calls.replace(" SIP/", " PJSIP/").splitlines():
        if not line or line.startswith("  went "):
            continue
        line = re.sub(r" ?\(cause \w+\)", "", re.sub(r"\b\d+\.\d\b", "#", line))
        if line.startswith(" "):
            found[-1].append(line.strip())
        else:
            found.append([line.partition(": ")[2]])
    return sorted([call[0], *sorted(call[1:])] for call in found)
