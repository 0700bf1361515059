"""Several tabs of one agent: the first that acts wins, and the others know at once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.cards import AGENT, card, several, unknown
from tests.browser.parts import NAME, card_of, note_field, open_desk, tab
from tests.browser.standin import Problem, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CHOSEN = f"Выбрано в другой вкладке: {NAME}"


@pytest_asyncio.fixture(loop_scope="session")
async def other(desk: Page, server: StandIn, context: BrowserContext) -> AsyncIterator[Page]:
    """Another tab of the agent, behind the first one."""
    async with tab(context) as page:
        # Here every tab believes that it is the one in front.
        await page.add_init_script("document.hasFocus = () => false")
        await open_desk(page, server)
        yield page


def named(call_id: str, rev: int) -> dict[str, object]:
    caller = card()["caller"] | {"matched_by": "agent"}
    return card(call_id, rev=rev, state="answered", caller=caller)


async def test_each_has_a_sign_in_of_its_own(desk: Page, server: StandIn, context: BrowserContext) -> None:
    async with tab(context) as stranger:
        await stranger.goto(server.url)
        await expect(stranger.get_by_label("Логин")).to_be_visible()


async def test_a_question_that_is_answered_closes_in_the_others(
    desk: Page, other: Page, server: StandIn
) -> None:
    await server.publish(several(rev=10, state="answered"))
    candidate = other.get_by_role("button", name="Ромашка")
    await candidate.focus()
    await desk.get_by_role("button", name="Пётр Ильин").click()
    await server.acts.get()
    await server.publish(named("main-2", 11))
    await server.answers.put(named("main-2", 11))
    section = card_of(other, "main-2").get_by_role("region", name="Кто звонит?")
    await expect(section.get_by_role("status").first).to_have_text(CHOSEN)
    await expect(candidate).to_be_hidden()
    await expect(card_of(other, "main-2").get_by_role("heading", name=NAME)).to_be_focused()
    await expect(card_of(desk, "main-2")).to_contain_text(f"Клиент: {NAME}")
    await expect(card_of(desk, "main-2")).not_to_contain_text("в другой вкладке")


async def test_what_is_typed_in_the_others_stays(desk: Page, other: Page, server: StandIn) -> None:
    await server.publish(unknown(rev=10, state="answered"))
    account, name = other.locator("[name=account]"), other.locator("[name=customer-name]")
    await name.press_sequentially("Лютик")
    await account.press_sequentially("40-11")
    await note_field(other).press_sequentially("Просит счёт")
    await desk.locator("[name=account]").fill("40-118-7")
    await desk.keyboard.press("Enter")
    await server.acts.get()
    await server.publish(named("main-3", 11))
    await server.answers.put(named("main-3", 11))
    await expect(card_of(other, "main-3")).to_contain_text(CHOSEN)
    for field, text in ((account, "40-11"), (name, "Лютик"), (note_field(other), "Просит счёт")):
        await expect(field).to_have_value(text)
        await expect(field).to_be_visible()
    await expect(note_field(other)).to_be_focused()


async def test_who_comes_second_is_told_who_was_first(desk: Page, server: StandIn) -> None:
    await server.publish(several(rev=10, state="answered"))
    said = desk.locator("identify-caller > section > [role=status]")
    for by, sentence in (
        (AGENT["login"], "Не записано: в другой вкладке уже выбрано: Пётр Ильин"),
        ("102", "Не записано: коллега уже выбрал: Пётр Ильин"),
    ):
        await desk.get_by_role("button", name="Ромашка").click()
        await server.acts.get()
        first = {"name": "Пётр Ильин", "by": by, "if_match": '"7"'}
        await server.answers.put(Problem(409, {"identity": first}))
        await expect(said).to_contain_text(sentence)
    # The push takes the form away, not the sentence; what is said next does.
    await server.publish(named("main-2", 11))
    await expect(card_of(desk, "main-2").get_by_role("heading", name=NAME)).to_be_visible()
    await expect(said).to_contain_text("коллега уже выбрал: Пётр Ильин")
    await desk.get_by_role("button", name="Не тот клиент").click()
    await server.acts.get()
    await server.answers.put(several(rev=12, state="answered"))
    await expect(said).to_have_text("Отменено")


async def test_a_card_is_opened_once(desk: Page, other: Page, server: StandIn) -> None:
    await server.publish(card(rev=10))
    await expect(card_of(other)).to_be_visible()
    for _ in range(2):  # both tabs have shown it
        assert (await server.receipts.get())["method"] == "card.shown"
    await card_of(desk).click()
    opened = await server.receipts.get()
    assert (opened["method"], opened["data"]["call_id"], opened["data"]["rev"]) == (
        "card.opened",
        "main-1",
        10,
    )
    await expect(card_of(other)).to_contain_text("открыта в другой вкладке")
    await expect(card_of(desk)).not_to_contain_text("открыта в другой вкладке")
    await server.publish(card(rev=11, state="answered"))
    await note_field(other).click()  # the agent goes on here
    await expect(card_of(other)).not_to_contain_text("открыта в другой вкладке")
    assert server.receipts.empty()
