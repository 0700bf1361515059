"""The desk on the real gateway, by an unmodified centrifuge-js: an ended token, a killed socket, a restart of the whole
product; and several tabs of one agent."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, WebSocket, expect

from services.samples import SHARED_NUMBER
from services.simulator.config import SimCaller
from services.simulator.simulator import Simulator
from shared.security import issue_token
from tests.browser.parts import bar, card_of, note_field, recent, tab
from tests.browser.product import WITH_DESK, at_desk, followed, talk
from tests.browser.sound import is_silent, listen_to, sounds
from tests.browser.wire import wire
from tests.e2e.stack import SECRET, Stack, product
from tests.push_gateway.helpers import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    # The first one starts a PostgreSQL, a Valkey, a Chromium and the product.
    pytest.mark.timeout(180),
]

CALLER = SimCaller("+79261234567")
# The gateway asks for a new token after nine tenths of its life.
SHORT = timedelta(seconds=20)


class Frames:
    """What goes over the page's WebSockets."""

    def __init__(self, page: Page) -> None:
        self.sent: list[str] = []
        self.heard: list[str] = []
        page.on("websocket", self._watch)

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))
        socket.on("framereceived", lambda frame: self.heard.append(str(frame)))


async def test_the_card_outlives_whatever_happens_to_the_link(
    page: Page, pbx: Simulator, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    frames = Frames(page)
    pbxs = followed(pbx)
    async with wire() as line:
        async with product(database_url, redis_url, tmp_path, pbxs, targets=WITH_DESK) as running:
            line.mend(running.address)
            await page.clock.install()
            await page.add_init_script(f"sessionStorage['callcard.session'] ??= {json.dumps(_session())}")
            await page.goto(line.url)
            await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()

            # The token is about to end.
            async with page.expect_response("**/api/v1/auth/refresh") as refreshed:
                await page.clock.fast_forward(19_000)
            assert (await refreshed.value).status == 200
            first = await pbx.place("direct_did", caller=CALLER, agent="101", pace="manual")
            first_id = await talk(page, first)
            await until(lambda: any('"refresh"' in frame for frame in frames.sent))
            await until(lambda: any('"refresh"' in frame and '"ttl":' in frame for frame in frames.heard))

            # The socket is killed, and what happens meanwhile is not missed.
            await note_field(page).press_sequentially("Обещали")
            line.cut()
            await expect(page.get_by_role("status").filter(has_text="переподключаемся")).to_be_visible()
            before = await running.published("101")
            await first.hang_up()
            while await running.published("101") == before:
                pass
            line.mend(running.address)
            await expect(card_of(page, first_id)).to_contain_text("Разговор окончен")
            assert any('"recovered":true' in frame for frame in frames.heard)
            await expect(note_field(page)).to_have_value("Обещали")
            await card_of(page, first_id).get_by_role("button", name="Выбросить").click()

            second = await pbx.place("direct_did", caller=CALLER, agent="101", pace="manual")
            second_id = await talk(page, second)
        # Everything was restarted, and the call has gone on.
        async with product(
            database_url, redis_url, tmp_path, pbxs, targets=WITH_DESK, samples=False
        ) as again:
            line.mend(again.address)
            await expect(page.get_by_role("banner")).to_contain_text("На связи")
            await expect(card_of(page, second_id)).to_have_attribute("data-state", "answered")
            await expect(bar(page)).to_contain_text("Разговор")
            await second.hang_up()
            await expect(card_of(page, second_id)).to_contain_text("Разговор окончен")
            await expect(recent(page)).to_contain_text(re.compile("Разговор окончен"))


def _session() -> str:
    """As after a reload late in a shift: the token ends soon."""
    now = datetime.now(UTC)
    agent = {"login": "101", "name": "101", "extension": "101", "role": "agent", "language": "ru"}
    token = issue_token(SECRET, "101", "agent", now, SHORT)
    return json.dumps({"token": token, "expiresAt": (now + timedelta(hours=1)).isoformat(), "agent": agent})


async def test_a_network_that_breaks_websockets(page: Page, pbx: Simulator, stack: Stack) -> None:
    await page.add_init_script(_BROKEN)
    await at_desk(page, stack, "101")
    call = await pbx.place("direct_did", caller=CALLER, agent="101", pace="manual")
    await talk(page, call)  # cards come, and the receipts go the other way
    await call.hang_up()


# Every WebSocket ends before it is open.
_BROKEN = """
window.WebSocket = class {
  constructor() {
    setTimeout(() => {
      this.onerror?.(new Event('error'));
      this.onclose?.({ code: 1006, reason: '' });
    });
  }
  close() {}
};
"""


async def test_several_tabs_of_one_agent(context: BrowserContext, pbx: Simulator, stack: Stack) -> None:
    async with tab(context) as one, tab(context) as other:
        for page in (one, other):
            await listen_to(page)
            await at_desk(page, stack, "101")
        call = await pbx.place("direct_did", caller=SimCaller(SHARED_NUMBER), agent="101", pace="manual")
        call_id = f"main-{call.uniqueid}"
        for page in (one, other):
            await expect(card_of(page, call_id)).to_have_attribute("data-state", "ringing")
        await sounds(one)
        await is_silent(other)
        await talk(other, call)
        await is_silent(one)
        name = "Гайнутдинова Лилия Фаридовна"
        await other.get_by_role("button", name=name).click()
        for page in (one, other):
            await expect(page.get_by_role("article", name=name)).to_be_visible()
        await expect(card_of(one, call_id)).to_contain_text(f"Выбрано в другой вкладке: {name}")
        await call.hang_up()
        await expect(card_of(one, call_id)).to_contain_text("Разговор окончен")
        await other.get_by_role("button", name="Выйти").click()
        await expect(one.get_by_text("Вы вышли в другой вкладке")).to_be_visible()
        for page in (one, other):
            await expect(page.get_by_label("Логин")).to_be_visible()
