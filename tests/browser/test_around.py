"""What is around the cards: the list of calls before, and whether the PBX is seen."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.cards import ago, closed
from tests.browser.parts import NAME, open_desk, recent, sign_in
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_the_calls_of_before_outlive_a_reload_and_no_sign_out(page: Page, server: StandIn) -> None:
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()
    await server.publish(closed(rev=10, reason="caller_gave_up"))
    await expect(recent(page)).to_contain_text(re.compile(f"{NAME}.*Клиент не дождался", re.S))
    await page.reload()
    await expect(recent(page)).to_contain_text(re.compile(f"{NAME}.*Клиент не дождался", re.S))
    await page.get_by_role("button", name="Выйти").click()
    await sign_in(page, server)
    await expect(recent(page)).to_contain_text("Звонков пока не было")


async def test_a_new_tab_has_them_from_the_record(page: Page, server: StandIn) -> None:
    call = {"call_id": "main-9", "customer_number": "+79031234567", "talk_seconds": 254}
    server.past_calls = [
        {**call, "call_id": "main-10", "ended_at": None},
        {**call, "ended_at": ago(hours=1)},
        {**call, "call_id": "main-8", "ended_at": ago(hours=25)},
    ]
    await open_desk(page, server)
    latest, older = (recent(page).get_by_role("listitem").nth(n) for n in range(2))
    await expect(latest).to_contain_text(re.compile(r"\+79031234567.*Разговор окончен, 4 мин", re.S))
    # Of another day: a time alone would be taken for one of today.
    await expect(older.get_by_role("time")).not_to_have_text(re.compile(r"^\s*\d\d:\d\d\s*$"))
    await expect(recent(page).get_by_role("listitem")).to_have_count(2)


async def test_a_pbx_that_is_not_seen(timed_desk: Page, server: StandIn) -> None:
    desk = timed_desk
    unseen = desk.get_by_role("status").filter(has_text="Не видно АТС: main")
    server.pbx = [{"pbx": "main", "link": "lost"}]
    await desk.clock.fast_forward(16_000)
    await expect(unseen).to_be_visible()
    server.pbx = [{"pbx": "main", "link": "up"}]
    await desk.clock.fast_forward(16_000)
    await expect(unseen).to_have_count(0)
