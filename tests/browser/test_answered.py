"""The open card: everything known with who says it, and what the agent says: who it is, who speaks, notes."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.cards import ago, card, closed, several, unknown
from tests.browser.parts import CONTRAST, NAME, bar, card_of, fill_in, note_field
from tests.browser.standin import PASSWORD, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PEOPLE = [
    {"name": "Мария Петрова", "role": "дочь", "source": "crm"},
    {"name": "Иван Петров", "source": "agent:102"},
]


def notes(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "text": f"Заметка номер {n}", "author": "102", "at": ago(hours=n)} | changes
        for n in range(count)
    ]


def about(**changes: Any) -> dict[str, Any]:
    """The caller of a full card, with changes."""
    caller: dict[str, Any] = card()["caller"]
    return caller | changes


class TestOpen:
    async def test_everything_known_with_who_says_it(self, desk: Page, server: StandIn) -> None:
        full = about(
            people=PEOPLE,
            names=[{"name": "Петрова А. С.", "source": "1c"}],
            preferences={"время": "после 18"},
            attributes=[{"name": "Дом", "value": "частный", "source": "crm"}],
        )
        sources = [
            {"name": "customers", "status": "ok", "ms": 1},
            {"name": "CRM", "status": "late", "ms": 1000},
            {"name": "1С", "status": "failed", "ms": 12},
        ]
        await server.publish(card(state="answered", caller=full, notes=notes(40), sources=sources))
        article = card_of(desk)
        for said in [
            "Уточните, удалось ли подключить",
            "Нет интернета после грозы.*наша база",
            "Роутер AX3000.*5512.*доставлен",
            "40-118-7.*Домашний интернет 300 · активен",
            "разговор 4 мин · оператор agent103",
            "Дом частный.*crm",
            "время после 18",
            "Петрова А. С..*1c",
            "Мария Петрова.*дочь.*crm",
            "Иван Петров.*оператор 102",
            "CRM: нет ответа за 1 с;",
            "1С: нет ответа, здесь может",
            "имя: crm · категория: 1c",
            "Игорь Волков.*1c",
        ]:
            await expect(article).to_contain_text(re.compile(said, re.S))
        await expect(article.get_by_text("Заметка номер 2", exact=True)).to_be_visible()
        await expect(article.get_by_text("Заметка номер 39")).to_be_hidden()
        await article.get_by_text("и ещё 37").click()
        await article.get_by_text("Заметка номер 39").scroll_into_view_if_needed()
        await expect(article.get_by_text("Заметка номер 39")).to_be_visible()

    async def test_what_the_card_does_not_offer_is_not_there(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown(state="answered", actions=[]))
        await expect(card_of(desk, "main-3")).to_be_visible()
        await expect(card_of(desk, "main-3").get_by_role("textbox")).to_have_count(0)

    async def test_nothing_sticks_out_and_all_can_be_read(self, desk: Page, server: StandIn) -> None:
        long_word = "Электросветпромтехмонтаж" * 12
        rtl = "שלום כהן"
        full = about(
            name=long_word,
            person=rtl,
            matched_by="agent",
            people=[{"name": long_word, "role": long_word, "source": "crm"}],
            tags=[long_word],
            do_not_call={"reason": "wrong_number", "by": rtl, "at": ago(days=1)},
            black_listed={"reason": long_word, "by": "102", "at": ago(days=1)},
        )
        await server.publish(card(state="answered", caller=full, notes=notes(40, text=long_word, author=rtl)))
        await server.publish(several("main-2", state="held"))
        await server.publish(unknown("main-3", state="held"))
        await expect(desk.get_by_role("article")).to_have_count(3)
        for width in (400, 1280):
            await desk.set_viewport_size({"width": width, "height": 800})
            assert await desk.evaluate("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            await desk.emulate_media(color_scheme=scheme)
            assert await desk.evaluate(CONTRAST) == []

    async def test_a_late_source_moves_nothing_that_is_written(self, desk: Page, server: StandIn) -> None:
        late = [{"name": "CRM", "status": "late", "ms": 1000}]
        await server.publish(card(rev=10, state="answered", tickets=[], orders=[], sources=late))
        before = await note_field(desk).bounding_box()
        await server.publish(card(rev=11, state="answered", sources=[]))
        await expect(card_of(desk)).to_contain_text("Роутер AX3000")
        assert await note_field(desk).bounding_box() == before


class TestWhoItIs:
    async def test_a_click_picks(self, desk: Page, server: StandIn) -> None:
        await server.publish(several(rev=10, state="answered"))
        await desk.get_by_role("button", name="Ромашка").click()
        assert await server.acts.get() == ("main-2", "identify", {"customer_id": "7"})
        await server.answers.put(card("main-2", rev=11, state="answered", caller=about(matched_by="agent")))
        article = desk.get_by_role("article", name=NAME)
        await expect(article).to_contain_text("указан в этом звонке")
        await expect(article.get_by_role("heading", name=NAME)).to_be_focused()
        await expect(desk.locator("[aria-live=polite]").first).to_contain_text(f"Клиент: {NAME}")
        await expect(bar(desk)).to_contain_text(NAME)
        # and back
        await article.get_by_role("button", name="Не тот клиент").click()
        assert await server.acts.get() == ("main-2", "identify", {})
        await server.answers.put(several(rev=12, state="answered"))
        await expect(desk.get_by_role("button", name="Ромашка")).to_be_visible()

    async def test_a_key_picks_but_not_while_typing(self, desk: Page, server: StandIn) -> None:
        await server.publish(several(rev=10, state="answered"))
        await note_field(desk).press_sequentially("12")
        await note_field(desk).blur()
        await desk.keyboard.press("1")
        # Only another system knows the likeliest one.
        assert await server.acts.get() == ("main-2", "identify", {"source": "crm", "external_id": "8"})
        await server.answers.put(several(rev=11, state="answered"))
        await expect(note_field(desk)).to_have_value("12")

    async def test_a_contract_number_that_nobody_has(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown(rev=10, state="answered"))
        field = desk.get_by_label("Номер договора", exact=True)
        await field.fill("40-118")
        await field.press("Enter")
        assert await server.acts.get() == ("main-3", "identify", {"account": "40-118"})
        await server.answers.put(404)
        await expect(card_of(desk, "main-3")).to_contain_text("Договора 40-118 нет ни у кого")
        await expect(field).to_have_value("40-118")
        await field.fill("40-118-7")
        await field.press("Enter")
        await server.answers.put(card("main-3", rev=11, state="answered", caller=about(matched_by="account")))
        await expect(card_of(desk, "main-3")).to_contain_text("найден по номеру договора")

    async def test_a_stranger_becomes_a_customer(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown(rev=10, state="answered"))
        await desk.get_by_label("Компания").check()
        await desk.get_by_label("Название").fill("ООО «Лютик»")
        await desk.get_by_label("Номер договора, если есть").fill("77-3")
        await desk.get_by_role("button", name="Завести клиента").click()
        body = {"kind": "company", "name": "ООО «Лютик»", "accounts": [{"number": "77-3"}]}
        assert await server.acts.get() == ("main-3", "customer", body)
        made = about(name="ООО «Лютик»", matched_by="agent", source="callcard")
        await server.answers.put(card("main-3", rev=11, state="answered", caller=made))
        await expect(desk.get_by_role("article", name="ООО «Лютик»")).to_be_visible()
        await expect(desk.get_by_label("Название")).to_have_count(0)

    async def test_somebody_is_found_while_a_new_customer_is_typed(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown(rev=10, state="answered"))
        name = desk.get_by_label("Имя", exact=True)
        await name.press_sequentially("Анна Пет")
        await server.publish(card("main-3", rev=11, state="answered"))
        await expect(card_of(desk, "main-3")).to_contain_text(f"Клиент уже нашёлся: {NAME}")
        field = desk.locator("[name=customer-name]")
        await expect(field).to_have_value("Анна Пет")
        await expect(field).to_be_focused()
        await card_of(desk, "main-3").get_by_role("button", name="Выбросить").click()
        await expect(field).to_have_count(0)

    async def test_how_may_i_call_you(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered", caller=about(people=PEOPLE)))
        await desk.get_by_role("button", name="Мария Петрова").click()
        assert await server.acts.get() == ("main-1", "person", {"name": "Мария Петрова"})
        spoken = about(people=PEOPLE, person="Мария Петрова")
        await server.answers.put(card(rev=11, state="answered", caller=spoken))
        await expect(desk.get_by_role("button", name="Мария Петрова")).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(bar(desk)).to_contain_text("говорит Мария Петрова")
        await desk.get_by_role("textbox", name="Как к вам обращаться?").fill("Пётр")
        await desk.keyboard.press("Enter")
        assert await server.acts.get() == ("main-1", "person", {"name": "Пётр"})
        await server.answers.put(card(rev=12, state="answered", caller=about(person="Пётр")))
        await expect(card_of(desk)).to_contain_text("Говорит Пётр")

    async def test_a_person_mostly_speaks_for_themselves(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered"))
        field = desk.get_by_role("textbox", name="Как к вам обращаться?")
        await expect(field).to_have_count(0)
        await desk.get_by_role("button", name="Говорит кто-то другой?").click()
        await expect(field).to_be_focused()


class TestNotes:
    async def test_a_push_takes_neither_text_nor_focus(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered"))
        await note_field(desk).press_sequentially("Обещали перез")
        await server.publish(card(rev=11, state="held", notes=notes(5)))
        await expect(card_of(desk)).to_contain_text("Заметка номер 4")
        await server.publish(unknown())  # a card above it
        await expect(desk.get_by_role("article")).to_have_count(2)
        await expect(note_field(desk)).to_be_focused()
        await desk.keyboard.type("вонить")
        await expect(note_field(desk)).to_have_value("Обещали перезвонить")
        await desk.reload()
        await expect(note_field(desk)).to_have_value("Обещали перезвонить")
        await note_field(desk).press("Control+Enter")
        assert await server.acts.get() == ("main-1", "notes", {"text": "Обещали перезвонить"})
        written = notes(1, text="Обещали перезвонить", call_id="main-1")
        await server.answers.put(card(rev=12, state="held", notes=written))
        await expect(note_field(desk)).to_have_value("")
        await expect(card_of(desk)).to_contain_text("Заметка записана")
        await expect(card_of(desk).locator("ul.notes")).to_contain_text("Обещали перезвонить")

    async def test_a_card_that_moves_keeps_the_focus(self, desk: Page, server: StandIn) -> None:
        await server.publish(card("main-1", rev=10, state="held"))
        await server.publish(card("main-2", rev=10, state="answered"))
        cards = desk.get_by_role("article")
        await expect(cards.first).to_have_attribute("data-call", "main-2")
        fields = [
            card_of(desk, call_id).get_by_label("Заметка", exact=True) for call_id in ("main-1", "main-2")
        ]
        for field in fields:
            await field.press_sequentially("раз")
            await server.publish(card("main-1", rev=len(server.history) + 10, state="answered"))
            await server.publish(card("main-2", rev=len(server.history) + 10, state="held"))
            await expect(cards.first).to_have_attribute("data-call", "main-1")
            await expect(field).to_be_focused()
            await desk.keyboard.type(" два")
            await expect(field).to_have_value("раз два")
            await server.publish(card("main-1", rev=len(server.history) + 10, state="held"))
            await server.publish(card("main-2", rev=len(server.history) + 10, state="answered"))
            await expect(cards.first).to_have_attribute("data-call", "main-2")

    async def test_each_failure_has_its_sentence_and_the_text_stays(
        self, desk: Page, server: StandIn
    ) -> None:
        await server.publish(card(rev=10, state="answered"))
        await note_field(desk).fill("Важное")
        save = desk.get_by_role("button", name="Записать", exact=True)
        failures = {
            403: "этот звонок вам уже нельзя менять",
            404: "больше не знает",
            409: "карточка уже другая",
            422: "сервер этого не принял",
            429: "слишком много запросов",
            503: "сервер не отвечает",
        }
        for status, sentence in failures.items():
            await save.click()
            await server.answers.put(status)
            await expect(desk.locator("note-form [role=status]")).to_contain_text(sentence)
            await expect(note_field(desk)).to_have_value("Важное")
        # The last one did arrive, only its answer was lost: the push says so, and nothing is there to be sent twice.
        await server.publish(card(rev=11, state="answered", notes=notes(1, text="Важное", call_id="main-1")))
        await expect(note_field(desk)).to_have_value("")

    async def test_a_sign_in_that_ends_keeps_what_is_typed(self, desk: Page, server: StandIn) -> None:
        await server.publish(card(rev=10, state="answered"))
        await note_field(desk).fill("Важное")
        await desk.get_by_role("button", name="Записать", exact=True).click()
        await server.answers.put(401)
        await expect(desk.get_by_text("Вход закончился")).to_be_visible()
        await desk.get_by_label("Логин").fill("agent101")
        await desk.get_by_label("Пароль").fill(PASSWORD)
        await desk.get_by_role("button", name="Войти").click()
        await expect(note_field(desk)).to_have_value("Важное")

    async def test_what_is_typed_can_be_thrown_away(self, desk: Page, server: StandIn) -> None:
        await server.publish(unknown(rev=10, state="answered"))
        await desk.get_by_label("Имя", exact=True).fill("Анна")
        await server.publish(
            closed(
                "main-3", rev=11, reason="ended", match="none", caller={"display_number": "+7 812 300-20-10"}
            )
        )
        await expect(card_of(desk, "main-3")).to_contain_text("набранное ещё не записано")
        await expect(desk.get_by_label("Имя", exact=True)).to_have_value("Анна")
        await desk.get_by_role("button", name="Выбросить").click()
        await expect(desk.get_by_role("textbox")).to_have_count(0)

    async def test_the_end_of_the_call_does_not_take_it(self, timed_desk: Page, server: StandIn) -> None:
        desk = timed_desk
        await server.publish(card(rev=10, state="answered"))
        await note_field(desk).press_sequentially("Недопис")
        await server.publish(closed(rev=11, reason="ended", call={"answered_at": ago(seconds=60)}))
        await expect(card_of(desk)).to_contain_text("набранное ещё не записано")
        await expect(note_field(desk)).to_be_focused()
        await desk.clock.fast_forward(60_000)
        await desk.keyboard.type("анное")
        await desk.get_by_role("button", name="Записать", exact=True).click()
        assert await server.acts.get() == ("main-1", "notes", {"text": "Недописанное"})
        await server.answers.put(closed(rev=12, reason="ended"))
        await expect(note_field(desk)).to_have_count(0)
        await desk.clock.fast_forward(7_000)
        await expect(card_of(desk)).to_have_count(0)


async def test_in_english(page: Page, server: StandIn) -> None:
    server.agent["language"] = "en"
    await fill_in(page, server.url, "agent101", PASSWORD)
    await server.publish(unknown(rev=10, state="answered"))
    article = card_of(page, "main-3")
    await article.get_by_label("Contract number", exact=True).fill("1")
    await article.get_by_role("button", name="Find").click()
    await server.answers.put(404)
    await expect(article).to_contain_text("Nobody has the contract 1.")
    await expect(article.get_by_role("heading", name="New customer")).to_be_visible()
    assert not re.search("[А-я]", " ".join(await article.locator("form").all_inner_texts()))
