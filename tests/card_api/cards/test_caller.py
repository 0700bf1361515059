"""Who is calling: one, several, nobody, hidden; whom an agent named."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from card_api.agents.directory import Agent
from card_api.cards.caller import CallerPart, Reader, caller_part
from card_api.cards.layout import Layout
from card_api.lookup.schemas import Found, FoundCustomer, Talk
from shared.contracts.call import Presentation
from shared.contracts.card import (
    Attribute,
    BlackListed,
    DoNotCall,
    DoNotCallReason,
    Link,
    MatchedBy,
    MatchKind,
    Note,
)
from shared.links import LinkTemplate
from tests.card_api.makers import CUSTOMER

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
ANNA = Agent("101", "Анна Смирнова")
WIFE = FoundCustomer(id="w", source="crm", external_id="W-1", kind="person", name="Иванова Ольга Львовна")
HUSBAND = FoundCustomer(id="h", source="crm", external_id="H/1", kind="person", name="Иванов Пётр Сергеевич")
FIRM = FoundCustomer(id="f", source="crm", external_id="F-1", kind="company", name="ООО «Ромашка»")


def part(
    *customers: FoundCustomer,
    presentation: Presentation = Presentation.ALLOWED,
    layout: Layout | None = None,
    account: str | None = None,
    call_id: str | None = "main-1",
    agent: Agent | None = ANNA,
    **found: Any,
) -> CallerPart:
    number = CUSTOMER if presentation is Presentation.ALLOWED else None
    return caller_part(
        presentation,
        number,
        Found(customers=list(customers), **found),
        Reader("ru", NOW, agent),
        layout or Layout(),
        account=account,
        call_id=call_id,
    )


def by(how: str, customer: FoundCustomer) -> FoundCustomer:
    return customer.model_copy(update={"matched_by": MatchedBy(how), "purpose": None})


def note(key: str, minutes: int, **more: Any) -> Note:
    return Note(id=key, text=key, author="101", at=NOW - timedelta(minutes=minutes), **more)


class TestMatch:
    def test_one_says_who_and_from_where(self) -> None:
        got = part(HUSBAND.model_copy(update={"manager": "101", "preferences": {"call": "after 18"}}))
        assert (got.match, got.address, got.candidates) == (MatchKind.ONE, "Пётр Сергеевич", ())
        who = got.caller
        assert (who.customer_id, who.source, who.external_id, who.kind) == ("h", "crm", "H/1", "person")
        assert (who.matched_by, who.preferences) == (MatchedBy.NUMBER, {"call": "after 18"})
        assert who.origins == {"name": "crm", "manager": "crm"}

    def test_several_are_a_stranger_with_candidates(self) -> None:
        got = part(HUSBAND, WIFE)
        assert (got.match, got.caller.name, got.caller.customer_id, got.address) == (
            MatchKind.SEVERAL,
            None,
            None,
            None,
        )
        assert [c.name for c in got.candidates] == ["Иванов Пётр Сергеевич", "Иванова Ольга Львовна"]
        assert (got.tickets, got.orders, got.caller.names) == ((), (), [])

    @pytest.mark.parametrize("how", ["account", "agent"])
    def test_whoever_was_named_is_the_one_and_the_others_can_still_be_picked(self, how: str) -> None:
        got = part(HUSBAND, by(how, WIFE))
        assert (got.match, got.caller.name, got.caller.matched_by) == (MatchKind.ONE, WIFE.name, how)
        assert [c.customer_id for c in got.candidates] == ["h"]

    def test_the_candidates_are_ranked_for_the_agent_who_looks(self) -> None:
        known = WIFE.model_copy(update={"last_talk": Talk(at=NOW - timedelta(days=3), agent="101")})
        assert [c.why for c in part(HUSBAND, known).candidates] == [
            "говорили с вами 3 дня назад, контактный номер",
            "контактный номер",
        ]
        assert part(HUSBAND, known, agent=None).candidates[0].why == "говорили 3 дня назад, контактный номер"

    @pytest.mark.parametrize("presentation", [Presentation.WITHHELD, Presentation.UNAVAILABLE])
    def test_a_hidden_caller_is_nobody_unless_somebody_named_them(self, presentation: Presentation) -> None:
        got = part(HUSBAND, presentation=presentation)
        assert (got.match, got.caller.name, got.candidates) == (MatchKind.WITHHELD, None, ())
        named = part(HUSBAND, by("agent", WIFE), presentation=presentation)
        assert (named.match, named.caller.name, named.candidates) == (MatchKind.ONE, WIFE.name, ())
        assert named.caller.display_number is None

    def test_the_person_picked_is_greeted(self) -> None:
        assert part(FIRM).address is None
        assert part(FIRM, person="Рябова Инна Львовна").address == "Инна Львовна"
        assert part(FIRM, person="Рябова Инна Львовна").caller.person == "Рябова Инна Львовна"
        named = HUSBAND.model_copy(update={"greet_as": "Пётр"})
        assert part(named, person=HUSBAND.name).address == "Пётр", "they have said how"

    def test_a_stranger_who_has_said_their_name_is_greeted_by_it(self) -> None:
        got = part(person="Анна")
        assert (got.match, got.caller.name, got.caller.person, got.address) == (
            MatchKind.NONE,
            None,
            "Анна",
            "Анна",
        )


class TestNotes:
    def test_of_the_call_and_of_the_customer_each_once_newest_first(self) -> None:
        both = note("both", 5, call_id="main-1")
        got = part(
            HUSBAND.model_copy(update={"notes": [note("old", 50), both]}), notes=[both, note("new", 1)]
        )
        assert [n.id for n in got.notes] == ["new", "both", "old"]

    def test_of_several_customers_only_those_of_the_call(self) -> None:
        got = part(HUSBAND.model_copy(update={"notes": [note("his", 5)]}), WIFE, notes=[note("call", 1)])
        assert [n.id for n in got.notes] == ["call"], "what is known of one is not told of another"


class TestWarnings:
    no = DoNotCall(reason=DoNotCallReason.ASKED, by="101", at=NOW)
    black = BlackListed(by="104", at=NOW)

    @pytest.mark.parametrize("customers", [(), (HUSBAND,), (HUSBAND, WIFE)])
    def test_hold_for_the_number_whoever_has_it(self, customers: tuple[FoundCustomer, ...]) -> None:
        got = part(*customers, do_not_call=self.no, black_listed=self.black).caller
        assert (got.do_not_call, got.black_listed) == (self.no, self.black)


class TestAttributes:
    def test_those_the_layout_names_in_its_order(self) -> None:
        free = {
            "city": " Казань ",
            "tariff": 100,
            "empty": "",
            "secret": "x",
            "tags": ["a", None, "b"],
            "vip": True,
        }
        customer = HUSBAND.model_copy(
            update={"attributes": free, "origins": {"attributes.tariff": "billing"}}
        )
        layout = Layout(attributes=("tariff", "city", "empty", "none", "tags", "vip"))
        assert part(customer, layout=layout).caller.attributes == [
            Attribute(name="tariff", value="100", source="billing"),
            Attribute(name="city", value="Казань", source="crm"),
            Attribute(name="tags", value="a, b", source="crm"),
            Attribute(name="vip", value="true", source="crm"),
        ]
        assert part(customer).caller.attributes == []


class TestLinks:
    layout = Layout(
        links=(
            LinkTemplate.of("CRM", "https://crm.example/{source}/{external_id}?tel={number}&call={call_id}"),
            LinkTemplate.of("billing:Счета", "https://billing.example/{external_id}"),
            LinkTemplate.of("Найти", "https://crm.example/search?q={number}"),
            LinkTemplate.of("Договор", "https://crm.example/contracts/{account}"),
        )
    )

    def test_templates_are_filled_and_percent_encoded(self) -> None:
        got = part(HUSBAND, layout=self.layout, account="77&x=1").links
        assert got == (
            Link(label="CRM", url="https://crm.example/crm/H%2F1?tel=%2B79001112233&call=main-1"),
            Link(label="Найти", url="https://crm.example/search?q=%2B79001112233"),
            Link(label="Договор", url="https://crm.example/contracts/77%26x%3D1"),
        )

    def test_a_source_of_its_own_has_the_key_of_its_record(self) -> None:
        billing = FoundCustomer(
            source="billing", external_id="B-9", kind="person", name="x", url="https://billing.example/p/9"
        )
        customer = HUSBAND.model_copy(update={"url": "https://crm.example/h", "also": [billing]})
        assert [(link.label, link.url) for link in part(customer, layout=self.layout).links] == [
            ("crm", "https://crm.example/h"),
            ("billing", "https://billing.example/p/9"),
            ("CRM", "https://crm.example/crm/H%2F1?tel=%2B79001112233&call=main-1"),
            ("Счета", "https://billing.example/B-9"),
            ("Найти", "https://crm.example/search?q=%2B79001112233"),
        ]

    def test_a_stranger_has_the_links_that_need_no_customer(self) -> None:
        assert [link.label for link in part(layout=self.layout).links] == ["Найти"]
        assert part(layout=self.layout, presentation=Presentation.WITHHELD).links == ()

    def test_what_is_no_web_address_is_no_link(self) -> None:
        assert part(HUSBAND.model_copy(update={"url": "javascript:alert(1)"})).links == ()
