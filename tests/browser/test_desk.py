"""The desk in a real browser: what an agent sees, for each thing that can happen to a call and to the link."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from tests.browser.cards import ago, card, closed, several, unknown, withheld
from tests.browser.parts import CONTRAST, NAME, bar, card_of, recent, sign_in
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


class TestRinging:
    async def test_a_known_customer_at_a_glance(self, desk: Page, server: StandIn) -> None:
        await server.publish(card())
        article = desk.get_by_role("article", name=NAME)
        await expect(article.get_by_role("heading", name=NAME)).to_be_visible()
        for text in [
            "Звонит",
            "+7 903 123-45-67",
            "VIP",
            "Нет интернета после грозы",
            "Роутер AX3000",
            "Анна Сергеевна, здравствуйте!",
            "support",
            "+74951230000",
            "Игорь Волков",
        ]:
            await expect(article).to_contain_text(text)
        for later in ["40-118-7", "разговор 4 мин", "Уточните, удалось ли подключить"]:
            await expect(article).not_to_contain_text(later)
        await expect(desk).to_have_title(re.compile(f"Звонит: {NAME}"))
        await expect(desk.locator("[aria-live=assertive]")).to_contain_text(f"Входящий звонок. {NAME}. VIP")
        assert (
            await article.locator(".badge-category").evaluate("e => e.style.getPropertyValue('--badge')")
            == "#b8860b"
        )

    async def test_several_customers_are_ranked_with_reasons(self, desk: Page, server: StandIn) -> None:
        await server.publish(several())
        article = desk.get_by_role("article", name="+7 903 555-11-22")
        await expect(article).to_contain_text("Возможные клиенты: 2")
        await expect(article).to_contain_text("Как я могу к вам обращаться?")
        people = article.get_by_role("list").get_by_role("listitem")
        await expect(people).to_have_text(
            [
                re.compile("Пётр Ильин.*звонил с этого номера вчера", re.S),
                re.compile("Ромашка.*договора 77-2", re.S),
            ]
        )
        # Nobody has said anything yet: there is nothing to pick from by mistake.
        await expect(article.get_by_role("button")).to_have_count(0)

    async def test_warnings_are_words(self, desk: Page, server: StandIn) -> None:
        by = {"by": "Ольга Смирнова", "at": ago(days=3)}
        warned = {
            "name": NAME,
            "do_not_call": {"reason": "asked", "comment": "только почта", **by},
            "black_listed": {"reason": "угрозы", **by},
        }
        await server.publish(card(caller=warned))
        warnings = card_of(desk).get_by_role("listitem")
        await expect(warnings.nth(0)).to_contain_text(re.compile("Чёрный список.*угрозы.*Ольга", re.S))
        await expect(warnings.nth(1)).to_contain_text(
            re.compile("Не звонить.*просьба не звонить.*только почта", re.S)
        )
        await expect(desk.locator("[aria-live=assertive]")).to_contain_text("Чёрный список, Не звонить")

    async def test_what_a_colleague_wrote_is_there_at_the_ring(self, desk: Page, server: StandIn) -> None:
        at = {"author": "102", "at": ago(minutes=2)}
        of_call = {"id": "1", "text": "Просит счёт на бумаге", "call_id": "main-1", **at}
        await server.publish(card(notes=[of_call, {"id": "2", "text": "Старая", **at}]))
        await expect(card_of(desk)).to_contain_text("Просит счёт на бумаге")
        await expect(card_of(desk)).not_to_contain_text("Старая")

    async def test_unknown_number(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown())
        article = desk.get_by_role("article", name="+7 812 300-20-10")
        await expect(article).to_contain_text("Неизвестный номер")
        await expect(article).to_contain_text("Спросите имя")

    async def test_withheld_number(self, desk: Page, server: StandIn) -> None:
        await server.publish(withheld())
        article = desk.get_by_role("article", name="Номер скрыт")
        await expect(article).to_contain_text("Звонящий скрывает номер")
        await expect(desk).to_have_title(re.compile("Звонит: Номер скрыт"))

    async def test_no_number_at_all(self, desk: Page, server: StandIn) -> None:
        await server.publish(withheld(call={"number": None, "presentation": "unavailable"}))
        await expect(desk.get_by_role("article", name="Номера нет")).to_contain_text(
            "Линия не передала номер"
        )

    async def test_receipt_once_a_revision(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10))
        first = await server.receipts.get()
        assert first["method"] == "card.shown"
        assert (first["data"]["call_id"], first["data"]["rev"]) == ("main-1", 10)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["data"]["at"])
        await desk.wait_for_function("Date.now() - performance.timeOrigin > 0")
        await desk.get_by_role("button", name="English").click()  # painted again, the same revision
        await expect(desk.get_by_text("Ringing", exact=True)).to_be_visible()
        await server.publish(card(rev=11))
        assert (await server.receipts.get())["data"]["rev"] == 11

    async def test_data_is_text_never_markup(self, desk: Page, server: StandIn) -> None:
        evil = "<img src=x onerror=document.title='owned'>"
        await server.publish(
            card(
                caller={
                    "name": evil,
                    "category": {"code": "x", "label": evil, "colour": "red; background: url(x)"},
                },
                links=[
                    {"label": "bad", "url": "javascript:alert(1)"},
                    {"label": "good", "url": "https://crm.example/7"},
                ],
            )
        )
        await expect(desk.get_by_role("heading", name=evil)).to_be_visible()
        await expect(desk.locator("article img")).to_have_count(0)
        await expect(desk.get_by_role("link", name="good")).to_have_attribute("href", "https://crm.example/7")
        await expect(desk.get_by_role("link", name="bad")).to_have_count(0)
        assert await desk.locator(".badge-category").get_attribute("style") in (None, "")

    async def test_a_broken_card_does_not_hide_the_next(self, desk: Page, server: StandIn) -> None:
        await server.replay({"call_id": "broken", "rev": 1, "state": "ringing"})
        await server.publish(card())
        await expect(card_of(desk)).to_be_visible()
        await expect(desk.get_by_role("article")).to_have_count(1)


class TestTheLifeOfACall:
    async def test_answered_held_and_ended(self, timed_desk: Page, server: StandIn) -> None:
        desk = timed_desk
        await server.publish(card(rev=10))
        await server.publish(card(rev=11, state="answered"))
        await expect(card_of(desk)).to_contain_text("Разговор")
        await expect(card_of(desk).get_by_role("timer")).to_have_text(re.compile(r"1:2\d"))
        await expect(bar(desk)).to_contain_text(NAME)
        await expect(desk).to_have_title("Callcard")
        await server.publish(card(rev=12, state="held"))
        await expect(bar(desk)).to_contain_text("На удержании")
        await server.publish(closed(rev=13, reason="ended", call={"answered_at": ago(seconds=254)}))
        await expect(card_of(desk)).to_contain_text("Разговор окончен")
        await expect(bar(desk)).to_have_count(0)
        await desk.clock.fast_forward(7_000)
        await expect(card_of(desk)).to_have_count(0)
        await expect(recent(desk)).to_contain_text("Разговор окончен, 4 мин")
        await expect(desk.get_by_role("heading", name="Ждём звонков")).to_be_visible()

    async def test_closing_says_why(self, desk: Page, server: StandIn) -> None:
        sentences = {
            "answered_elsewhere": "Ответил коллега",
            "no_answer": "Нет ответа",
            "caller_gave_up": "Клиент не дождался",
            "rejected": "Звонок отклонён",
            "transferred": "Звонок переведён",
        }
        for reason in sentences:
            await server.publish(card(reason, rev=10))
        await expect(desk.get_by_role("article")).to_have_count(5)
        await expect(desk).to_have_title(re.compile("Звонит"))
        for reason, sentence in sentences.items():
            await server.publish(closed(reason, rev=11, reason=reason))
            await expect(card_of(desk, reason)).to_contain_text(sentence)
            await expect(card_of(desk, reason)).to_contain_text(NAME)
            await expect(desk.locator("[aria-live=polite]")).to_contain_text(f"{NAME}: {sentence}")
        await expect(desk).to_have_title("Callcard")

    async def test_an_old_revision_is_ignored(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=11, state="answered"))
        await server.replay(card(rev=10, state="ringing"))
        await server.publish(unknown())  # what comes after the old one has been applied when this is visible
        await expect(card_of(desk, "main-3")).to_be_visible()
        await expect(card_of(desk)).to_contain_text("Разговор")

    async def test_two_calls_the_ringing_one_on_top(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered"))
        await server.publish(unknown())
        await expect(desk.get_by_role("article")).to_have_count(2)
        assert [await one.get_attribute("data-state") for one in await desk.get_by_role("article").all()] == [
            "ringing",
            "answered",
        ]
        await expect(bar(desk)).to_contain_text(NAME)
        await expect(bar(desk)).not_to_contain_text("+7 812 300-20-10")

    async def test_an_expired_card_goes_whatever_was_heard(self, timed_desk: Page, server: StandIn) -> None:
        desk = timed_desk
        await server.publish(card(expires_at=ago(seconds=-60)))
        await expect(card_of(desk)).to_be_visible()
        await desk.clock.fast_forward(61_000)
        await expect(card_of(desk)).to_have_count(0)
        await expect(recent(desk)).to_contain_text(NAME)


class TestTheLink:
    async def test_a_reload_brings_the_card_back(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=11, state="answered"))
        await expect(card_of(desk)).to_be_visible()
        await desk.reload()
        await expect(card_of(desk)).to_contain_text("Разговор")
        await expect(bar(desk)).to_contain_text(NAME)

    async def test_lost_and_back(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10))
        await expect(card_of(desk)).to_be_visible()
        await server.cut()
        await expect(desk.get_by_role("status").filter(has_text="переподключаемся")).to_be_visible()
        await expect(card_of(desk)).to_be_visible()
        await server.publish(closed(rev=12, reason="caller_gave_up"))
        await server.publish(unknown(rev=5))
        await server.publish(several(rev=6))
        await server.publish(closed("main-2", rev=7, reason="no_answer", caller={"name": "Мимо"}))
        server.restore()
        await expect(desk.get_by_role("status").filter(has_text="переподключаемся")).to_have_count(0)
        await expect(card_of(desk)).to_contain_text("Клиент не дождался")
        await expect(card_of(desk, "main-3")).to_contain_text("Звонит")
        # rang and ended while the link was down: only a line in the list
        await expect(recent(desk)).to_contain_text("Мимо")
        await expect(card_of(desk, "main-2")).to_have_count(0)

    async def test_a_server_that_is_down_at_the_start(self, page: Page, server: StandIn) -> None:
        server.open_for_links.clear()
        await sign_in(page, server)
        await expect(page.get_by_role("heading", name="Нет связи")).to_be_visible()
        server.restore()
        await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible(timeout=8_000)

    async def test_a_final_close_offers_a_reload(self, desk: Page, server: StandIn) -> None:
        await server.close(3504, "connection limit")
        await expect(desk.get_by_role("status")).to_contain_text("Сервер закрыл соединение")
        await desk.get_by_role("button", name="Обновить").click()
        await expect(desk.get_by_role("heading", name="Ждём звонков")).to_be_visible()

    async def test_clocks_that_differ(self, page: Page, server: StandIn) -> None:
        """The server is an hour ahead: the card is neither expired nor has it been ringing for an hour."""
        server.server_ahead = timedelta(hours=1)
        await sign_in(page, server)
        await expect(page.get_by_role("heading", name="Ждём звонков")).to_be_visible()
        ring = card(
            call={"started_at": ago(hours=-1), "ringing_at": ago(hours=-1)},
            expires_at=ago(hours=-1, minutes=-2),
        )
        await server.publish(ring)
        await expect(card_of(page).get_by_role("timer")).to_have_text(re.compile("0:0[0-4]"))


class TestLanguages:
    async def test_the_switch_is_kept(self, desk: Page, server: StandIn) -> None:
        await server.publish(card())
        await desk.get_by_role("button", name="English").click()
        await expect(card_of(desk)).to_contain_text("Personal manager")
        await expect(desk).to_have_title(re.compile(f"Call: {NAME}"))
        await expect(desk.locator("html")).to_have_attribute("lang", "en")
        await desk.reload()
        await expect(card_of(desk)).to_contain_text("Ringing")

    async def test_the_agents_own_language(self, page: Page, server: StandIn) -> None:
        server.agent["language"] = "en"
        await sign_in(page, server)
        await expect(page.get_by_role("heading", name="Waiting for calls")).to_be_visible()


class TestLayout:
    async def test_nothing_sticks_out(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered"))
        long_name = "Общество с ограниченной ответственностью «Электросветпромтехмонтаж»"
        await server.publish(several(caller={"name": long_name}))
        await expect(desk.get_by_role("article")).to_have_count(2)
        for width in (380, 1280):
            await desk.set_viewport_size({"width": width, "height": 800})
            assert await desk.evaluate("document.documentElement.scrollWidth") == width
            box = await bar(desk).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] == pytest.approx(800, abs=1)

    async def test_text_and_ground_contrast(self, desk: Page, server: StandIn) -> None:
        """Every visible text has at least 4.5:1 against its ground, in both schemes."""
        await server.publish(
            card(rev=10, state="answered", sources=[{"name": "CRM", "status": "failed", "ms": 1}])
        )
        await server.publish(unknown())
        await expect(desk.get_by_role("article")).to_have_count(2)
        for scheme in ("light", "dark"):
            await desk.emulate_media(color_scheme=scheme)
            assert await desk.evaluate(CONTRAST) == []

    async def test_focus_is_visible(self, desk: Page) -> None:
        await desk.keyboard.press("Tab")
        outline = await desk.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
