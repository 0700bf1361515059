"""One picture of what several say, whatever came first."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from card_api.lookup.schemas import Found, FoundCustomer, RankedCategory, Talk
from card_api.sources.merge import Key, Ours, Told, merged
from shared.contracts.card import Account, MatchedBy, Named, Note, Person, Ticket

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def customer(source: str = "crm", external_id: str = "1", name: str = "Иванов", **more: Any) -> FoundCustomer:
    return FoundCustomer(source=source, external_id=external_id, name=name, **{"kind": "person", **more})


def told(*customers: FoundCustomer, source: str = "crm", priority: int = 100) -> Told:
    return Told(source, priority, customers)


def test_the_same_key_is_the_same_customer_and_what_the_system_says_now_goes_before() -> None:
    own = customer(id="u1", name="Иванов П.", manager="102", greet_as="Пётр", purpose="mobile")
    own = own.model_copy(
        update={"category": RankedCategory(code="vip", label="VIP", colour="#fc0", priority=5)}
    )
    live = customer(name="Иванов Пётр", manager="101", category=RankedCategory(code="vip", label="vip"))
    (one,) = merged(Found(customers=[own]), [told(live)], {}).customers
    assert (one.id, one.name, one.manager, one.greet_as, one.purpose) == (
        "u1",
        "Иванов Пётр",
        "101",
        "Пётр",
        "mobile",
    )
    assert one.category == own.category  # its colour is ours to know
    assert [n.name for n in one.names] == ["Иванов П."]
    assert one.origins == {}  # all of it is the CRM's word, as the record is


def test_a_source_below_our_tables_only_fills_gaps() -> None:
    own = customer(id="u1", manager="102")
    live = customer(name="Другой", manager="101", url="https://crm/1", tags=["new"])
    (one,) = merged(Found(customers=[own]), [told(live, priority=10)], {}).customers
    assert (one.name, one.manager, one.url, one.tags) == ("Иванов", "102", "https://crm/1", ["new"])


def test_what_another_source_says_of_our_customer_has_its_origin() -> None:
    """Billing's record stands for the CRM's: two keys, one customer."""
    own = customer(
        "billing", "77", "ООО Ромашка", id="u1", category=RankedCategory(code="debtor", label="Должник")
    )
    live = customer("crm", "1", "Ромашка", manager="101", attributes={"city": "Тверь"})
    ours = {("crm", "1"): Ours("u1", "billing", "77")}
    (one,) = merged(Found(customers=[own]), [told(live)], ours).customers
    assert (one.id, one.source, one.external_id, one.name) == ("u1", "billing", "77", "Ромашка")
    assert one.origins == {"name": "crm", "kind": "crm", "manager": "crm", "attributes.city": "crm"}
    (also,) = merged(Found(customers=[own.model_copy(update={"also": [live]})]), [told(live)], {}).customers
    assert also.id == "u1"


def test_a_customer_of_the_crm_whom_our_tables_have_under_another_number_is_ours() -> None:
    ours = {("crm", "1"): Ours("u9", "crm", "1")}
    (one,) = merged(Found(), [told(customer())], ours).customers
    assert one.id == "u9"
    (stranger,) = merged(Found(), [told(customer())], {}).customers
    assert stranger.id is None


def test_lists_come_together_without_doubles_newest_first() -> None:
    def ticket(number: str, subject: str, hour: int | None, source: str = "crm") -> Ticket:
        opened = None if hour is None else NOON.replace(hour=hour)
        return Ticket(number=number, subject=subject, status="open", opened_at=opened, source=source)

    own = customer(
        id="u1",
        people=[Person(name="Анна", role="жена", source="agent:101")],
        accounts=[Account(number="A-1", status="blocked", source="crm")],
        tickets=[
            ticket("1", "старое", 8),
            ticket("1", "чужое", 9, "helpdesk"),
            ticket("2", "без даты", None),
        ],
        notes=[Note(id="n", text="t", author="101", at=NOON)],
        last_talk=Talk(at=NOON),
    )
    live = customer(
        people=[Person(name=" анна", source="crm"), Person(name="АННА", source="crm")],
        accounts=[Account(number="a-1", status="active", source="crm")],
        tickets=[ticket("1", "новое", 10)],
    )
    (one,) = merged(Found(customers=[own]), [told(live)], {}).customers
    assert [(t.subject) for t in one.tickets] == ["новое", "чужое", "без даты"]
    assert [(a.number, a.status) for a in one.accounts] == [("a-1", "active")]
    assert [(p.name, p.source) for p in one.people] == [(" анна", "crm")]
    assert (one.notes, one.last_talk) == (own.notes, own.last_talk)


def test_nothing_told_is_our_answer_untouched() -> None:
    own = Found(customers=[customer(id="u1")])
    assert merged(own, [], {}) is own
    assert merged(own, [told()], {}) is own


NAMES = st.sampled_from(["Иванов", "Петров", "ООО Ромашка"])
CUSTOMERS = st.builds(
    customer,
    source=st.just("?"),
    external_id=st.sampled_from(["1", "2", "3"]),
    name=NAMES,
    manager=st.none() | st.sampled_from(["101", "102"]),
    greet_as=st.none() | NAMES,
    tags=st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    attributes=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"])),
    matched_by=st.sampled_from([MatchedBy.NUMBER, MatchedBy.ACCOUNT]),
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[Found, list[Told], dict[Key, Ours]]:
    def of(source: str, **more: Any) -> list[FoundCustomer]:
        found = draw(st.lists(CUSTOMERS, max_size=3, unique_by=lambda c: c.external_id))
        return [c.model_copy(update={"source": source, **more}) for c in found]

    sources = draw(st.lists(st.sampled_from(["crm", "erp", "billing"]), unique=True))
    said = [Told(source, draw(st.sampled_from([10, 100])), of(source)) for source in sources]
    own = [c.model_copy(update={"id": f"ours-{c.external_id}"}) for c in of("crm")]
    ours = {("erp", "1"): Ours("ours-1", "crm", "1"), ("billing", "2"): Ours("other", "erp", "2")}
    return Found(customers=own), said, ours


@given(stories(), st.randoms())
def test_the_order_of_arrival_does_not_matter(
    story: tuple[Found, list[Told], dict[Key, Ours]], random: Any
) -> None:
    own, said, ours = story
    shuffled = list(said)
    random.shuffle(shuffled)
    found = merged(own, shuffled, ours)
    assert found == merged(own, said, ours)
    # Nobody is lost, nobody is there twice.
    keys = {(c.source, c.external_id) for c in found.customers}
    assert len(keys) == len(found.customers)
    told_names = {c.name for one in said for c in one.customers} | {c.name for c in own.customers}
    assert told_names == {n for c in found.customers for n in (c.name, *(n.name for n in c.names))}
    # The highest priority that says something is what is shown.
    by_key = {c.external_id: c for one in said if one.source == "crm" for c in one.customers}
    for c in own.customers:
        shown = next(f for f in found.customers if f.id == c.id)
        crm = next((one for one in said if one.source == "crm"), None)
        if crm and crm.priority == 100 and c.external_id in by_key and c.external_id != "1":
            assert shown.name == by_key[c.external_id].name


def test_a_name_said_otherwise_is_kept_with_who_says_so() -> None:
    own = customer(id="u1", names=[Named(name="Ваня", source="callcard")])
    (one,) = merged(Found(customers=[own]), [told(customer(name="Петров"))], {}).customers
    assert [(n.name, n.source) for n in one.names] == [("Иванов", "crm"), ("Ваня", "callcard")]
