"""Signing in and out, and what ends a sign-in from outside."""

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.cards import AGENT, card
from tests.browser.parts import NAME, bar, note_field, open_desk, sign_in, tab
from tests.browser.standin import PASSWORD, TOKEN, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_keyboard_only(page: Page, server: StandIn) -> None:
    await page.goto(server.url)
    await expect(page.get_by_label("Логин")).to_be_focused()
    await page.keyboard.type(AGENT["login"])
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()
    await expect(page.get_by_role("banner")).to_contain_text("Ольга Смирнова")
    await expect(page.get_by_role("banner")).to_contain_text("доб. 101")
    await expect(page.get_by_role("banner")).to_contain_text("На связи")
    assert server.sign_ins == [{"login": "agent101", "password": PASSWORD}]
    assert (await server.connects.get())["token"] == TOKEN


async def test_wrong_password_says_what_to_do(page: Page, server: StandIn) -> None:
    await sign_in(page, server, "guess")
    await expect(page.get_by_role("alert")).to_contain_text("Неверный логин или пароль")
    await expect(page.get_by_label("Пароль")).to_be_focused()


async def test_no_token_in_any_address(page: Page, server: StandIn) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda socket: addresses.append(socket.url))
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()
    assert any("/connection/websocket" in address for address in addresses)
    assert not [address for address in addresses if TOKEN in address or PASSWORD in address]


async def test_sign_out_forgets(page: Page, server: StandIn) -> None:
    desk = page
    await sign_in(desk, server)
    await server.publish(card())
    await expect(desk.get_by_role("heading", name=NAME)).to_be_visible()
    await desk.get_by_role("button", name="Выйти").click()
    await expect(desk.get_by_label("Логин")).to_be_visible()
    await expect(desk.get_by_text(NAME)).to_have_count(0)
    await desk.reload()
    await expect(desk.get_by_label("Логин")).to_be_visible()


async def test_a_token_that_ended_leads_back_to_signing_in(desk: Page, server: StandIn) -> None:
    server.tokens_valid = False
    await server.close(3005, "connection expired")
    await expect(desk.get_by_text("Вход закончился")).to_be_visible()
    server.tokens_valid = True
    await desk.get_by_label("Логин").fill(AGENT["login"])
    await desk.get_by_label("Пароль").fill(PASSWORD)
    await desk.keyboard.press("Enter")
    await expect(desk.get_by_role("heading", name="Ждём звонков")).to_be_visible()


async def test_signing_out_ends_it_everywhere(page: Page, server: StandIn, context: BrowserContext) -> None:
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()
    async with tab(context) as other:
        await open_desk(other, server)
        await page.get_by_role("button", name="Выйти").click()
        assert await server.sign_outs.get() == TOKEN
        await expect(other.get_by_text("Вы вышли в другой вкладке")).to_be_visible()
        await expect(other.get_by_label("Логин")).to_be_focused()
    await expect(page.get_by_label("Логин")).to_be_visible()
    await expect(page.get_by_text("Вы вышли")).to_have_count(0)


async def test_switched_off(desk: Page, server: StandIn) -> None:
    await server.close(4501, "switched off")
    await expect(desk.get_by_text("Вам закрыли доступ")).to_be_visible()


async def test_other_rights_need_a_new_token_and_nobody_notices(desk: Page, server: StandIn) -> None:
    await server.publish(card(rev=10, state="answered"))
    await note_field(desk).press_sequentially("Недо")
    server.token = "with other rights"
    await server.close(4000, "rights changed")
    while (await server.connects.get())["token"] != server.token:
        pass
    await server.publish(card(rev=11, state="held"))
    await expect(bar(desk)).to_contain_text("На удержании")
    await expect(note_field(desk)).to_be_focused()
    await desk.keyboard.type("писал")
    await expect(note_field(desk)).to_have_value("Недописал")


async def test_a_token_is_renewed_before_it_ends(page: Page, server: StandIn) -> None:
    server.ttl = 1
    await open_desk(page, server)
    server.token = "fresh"
    assert await server.refreshes.get() == "fresh"
    assert await server.refreshes.get() == "fresh"
    await expect(page.get_by_role("banner")).to_contain_text("На связи")
    assert server.connects.qsize() == 1
