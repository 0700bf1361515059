"""What a card says."""

from datetime import UTC, datetime, timedelta

import pytest

from card_api.agents.directory import Agent
from card_api.cards.greeting import address, greeting
from card_api.cards.places import places
from card_api.cards.render import NOTHING_KNOWN, Knowledge, SourceReport, render
from card_api.lookup.schemas import Found, FoundCustomer
from shared.contracts.call import Call, Caller, Leg, Presentation
from shared.contracts.card import Card, MatchKind, Order, PastCall, SourceStatus, Ticket
from shared.revision import MAX_REV, revision
from tests.card_api.makers import CUSTOMER, DIRECTORY, NOON, SITE, at, call, leg

PETER = FoundCustomer(
    id="p", source="crm", external_id="1", kind="person", name="Иванов Пётр Сергеевич", purpose="mobile"
)
OLGA = FoundCustomer(
    id="o", source="crm", external_id="2", kind="person", name="Иванова Ольга Львовна", purpose="contact"
)


def card(of: Call, knowledge: Knowledge = NOTHING_KNOWN, agent: Agent | None = None) -> Card:
    place = places(of, DIRECTORY)[0]
    if agent is not None:
        place = place._replace(agent=agent)
    return render(of, 7, place, knowledge, DIRECTORY, SITE, NOON)


def knowing(*customers: FoundCustomer, history: list[PastCall] | None = None) -> Knowledge:
    found = Found(customers=list(customers), history=history or [])
    return Knowledge(found, (SourceReport("customers", SourceStatus.OK, 0.8),), at(0.5), 8)


def test_one_customer_is_shown_whole_and_greeted_by_name() -> None:
    ticket = Ticket(number="T-1", subject="Не работает интернет", status="открыта", source="crm")
    got = card(call(legs=(leg("101"),)), knowing(PETER.model_copy(update={"tickets": [ticket]})))
    assert got.match is MatchKind.ONE
    assert got.caller.name == "Иванов Пётр Сергеевич"
    assert got.caller.display_number == "+7 900 111-22-33"
    assert got.greeting == "Добрый день, Пётр Сергеевич!"
    assert got.tickets == [ticket]
    assert [(s.name, s.status, s.ms) for s in got.sources] == [("customers", SourceStatus.OK, 0.8)]
    assert got.timings.arrived == at(0)
    assert got.timings.looked_up == at(0.5)
    assert got.timings.rang == at(1)
    assert got.timings.pushed == NOON


def test_several_customers_are_ranked_and_never_glued_together() -> None:
    order = Order(number="77", title="Роутер", status="в работе", source="crm")
    got = card(call(legs=(leg("101"),)), knowing(PETER, OLGA.model_copy(update={"orders": [order]})))
    assert got.match is MatchKind.SEVERAL
    assert got.caller.name is None
    assert got.greeting == "Добрый день!"
    assert [(c.customer_id, c.why) for c in got.candidates] == [
        ("o", "заказ 77 в работе, контактный номер"),
        ("p", "личный номер"),
    ]
    assert got.candidates[0].score > got.candidates[1].score


def test_an_unknown_number_shows_the_number_and_its_history() -> None:
    past = PastCall(call_id="x", at=at(-900), direction="inbound")
    now = PastCall(call_id="main-1.1", at=at(0), direction="inbound")
    got = card(call(legs=(leg("101"),)), knowing(history=[now, past]))
    assert got.match is MatchKind.NONE
    assert got.caller.display_number == "+7 900 111-22-33"
    assert got.history == [past], "the call that rings is no history"


@pytest.mark.parametrize(
    "caller",
    [
        Caller(number=None, presentation=Presentation.WITHHELD),
        Caller(number=None, presentation=Presentation.UNAVAILABLE),
        Caller(number=CUSTOMER, presentation=Presentation.WITHHELD),
        Caller(number="anonymous"),
        Caller(number=None),
    ],
)
def test_a_hidden_caller_is_nobody_whatever_was_found(caller: Caller) -> None:
    got = card(call(legs=(leg("101"),), caller=caller), knowing(PETER))
    assert got.match is MatchKind.WITHHELD
    assert got.call.number is None
    assert got.caller.name is None
    assert got.greeting == "Добрый день!"


