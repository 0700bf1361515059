"""Reading a customer out of what another system says, and what is not believed."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_api.lookup.schemas import FoundCustomer, Question
from card_api.sources.mapping import MapError, compile_map
from card_api.sources.source import AnswerRefused
from shared.contracts.card import MatchedBy

MOSCOW = ZoneInfo("Europe/Moscow")
CALLER = Question("+79001112233")
LEAST = {"name": "$.name", "external_id": "$.id"}
EVERYTHING = {
    "name": "$['LAST_NAME','NAME','SECOND_NAME']",
    "external_id": "$.ID",
    "kind": "$.type",
    "greet_as": "$.hello",
    "category": "$.status.code",
    "manager": "$.manager.name",
    "url": "$.link",
    "number": "$.PHONE[*].VALUE",
    "tags": "$.tags[*]",
    "names": "$.aka[*]",
    "attributes.birthday": "$.birth",
    "attributes.cities": "$.addresses[*].city",
    "preferences.call after": "$.after",
    "people[]": "$.contacts[*]",
    "people[].name": "$.fio",
    "people[].role": "$.post",
    "accounts[]": "$.contracts[*]",
    "accounts[].number": "$.no",
    "accounts[].status": "$.state",
    "tickets[]": "$.requests[?@.closed == false]",
    "tickets[].number": "$.no",
    "tickets[].subject": "$.text",
    "tickets[].opened_at": "$.date",
    "orders[]": "$.orders[*]",
    "orders[].number": "$.no",
    "orders[].title": "$.what",
    "orders[].amount": "$['sum','currency']",
    "orders[].ordered_at": "$.date",
}
PETROV = {
    "ID": 42,
    "LAST_NAME": "Петров",
    "NAME": "Иван",
    "SECOND_NAME": None,
    "type": "Individual",
    "hello": "Иван Сергеевич",
    "status": {"code": "vip"},
    "manager": {"name": "101"},
    "link": "https://crm.example/42",
    "PHONE": [{"VALUE": "8 (900) 111-22-33"}, {"VALUE": "8 495 123-45-67"}],
    "tags": ["new", "", None, 5],
    "aka": ["Ваня"],
    "birth": "1980-01-01",
    "addresses": [{"city": "Тверь"}, {"city": "Москва"}],
    "after": "18:00",
    "contacts": [{"fio": "Анна", "post": "жена"}, {}],
    "contracts": [{"no": 77, "state": "active"}],
    "requests": [
        {"no": "R1", "text": "нет связи", "closed": False, "date": "21.11.2026 10:30"},
        {"no": "R2", "text": "закрыта", "closed": True},
    ],
    "orders": [{"no": "1", "what": "роутер", "sum": 1990.0, "currency": "RUB", "date": 1763710200}],
}


def read(
    document: Any, fields: dict[str, str] | None = None, items: str = "", **asked: Any
) -> list[FoundCustomer]:
    question = Question(**asked) if asked else CALLER
    return compile_map(fields or LEAST, items).read(document, "crm", question, "RU", MOSCOW)


def test_everything_a_card_has() -> None:
    (found,) = read({"result": [PETROV]}, EVERYTHING, "$.result[*]")
    assert (found.source, found.external_id, found.id, found.kind) == ("crm", "42", None, "person")
    assert (found.name, found.greet_as, found.manager) == ("Петров Иван", "Иван Сергеевич", "101")
    assert found.category and found.category.code == "vip"
    assert (found.url, found.tags) == ("https://crm.example/42", ["new", "5"])
    assert found.attributes == {"birthday": "1980-01-01", "cities": "Тверь, Москва"}
    assert found.preferences == {"call after": "18:00"}
    assert [(n.name, n.source) for n in found.names] == [("Ваня", "crm")]
    assert [(p.name, p.role, p.source) for p in found.people] == [("Анна", "жена", "crm")]
    assert [(a.number, a.status) for a in found.accounts] == [("77", "active")]
    ticket, order = found.tickets[0], found.orders[0]
    assert (len(found.tickets), ticket.number, ticket.status) == (1, "R1", "open")
    assert ticket.opened_at == datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    assert (order.amount, order.ordered_at) == ("1990 RUB", datetime(2025, 11, 21, 7, 30, tzinfo=UTC))


@pytest.mark.parametrize("document", [None, [], {}, [{}], {"name": None, "id": 1}, [{"name": " ", "id": 1}]])
def test_nobody_is_nobody(document: Any) -> None:
    assert read(document) == []


def test_the_answer_itself_or_each_of_its_list() -> None:
    one, two = {"name": "A", "id": 1}, {"name": "B", "id": 2}
    assert [c.name for c in read(one)] == ["A"]
    assert [c.name for c in read([one, two])] == ["A", "B"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"name": ["a"], "id": 1}, "customer 1: name: a list where a text belongs"),
        ({"name": {"x": 1}, "id": 1}, "customer 1: name: an object where a text belongs"),
        ({"name": True, "id": 1}, "customer 1: name: true or false where a text belongs"),
        ({"name": "A"}, "customer 1: external_id: field required"),
        ({"name": "A", "id": "x" * 201}, "customer 1: external_id: is longer than 200 characters"),
        ("<html>", "customer 1 is no JSON object"),
        ([{"name": f"N{i}", "id": i} for i in range(10_000)], "more than 20 customers"),
    ],
)
def test_wrong_types_are_refused_in_words_without_values(document: Any, sentence: str) -> None:
    with pytest.raises(AnswerRefused) as error:
        read(document)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("field", "path", "value", "sentence"),
    [
        ("url", "$.x", "javascript:alert(1)", "url: must begin with https://"),
        ("url", "$.x", "//evil", "url: must begin with https://"),
        ("kind", "$.x", "spaceship", "kind: is neither person nor company"),
        ("url", "$.x[*]", ["https://a", "https://b"], "url: the path finds 2 values where one belongs"),
        ("tags", "$.x[*]", [{"a": 1}], "tags: an object where a text belongs"),
    ],
)
def test_lies_of_one_field(field: str, path: str, value: Any, sentence: str) -> None:
    with pytest.raises(AnswerRefused) as error:
        read({"name": "A", "id": 1, "x": value}, {**LEAST, field: path})
    assert sentence in str(error.value)


def test_a_date_nobody_can_read_is_refused() -> None:
    fields = {**LEAST, "tickets[]": "$.t[*]", "tickets[].number": "$.n", "tickets[].subject": "$.n"}
    with pytest.raises(AnswerRefused, match="no date that can be read"):
        read({"name": "A", "id": 1, "t": [{"n": 1, "d": "soon"}]}, {**fields, "tickets[].opened_at": "$.d"})


def test_long_texts_and_lists_are_cut_not_refused() -> None:
    (found,) = read({"name": "A" * 5000, "id": 1, "tags": ["t" * 500] * 100}, {**LEAST, "tags": "$.tags[*]"})
    assert (len(found.name), len(found.tags), len(found.tags[0])) == (300, 20, 100)


def test_customers_with_other_numbers_are_not_the_callers() -> None:
    fields = {**LEAST, "number": "$.phone"}
    mine, other = (
        {"name": "A", "id": 1, "phone": "8 900 111-22-33"},
        {"name": "B", "id": 2, "phone": "84951234567"},
    )
    assert [c.name for c in read([mine, other], fields)] == ["A"]
    assert [c.name for c in read([{"name": "C", "id": 3}], fields)] == ["C"]
    with pytest.raises(AnswerRefused, match="other numbers"):
        read([other], fields)


def test_found_by_the_contract_that_was_typed() -> None:
    fields = {**LEAST, "number": "$.phone", "accounts[]": "$.acc[*]", "accounts[].number": "$"}
    document = [{"name": "A", "id": 1, "phone": "84951234567", "acc": ["77-A"]}, {"name": "B", "id": 2}]
    found = read(document, fields, number="+79001112233", account="77-a")
    assert [c.matched_by for c in found] == [MatchedBy.ACCOUNT, MatchedBy.NUMBER]
    assert read(document[1], number=None, account="5")[0].matched_by is MatchedBy.ACCOUNT


@pytest.mark.parametrize(
    ("fields", "items", "sentence"),
    [
        ({"name": "$.name"}, "", "where the external_id is"),
        ({**LEAST, "nmae": "$.x"}, "", "'nmae' is no field of a customer"),
        ({**LEAST, "accounts[].colour": "$.x"}, "", "'accounts[].colour' is no field"),
        ({**LEAST, "accounts.number": "$.x"}, "", "'accounts.number' is no field"),
        ({**LEAST, "accounts[].number": "$.x"}, "", "where the accounts are: add accounts[]="),
        (
            {**LEAST, "tickets[]": "$.x[*]", "tickets[].number": "$.n"},
            "",
            "where the subject of one of the tickets",
        ),
        ({"name": "name", "external_id": "$.id"}, "", "name is no JSONPath: name ("),
        ({"name": "$.[", "external_id": "$.id"}, "", "name is no JSONPath: $.["),
        (LEAST, "$.result[", "the path is no JSONPath"),
    ],
)
def test_a_wrong_map_says_what_to_write(fields: dict[str, str], items: str, sentence: str) -> None:
    with pytest.raises(MapError) as error:
        compile_map(fields, items)
    assert sentence in str(error.value)
    assert error.value.setting == ("ITEMS" if items else "MAP")


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(PETROV)), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(json)
def test_no_answer_raises_anything_else(document: Any) -> None:
    try:
        found = compile_map(EVERYTHING).read(document, "crm", CALLER, "RU", MOSCOW)
    except AnswerRefused:
        return
    for customer in found:
        assert customer.name
        FoundCustomer.model_validate_json(customer.model_dump_json())
