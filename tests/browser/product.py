"""The real product with a simulated PBX, and an agent at its desk: fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect
from pydantic import SecretStr

from services.runtime import Target
from services.simulator.config import FULL_ACCOUNT, SimulatorConfig
from services.simulator.simulator import SimCall, Simulator
from shared.settings import PbxSettings
from tests.browser.parts import card_of, fill_in, tab
from tests.e2e.stack import PASSWORD, PIECES, Stack, product

WITH_DESK = (*PIECES, Target.DESK)


@pytest_asyncio.fixture(loop_scope="session")
async def pbx() -> AsyncIterator[Simulator]:
    """A quiet simulated PBX: calls are placed by the test, at the test's pace."""
    async with Simulator(SimulatorConfig()) as simulator:
        yield simulator


def followed(pbx: Simulator) -> dict[str, PbxSettings]:
    """The settings that make the product follow it."""
    host, port = pbx.address
    account = {"username": FULL_ACCOUNT.username, "secret": SecretStr(FULL_ACCOUNT.secret)}
    return {"main": PbxSettings(host=host, port=port, **account)}


@pytest_asyncio.fixture(loop_scope="session")
async def stack(
    pbx: Simulator, page_is_built: None, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Stack]:
    async with product(database_url, redis_url, tmp_path, followed(pbx), targets=WITH_DESK) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def agent(context: BrowserContext, stack: Stack) -> AsyncIterator[Page]:
    """The desk of agent 101."""
    async with tab(context) as page:
        await at_desk(page, stack, "101")
        yield page


async def at_desk(page: Page, stack: Stack, login: str) -> None:
    await fill_in(page, stack.address, login, PASSWORD)
    await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()


async def talk(agent: Page, call: SimCall) -> str:
    """The card rings, then the agent answers; its call_id."""
    call_id = f"main-{call.uniqueid}"
    await expect(card_of(agent, call_id)).to_have_attribute("data-state", "ringing")
    await call.proceed()
    await expect(card_of(agent, call_id)).to_have_attribute("data-state", "answered")
    return call_id