@pytest.mark.parametrize(
    ("said", "presentation"),
    [
        ("anonymous", Presentation.WITHHELD),
        ("sip:anonymous@anonymous.invalid", Presentation.WITHHELD),
        ("unavailable", Presentation.UNAVAILABLE),
        ("<unknown>", Presentation.UNAVAILABLE),
        (None, Presentation.UNAVAILABLE),
    ],
)
def test_hidden_and_missing_are_told_apart(said: str | None, presentation: Presentation) -> None:
    assert card(call(legs=(leg("101"),), number=said)).call.presentation is presentation


def test_a_number_that_is_none_of_the_worlds_is_shown_as_it_came() -> None:
    got = card(call(legs=(leg("101"),), number="2223344"))
    assert (got.match, got.call.number, got.caller.display_number) == (MatchKind.NONE, "2223344", "2223344")


def test_a_colleague_is_named() -> None:
    inside = call(
        direction="internal", caller=Caller(number="102", endpoint="PJSIP/agent102"), legs=(leg("101"),)
    )
    got = card(inside)
    assert got.match is MatchKind.COLLEAGUE
    assert got.caller.name == "Дмитрий Кузнецов"
    assert got.caller.display_number == "102"
    assert got.greeting is None


def test_an_outbound_call_shows_the_customer_who_is_dialled() -> None:
    dialled = call(
        direction="outbound", caller=Caller(number="101", endpoint="PJSIP/agent101"), did="89001112233"
    )
    got = card(dialled, knowing(PETER))
    assert got.call.number == CUSTOMER
    assert got.caller.name == PETER.name


def test_the_agent_chooses_the_language() -> None:
    english = Agent("101", "Anna", language="en")
    got = card(call(legs=(leg("101"),)), knowing(PETER, OLGA), english)
    assert got.greeting == "Good afternoon!"
    assert got.candidates[0].why == "own number"


def test_a_revision_grows_with_the_version_first_and_the_enrichment_then() -> None:
    assert revision(7, 0) < revision(7, 1) < revision(7, 31) == revision(7, 99) < revision(8, 0)
    assert revision(MAX_REV // 32, 31) == MAX_REV
    with pytest.raises(ValueError, match="outside"):
        revision(MAX_REV // 32 + 1, 0)


def test_versions_as_the_listener_counts_them_fit_for_decades() -> None:
    assert revision(int(datetime(2059, 1, 1, tzinfo=UTC).timestamp() * 1000) * 100, 31) < MAX_REV


@pytest.mark.parametrize(
    ("of", "lifetime"),
    [
        (leg("101"), timedelta(seconds=1, minutes=10)),
        (leg("101", "answered", answered=5), timedelta(seconds=5, hours=12)),
        (leg("101", "ended", "no_answer"), timedelta(seconds=15)),
    ],
)
def test_every_card_expires(of: Leg, lifetime: timedelta) -> None:
    assert card(call(legs=(of,))).expires_at == NOON + lifetime


@pytest.mark.parametrize(
    ("hour", "ru", "en"),
    [
        (0, "Здравствуйте", "Hello"),
        (4, "Здравствуйте", "Hello"),
        (5, "Доброе утро", "Good morning"),
        (11, "Доброе утро", "Good morning"),
        (12, "Добрый день", "Good afternoon"),
        (18, "Добрый вечер", "Good evening"),
        (23, "Здравствуйте", "Hello"),
    ],
)
def test_the_greeting_follows_the_clock(hour: int, ru: str, en: str) -> None:
    local = datetime(2026, 11, 21, hour, 59)
    assert greeting(local, "ru", "Пётр Сергеевич") == f"{ru}, Пётр Сергеевич!"
    assert greeting(local, "en", None) == f"{en}!"


@pytest.mark.parametrize(
    ("name", "kind", "greet_as", "expected"),
    [
        ("Иванов Пётр Сергеевич", "person", None, "Пётр Сергеевич"),
        ("Пётр Сергеевич Иванов", "person", None, "Пётр Сергеевич"),
        ("Каримова Алсу Ильинична", "person", None, "Алсу Ильинична"),
        ("Алиев Рашад Фарид оглы", "person", "Рашад", "Рашад"),
        ("John Smith", "person", None, "John Smith"),
        ("ООО «Ромашка»", "company", None, None),
        ("  ", "person", None, None),
    ],
)
def test_how_a_customer_is_addressed(
    name: str, kind: str, greet_as: str | None, expected: str | None
) -> None:
    assert address(name, kind, greet_as) == expected
