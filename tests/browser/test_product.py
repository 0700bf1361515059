"""The desk on the real product and a simulated PBX: what an agent says from the card is what the company knows then."""

import re

import pytest
from playwright.async_api import BrowserContext, Page, expect

from services.samples import SHARED_NUMBER
from services.simulator.config import SimCaller
from services.simulator.simulator import Simulator
from tests.browser.parts import bar, card_of, note_field, tab
from tests.browser.product import at_desk, talk
from tests.e2e.stack import Stack

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    # The first one starts a PostgreSQL, a Valkey, a Chromium and the product.
    pytest.mark.timeout(180),
]

STRANGER = SimCaller("+79261234567")
KNOWN_CONTRACT, KNOWN_NAME = "Д-100201", "Иванов Пётр Сергеевич"


async def test_one_of_several_is_picked(agent: Page, pbx: Simulator, stack: Stack) -> None:
    call = await pbx.place("direct_did", caller=SimCaller(SHARED_NUMBER), agent="101", pace="manual")
    call_id = await talk(agent, call)
    await expect(card_of(agent, call_id)).to_contain_text("Возможные клиенты: 2")
    await agent.get_by_role("button", name="Гайнутдинова Лилия Фаридовна").click()
    await expect(agent.get_by_role("article", name="Гайнутдинова Лилия Фаридовна")).to_be_visible()
    await expect(bar(agent)).to_contain_text("Гайнутдинова Лилия Фаридовна")
    await agent.reload()
    await expect(bar(agent)).to_contain_text("Гайнутдинова Лилия Фаридовна")
    await agent.get_by_role("button", name="Не тот клиент").click()
    await expect(card_of(agent, call_id)).to_contain_text("Возможные клиенты: 2")
    await agent.keyboard.press("1")
    await expect(bar(agent)).to_contain_text(re.compile("Гайнутдинов"))
    await call.hang_up()


async def test_a_stranger_becomes_a_customer(agent: Page, pbx: Simulator, stack: Stack) -> None:
    call = await pbx.place("direct_did", caller=STRANGER, agent="101", pace="manual")
    call_id = await talk(agent, call)
    await agent.get_by_label("Имя", exact=True).fill("Лютикова Вера Павловна")
    await agent.get_by_label("Номер договора, если есть").fill("Л-1")
    await agent.get_by_role("button", name="Завести клиента").click()
    await expect(agent.get_by_role("article", name="Лютикова Вера Павловна")).to_contain_text("Л-1")
    await call.hang_up()
    await expect(card_of(agent, call_id)).to_have_attribute("data-state", "closed")
    again = await pbx.place("direct_did", caller=STRANGER, agent="101", pace="manual")
    ringing = card_of(agent, f"main-{again.uniqueid}")
    await expect(ringing).to_contain_text("Лютикова Вера Павловна")
    await again.hang_up()


async def test_a_note_survives_a_push_and_goes_with_the_caller(
    agent: Page, context: BrowserContext, pbx: Simulator, stack: Stack
) -> None:
    async with tab(context) as colleague:
        await at_desk(colleague, stack, "102")
        call = await pbx.place(
            "blind_transfer_refer", caller=STRANGER, agent="101", other="102", pace="manual"
        )
        call_id = await talk(agent, call)
        await note_field(agent).press_sequentially("Просит счёт")
        # The same agent in another tab: what is said there comes here as a push.
        token = await stack.token("101")
        said = await stack.http.post(
            f"/api/v1/cards/{call_id}/person",
            json={"name": "Вера"},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert said.status_code == 200, said.text
        await expect(bar(agent)).to_contain_text("Вера")
        await expect(note_field(agent)).to_be_focused()
        await agent.keyboard.type(" на бумаге")
        await note_field(agent).press("Control+Enter")
        await expect(card_of(agent, call_id).locator("ul.notes")).to_contain_text("Просит счёт на бумаге")
        await call.proceed()
        await expect(card_of(colleague, call_id)).to_have_attribute("data-state", "ringing")
        await expect(card_of(colleague, call_id)).to_contain_text("Просит счёт на бумаге")
        await expect(card_of(colleague, call_id)).to_contain_text("Вера")
        await call.proceed()
        await expect(card_of(colleague, call_id)).to_have_attribute("data-state", "answered")
        await expect(card_of(colleague, call_id).locator("ul.notes")).to_contain_text("Просит счёт на бумаге")
        await call.hang_up()


async def test_a_contract_number_identifies_in_english(agent: Page, pbx: Simulator, stack: Stack) -> None:
    await agent.get_by_role("button", name="English").click()
    call = await pbx.place("direct_did", caller=STRANGER, agent="101", pace="manual")
    article = card_of(agent, await talk(agent, call))
    field = article.get_by_label("Contract number", exact=True)
    await field.fill("Д-000000")
    await field.press("Enter")
    await expect(article).to_contain_text("Nobody has the contract Д-000000.")
    await field.fill(KNOWN_CONTRACT)
    await field.press("Enter")
    await expect(agent.get_by_role("article", name=KNOWN_NAME)).to_contain_text("named in this call")
    await article.get_by_role("button", name=re.compile("Keep .* with this customer")).click()
    await expect(article).to_contain_text("The number is kept")
    await call.hang_up()
    again = await pbx.place("direct_did", caller=STRANGER, agent="101", pace="manual")
    await expect(card_of(agent, f"main-{again.uniqueid}")).to_contain_text(KNOWN_NAME)
    await again.hang_up()
