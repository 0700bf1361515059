"""The ring of the desk: of an agent's tabs one that may sound does, and no other."""

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.cards import card, closed
from tests.browser.parts import bar, card_of, open_desk, sign_in, tab
from tests.browser.sound import is_silent, listen_to, sounds
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_it_rings_until_the_call_is_answered_or_over(page: Page, server: StandIn) -> None:
    await listen_to(page)
    await sign_in(page, server)
    await server.publish(card(rev=10))
    await sounds(page)
    await server.publish(card(rev=11, state="answered"))
    await is_silent(page)
    # Who talks hears a second call in the phone.
    await server.publish(card("main-2", rev=10))
    await expect(card_of(page, "main-2")).to_be_visible()
    await is_silent(page)
    await server.publish(closed(rev=12, reason="ended"))
    await sounds(page)
    await server.publish(closed("main-2", rev=11, reason="caller_gave_up"))
    await is_silent(page)


async def test_the_switch_is_kept_for_the_browser(
    page: Page, server: StandIn, context: BrowserContext
) -> None:
    await listen_to(page)
    await sign_in(page, server)
    await server.publish(card(rev=10))
    await sounds(page)
    await page.get_by_role("button", name="Звук, когда звонят").click()
    await is_silent(page)
    async with tab(context) as other:
        await open_desk(other, server, "Звонит")
        switch = other.get_by_role("button", name="Звук, когда звонят")
        await expect(switch).to_have_attribute("aria-pressed", "false")
        await expect(other.get_by_role("status").filter(has_text="молчит")).to_have_count(0)
        await switch.click()
        switch = page.get_by_role("button", name="Звук, когда звонят")
        await expect(switch).to_have_attribute("aria-pressed", "true")
    await sounds(page)  # the other one is closed
    await page.reload()
    await expect(page.get_by_role("button", name="Звук, когда звонят")).to_have_attribute(
        "aria-pressed", "true"
    )


async def test_a_tab_that_may_not_sound_says_so_until_the_first_click(page: Page, server: StandIn) -> None:
    await listen_to(page)
    await open_desk(page, server)
    silent = page.get_by_role("status").filter(has_text="Эта вкладка молчит")
    await expect(silent).to_be_visible()
    await server.publish(card())
    await expect(card_of(page)).to_be_visible()
    await is_silent(page)
    await page.get_by_role("button", name="Разрешить звук").focus()
    await page.keyboard.press("Enter")
    await sounds(page)
    await expect(silent).to_have_count(0)
    await expect(page.get_by_role("main")).to_be_focused()


async def test_the_first_click_hits_what_it_was_meant_for(page: Page, server: StandIn) -> None:
    """The banner that waits for it goes away, and nothing moves before the button is released."""
    await listen_to(page)
    await server.publish(card(rev=10, state="answered"))
    await open_desk(page, server, "Разговор")
    await expect(page.get_by_role("status").filter(has_text="Эта вкладка молчит")).to_be_visible()
    other = page.get_by_role("button", name="Говорит кто-то другой?")
    await other.hover()
    await page.mouse.down()
    await page.evaluate("new Promise((painted) => requestAnimationFrame(() => setTimeout(painted, 100)))")
    await page.mouse.up()
    await expect(page.get_by_role("textbox", name="Как к вам обращаться?")).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text="Эта вкладка молчит")).to_have_count(0)


async def test_one_of_several_tabs_sounds_and_the_next_takes_over(
    page: Page, server: StandIn, context: BrowserContext
) -> None:
    async with tab(context) as untouched, tab(context) as leader:
        for one in (untouched, leader, page):
            await listen_to(one)
        await open_desk(untouched, server)  # the first, but the browser does not let it sound
        await sign_in(leader, server)
        await expect(leader.get_by_role("heading", name="Ждём звонков")).to_be_visible()
        await sign_in(page, server)
        await server.publish(card(rev=10))
        for one in (untouched, leader, page):
            await expect(card_of(one)).to_be_visible()
        await sounds(leader)
        for one in (untouched, page):
            await is_silent(one)
        await leader.close()
        await sounds(page)
        await is_silent(untouched)
        await server.publish(card(rev=11, state="answered"))
        await is_silent(page)
        await expect(bar(untouched)).to_be_visible()
