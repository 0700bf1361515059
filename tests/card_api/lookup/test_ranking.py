"""Who of several is calling: the order, the points, and a reason for each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_api.agents.directory import Agent
from card_api.lookup.ranking import candidate, rank, the_one
from card_api.lookup.schemas import FoundCustomer, RankedCategory, Talk
from card_api.lookup.wording import ago, plural
from shared.contracts.card import MatchedBy, Order, Ticket

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
ANNA = Agent("101", "Анна Смирнова")
TICKET = Ticket(number="T-1", subject="Нет интернета", status="открыта", source="crm")


def customer(key: str = "1", **more: Any) -> FoundCustomer:
    values = {"id": key, "source": "crm", "external_id": key, "kind": "person", "name": f"Клиент {key}"}
    return FoundCustomer(**{**values, **more})


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def why(of: FoundCustomer, agent: Agent | None = ANNA, language: str = "ru") -> str:
    return candidate(rank([of], agent, NOW)[0], language, NOW).why


def points(of: FoundCustomer, agent: Agent | None = ANNA) -> float:
    return rank([of], agent, NOW)[0].score


EVIDENCE: list[tuple[dict[str, Any], str, str]] = [
    ({"matched_by": "agent", "purpose": None}, "указан в этом звонке", "named in this call"),
    ({"matched_by": "account", "purpose": None}, "назван номер договора", "gave the contract number"),
    ({"tickets": [TICKET]}, "открытая заявка T-1, контактный номер", "open ticket T-1, contact number"),
    (
        {"orders": [Order(number="7", title="Роутер", status="В работе", source="crm")], "purpose": "sms"},
        "заказ 7 в работе, номер для SMS",
        "order 7 in progress, number for SMS",
    ),
    (
        {"last_talk": Talk(at=days_ago(3), agent="102"), "purpose": "fax"},
        "говорили 3 дня назад, факс",
        "talked 3 days ago, fax",
    ),
    (
        {"last_talk": Talk(at=days_ago(1), agent="101"), "purpose": "home"},
        "говорили с вами вчера, домашний номер",
        "talked to you yesterday, number at home",
    ),
    (
        {"manager": "анна смирнова", "purpose": "fax"},
        "вы — личный менеджер, факс",
        "you are the personal manager, fax",
    ),
    (
        {"category": RankedCategory(code="vip", label="VIP", priority=10), "purpose": "mobile"},
        "личный номер, категория «VIP»",
        "own number, category VIP",
    ),
    ({"purpose": "carrier pigeon"}, "номер указан у клиента", "the customer has this number"),
]


@pytest.mark.parametrize(("evidence", "ru", "en"), EVIDENCE)
def test_each_evidence_is_said_in_the_agents_language(evidence: dict[str, Any], ru: str, en: str) -> None:
    assert (why(customer(**evidence)), why(customer(**evidence), language="en")) == (ru, en)


def test_what_was_said_in_the_call_outranks_all_that_can_be_guessed() -> None:
    everything = customer(
        "1",
        purpose="mobile",
        tickets=[TICKET],
        orders=[Order(number="7", title="x", status="new", source="crm")],
        last_talk=Talk(at=NOW, agent="101"),
        manager="101",
        category=RankedCategory(code="vip", label="VIP", priority=99),
    )
    by_account = customer("2", matched_by="account", purpose=None)
    by_agent = customer("3", matched_by="agent", purpose=None)
    assert [r.customer.id for r in rank([everything, by_account, by_agent], ANNA, NOW)] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"purpose": "mobile"}, {"purpose": "contact"}),
        ({"purpose": "contact"}, {"purpose": "work"}),
        ({"purpose": "home"}, {"purpose": "sms"}),
        ({"purpose": "sms"}, {"purpose": "fax"}),
        ({"last_talk": Talk(at=days_ago(2))}, {"last_talk": Talk(at=days_ago(9))}),
        ({"last_talk": Talk(at=days_ago(9), agent="101")}, {"last_talk": Talk(at=days_ago(9), agent="102")}),
        ({"tickets": [TICKET], "purpose": "fax"}, {"purpose": "mobile", "manager": "101"}),
        (
            {"category": RankedCategory(code="a", label="A", priority=2)},
            {"category": RankedCategory(code="b", label="B", priority=1)},
        ),
        ({"manager": "101"}, {"manager": "102"}),
    ],
)
def test_what_counts_more(better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert points(customer(**better)) > points(customer(**worse))


def test_a_finished_order_and_a_category_without_priority_are_no_reasons() -> None:
    done = Order(number="7", title="Роутер", status=" Отменён ", source="crm")
    debtor = RankedCategory(code="debtor", label="Должник")
    assert why(customer(orders=[done], category=debtor)) == "контактный номер"


def test_a_talk_counts_half_after_two_weeks_and_nothing_after_years() -> None:
    plain = points(customer())
    assert points(customer(last_talk=Talk(at=NOW))) - plain == 2.0
    assert points(customer(last_talk=Talk(at=days_ago(14)))) - plain == 1.0
    assert why(customer(last_talk=Talk(at=days_ago(900)))) == "контактный номер"


def test_for_another_system_nothing_is_personal() -> None:
    mine = customer(manager="101", last_talk=Talk(at=days_ago(0), agent="101"))
    assert why(mine, agent=None) == "говорили сегодня, контактный номер"


class TestTheOne:
    def test_whoever_has_the_number_alone(self) -> None:
        assert the_one([]) is None
        assert the_one([customer()]) == customer()
        assert the_one([customer("1"), customer("2")]) is None

    def test_an_account_beats_the_number_and_an_agent_beats_both(self) -> None:
        number, account, agent = (customer(how, matched_by=how) for how in ("number", "account", "agent"))
        assert the_one([number, account]) == account
        assert the_one([agent, number, account]) == agent

    def test_two_customers_of_one_account_are_several_but_for_who_has_the_number_too(self) -> None:
        shared = [customer(key, matched_by="account", purpose=None) for key in ("1", "2")]
        assert the_one([*shared, customer("3")]) is None
        caller = customer("4", matched_by="account", purpose="mobile")
        assert the_one([*shared, caller, customer("3")]) == caller
        assert the_one([*shared, caller, customer("5", matched_by="account", purpose="work")]) is None


moments = st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
logins = st.sampled_from(["101", "102", "Анна Смирнова", " ", None])
tickets = st.lists(st.just(TICKET), max_size=2)
orders = st.lists(
    st.builds(
        Order,
        number=st.text(st.characters(codec="utf-8", exclude_characters="{"), max_size=3),
        title=st.just("x"),
        status=st.sampled_from([None, "new", "done"]),
        source=st.just("crm"),
    ),
    max_size=2,
)
categories = st.none() | st.builds(
    RankedCategory, code=st.just("c"), label=st.text(max_size=5), priority=st.integers(-5, 100)
)
customers = st.builds(
    FoundCustomer,
    id=st.none() | st.text(max_size=2),
    source=st.sampled_from(["crm", "billing"]),
    external_id=st.text(max_size=2),
    kind=st.just("person"),
    name=st.text(max_size=3),
    matched_by=st.sampled_from(MatchedBy),
    purpose=st.sampled_from(["mobile", "contact", "work", "home", "sms", "fax", "", "other", None]),
    tickets=tickets,
    orders=orders,
    last_talk=st.none() | st.builds(Talk, at=moments, agent=logins),
    manager=logins,
    category=categories,
)
agents = st.none() | st.just(ANNA)


@given(st.lists(customers, max_size=6), agents, st.randoms())
def test_the_order_is_total_and_does_not_depend_on_the_order_found(
    found: list[FoundCustomer], agent: Agent | None, random: Any
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    ranked = rank(found, agent, NOW)
    assert sorted(r.score for r in ranked) == [r.score for r in reversed(ranked)]

    def face(of: FoundCustomer) -> tuple[str, str, str, str]:
        return of.name, of.source, of.external_id, of.id or ""

    assert [(r.score, face(r.customer)) for r in ranked] == [
        (r.score, face(r.customer)) for r in rank(shuffled, agent, NOW)
    ]


@given(customers, agents, st.sampled_from(["ru", "en", "de"]))
def test_there_is_a_reason_for_each_point(of: FoundCustomer, agent: Agent | None, language: str) -> None:
    [ranked] = rank([of], agent, NOW)
    shown = candidate(ranked, language, NOW)
    assert all(reason.points > 0 for reason in ranked.reasons)
    assert shown.score == round(sum(reason.points for reason in ranked.reasons), 2) > 0
    assert shown.why.strip()
    # No place of a sentence is left open; what a company calls its category is its own affair.
    assert "{" not in shown.why.replace(of.category.label if of.category else "", "")


@given(customers, agents, tickets, orders, categories, st.integers(0, 400))
def test_adding_evidence_never_lowers(
    of: FoundCustomer, agent: Agent | None, more_tickets: Any, more_orders: Any, category: Any, days: int
) -> None:
    before = points(of, agent)
    newer = Talk(at=max(days_ago(days), of.last_talk.at) if of.last_talk else days_ago(days), agent="101")
    grown: list[dict[str, Any]] = [
        {"tickets": [*of.tickets, *more_tickets]},
        {"orders": [*of.orders, *more_orders]},
        {"manager": "101"},
        {"last_talk": newer},
        {"matched_by": MatchedBy.AGENT},
        {"purpose": "mobile"},
    ]
    if category is not None and (of.category is None or of.category.priority <= category.priority):
        grown.append({"category": category})
    for change in grown:
        assert points(of.model_copy(update=change), agent) >= before, change


@pytest.mark.parametrize(
    ("days", "ru", "en"),
    [
        (-1, "сегодня", "today"),
        (0, "сегодня", "today"),
        (1, "вчера", "yesterday"),
        (2, "2 дня назад", "2 days ago"),
        (5, "5 дней назад", "5 days ago"),
        (11, "11 дней назад", "11 days ago"),
        (14, "2 недели назад", "2 weeks ago"),
        (37, "5 недель назад", "5 weeks ago"),
        (60, "2 месяца назад", "2 months ago"),
        (200, "6 месяцев назад", "6 months ago"),
        (630, "21 месяц назад", "21 months ago"),
        (730, "2 года назад", "2 years ago"),
        (2000, "5 лет назад", "5 years ago"),
    ],
)
def test_dates_as_people_say_them(days: int, ru: str, en: str) -> None:
    moment = NOW - timedelta(days=days)
    assert (ago(moment, "ru", NOW), ago(moment, "en", NOW), ago(moment, "de", NOW)) == (ru, en, en)


def test_days_end_where_the_company_is() -> None:
    after_midnight = datetime(2026, 11, 21, 0, 30, tzinfo=ZoneInfo("Europe/Moscow"))
    assert ago(datetime(2026, 11, 20, 20, 30, tzinfo=UTC), "ru", after_midnight) == "вчера"
    assert ago(datetime(2026, 11, 20, 21, 15, tzinfo=UTC), "ru", after_midnight) == "сегодня"


@pytest.mark.parametrize(
    ("count", "form"),
    [
        (1, "день"),
        (2, "дня"),
        (4, "дня"),
        (5, "дней"),
        (11, "дней"),
        (12, "дней"),
        (21, "день"),
        (22, "дня"),
        (111, "дней"),
    ],
)
def test_russian_has_three_forms(count: int, form: str) -> None:
    assert plural(count, "day", "ru") == form
