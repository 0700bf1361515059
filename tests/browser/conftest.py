"""A real Chromium for the page, one a test process, and the page built."""

import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from services.desk.build import BuildError, build
from tests.browser.parts import open_desk, tab
from tests.browser.product import agent, pbx, stack
from tests.browser.standin import StandIn, running

__all__ = ["agent", "pbx", "stack"]  # fixtures of the real product

# The system's package; playwright's own download is not used.
CHROMIUM = [Path("/usr/bin/chromium"), Path("/usr/bin/chromium-browser"), Path("/usr/bin/google-chrome")]
# An event that does not come within this long will not come.
PATIENCE_MS = 10_000


def skip_loudly(reason: str) -> None:
    warnings.warn(f"BROWSER TESTS DID NOT RUN: {reason}", stacklevel=2)
    pytest.skip(f"BROWSER TESTS DID NOT RUN: {reason}")


@pytest.fixture(scope="session")
def chromium() -> Path:
    for path in CHROMIUM:
        if path.is_file():
            return path
    skip_loudly("there is no Chromium. Install it (apt-get install chromium) or use make test-browser.")
    raise AssertionError


@pytest.fixture(scope="session")
def page_is_built() -> None:
    try:
        build()
    except BuildError as error:
        skip_loudly(str(error))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Path, page_is_built: None) -> AsyncIterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(chromium),
            # No sandbox: in a container the tests run as root. No /dev/shm: it is small there.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--renderer-process-limit=1"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def server(page_is_built: None) -> AsyncIterator[StandIn]:
    async with running(StandIn()) as stand_in:
        yield stand_in


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """One for all tests, a process of Chromium's own for each would be most of their time; see `page`."""
    context = await browser.new_context(
        locale="ru-RU",
        timezone_id="Europe/Moscow",
        viewport={"width": 1280, "height": 800},
        reduced_motion="reduce",  # nothing that moves has to be painted
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, server: StandIn) -> AsyncIterator[Page]:
    """A tab that remembers nothing: a session is kept a tab, a language a server, and each test has its own of both."""
    async with tab(context) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def desk(page: Page, server: StandIn) -> Page:
    """A desk that waits for calls."""
    await open_desk(page, server)
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def timed_desk(page: Page, server: StandIn) -> Page:
    """The same with a clock that the test can put forward."""
    await page.clock.install()
    await open_desk(page, server)
    return page
