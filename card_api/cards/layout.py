"""What a site's cards show beyond what every card shows: free fields, links."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from card_api.lookup.schemas import FoundCustomer
from shared.contracts.card import Attribute, Link
from shared.links import LinkTemplate


@dataclass(frozen=True, slots=True)
class Layout:
    """attributes: names of free fields, in the card's order. links: in the card's order."""

    attributes: tuple[str, ...] = ()
    links: tuple[LinkTemplate, ...] = ()


def attributes(customer: FoundCustomer, layout: Layout) -> list[Attribute]:
    """Those of the customer's free fields that the layout names and that say something."""
    if not layout.attributes or not customer.attributes:
        return []
    shown = ((name, _as_text(customer.attributes.get(name))) for name in layout.attributes)
    return [
        Attribute(name=name, value=text, source=customer.origins.get(f"attributes.{name}", customer.source))
        for name, text in shown
        if text
    ]


def links(
    layout: Layout,
    customer: FoundCustomer | None,
    *,
    number: str | None,
    account: str | None,
    call_id: str | None,
) -> tuple[Link, ...]:
    """The customer's own pages, then the site's templates that can be filled.

    `account`: the one given in this call; else it is the customer's first. A template of one source is filled with the
    customer's key there, so a customer merged from two systems has a link into each.
    """
    if customer is None and not layout.links:
        return ()
    own = [] if customer is None else _own_pages(customer)
    about = {"number": number, "account": account, "call_id": call_id}
    made = [Link(label=t.label, url=url) for t in layout.links if (url := _filled(t, customer, about))]
    return (*own, *made)


def _own_pages(customer: FoundCustomer) -> list[Link]:
    pages = {customer.url: customer.origins.get("url", customer.source)} if customer.url else {}
    for record in customer.also:
        if record.url:
            pages.setdefault(record.url, record.source)
    # A plug-in or an old row may hold anything; javascript: has no business on an agent's screen.
    return [
        Link(label=source, url=url)
        for url, source in pages.items()
        if url.lower().startswith(("https://", "http://"))
    ]


def _filled(
    template: LinkTemplate, customer: FoundCustomer | None, about: Mapping[str, str | None]
) -> str | None:
    if customer is None:
        return template.fill(about) if template.source is None else None
    record = _of_source((customer, *customer.also), template.source)
    if record is None:
        return None
    account = about["account"] or (customer.accounts[0].number if customer.accounts else None)
    key = {"external_id": record.external_id, "source": record.source, "customer_id": record.id}
    return template.fill({**about, **key, "account": account})


def _of_source(records: Iterable[FoundCustomer], source: str | None) -> FoundCustomer | None:
    return next((record for record in records if source is None or record.source == source), None)


def _as_text(value: Any) -> str:
    """A JSON value as people read it; "" for what says nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return ", ".join(text for text in map(_as_text, value) if text)
    return json.dumps(value, ensure_ascii=False)
