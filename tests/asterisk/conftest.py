"""One real Asterisk for all tests here, phones that are on for a test, and the product that follows it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from tests.asterisk import pbx
from tests.asterisk.calls.ami import Ami
from tests.asterisk.calls.world import World
from tests.asterisk.pbx import Asterisk
from tests.e2e.stack import Stack, product

Product = Callable[..., AbstractAsyncContextManager[Stack]]
"""Starts the product on the Asterisk of the tests: `start(account="callcard")`."""


@pytest.fixture(scope="session")
def asterisk(request: pytest.FixtureRequest) -> Iterator[Asterisk]:
    """A running Asterisk 22; its folder stays when a test failed."""
    why_not = pbx.installed()
    if why_not:
        pytest.skip(why_not)
    running = pbx.start()
    yield running
    failed = request.session.testsfailed > 0
    pbx.stop(running, keep=failed)
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    if failed and reporter is not None:
        reporter.write_line(f"\nAsterisk's log: {running.folder / 'log' / 'full.log'}")


@pytest.fixture
async def ami(asterisk: Asterisk) -> AsyncIterator[Ami]:
    """A plain AMI connection that hears everything, beside the product."""
    client = await Ami(port=asterisk.ami_port).connect()
    yield client
    await client.close()


@pytest.fixture
async def world(asterisk: Asterisk, ami: Ami) -> AsyncIterator[World]:
    """The trunk and the four agents' phones, registered; nobody is in a call. `world.ami` is `ami`."""
    people = World(asterisk.sip_port, asterisk.trunk_port)
    people.ami = ami
    await people.start()
    control = await Ami(port=asterisk.ami_port).connect(events="off")
    try:
        assert await people.quiet(control, wrapup=0), "Asterisk is busy with the calls of another test"
        yield people
    finally:
        await control.close()
        await people.stop()


@pytest.fixture
def start(asterisk: Asterisk, database_url: str, redis_url: str, tmp_path: Path) -> Product:
    """Starts the product when the test wants it; `stack` is it, started."""

    def begin(account: str = "callcard") -> AbstractAsyncContextManager[Stack]:
        return product(database_url, redis_url, tmp_path, {"main": asterisk.account(account)})

    return begin


@pytest.fixture
async def stack(start: Product, world: World) -> AsyncIterator[Stack]:
    """The product, following Asterisk; ready."""
    async with AsyncExitStack() as running:
        yield await running.enter_async_context(start())
