"""Several records of one customer as one."""

from typing import Any

from card_api.lookup.merging import completed, with_merged_records
from card_api.lookup.schemas import Found, FoundCustomer, RankedCategory
from shared.contracts.card import Named


def record(source: str, name: str = "Иванов Пётр", **more: Any) -> FoundCustomer:
    return FoundCustomer(source=source, external_id=f"{source}-1", kind="person", name=name, **more)


VIP = RankedCategory(code="vip", label="VIP", priority=10)
PLAIN = RankedCategory(code="plain", label="Обычный")


def test_the_first_records_own_fields_stay_and_gaps_are_filled_from_the_others_in_order() -> None:
    first = record("crm", manager="101")
    billing = record("billing", manager="102", category=PLAIN)
    shop = record("shop", category=VIP, greet_as="Пётр", url="https://shop.example/1")
    whole = completed(first, [billing, shop])
    assert (whole.source, whole.external_id, whole.manager) == ("crm", "crm-1", "101")
    assert (whole.category, whole.greet_as, whole.url) == (PLAIN, "Пётр", "https://shop.example/1")
    assert whole.origins == {"category": "billing", "greet_as": "shop", "url": "shop"}


def test_tags_preferences_and_attributes_come_together_with_where_they_are_from() -> None:
    first = record("crm", tags=["a", "b"], preferences={"call": "after 18"}, attributes={"city": "Казань"})
    other = record(
        "billing", tags=["b", "c"], preferences={"call": "never", "mail": "no"}, attributes={"tariff": 100}
    )
    whole = completed(first, [other])
    assert whole.tags == ["a", "b", "c"]
    assert whole.preferences == {"call": "after 18", "mail": "no"}
    assert whole.attributes == {"city": "Казань", "tariff": 100}
    assert whole.origins == {"preferences.mail": "billing", "attributes.tariff": "billing"}


def test_another_name_is_a_name_they_go_by_and_never_glued_to_the_first() -> None:
    whole = completed(record("crm"), [record("billing", "ИВАНОВ П."), record("shop")])
    assert (whole.name, whole.names) == ("Иванов Пётр", [Named(name="ИВАНОВ П.", source="billing")])


def test_nothing_is_changed_in_place() -> None:
    first = record("crm", tags=["a"])
    completed(first, [record("billing", tags=["b"], manager="102")])
    assert (first.tags, first.manager, first.origins) == (["a"], None, {})


def test_only_merged_customers_are_touched() -> None:
    alone = Found(customers=[record("crm")])
    assert with_merged_records(alone) is alone
    merged = record("crm", also=[record("billing", manager="102")])
    assert [c.manager for c in with_merged_records(Found(customers=[record("x"), merged])).customers] == [
        None,
        "102",
    ]
