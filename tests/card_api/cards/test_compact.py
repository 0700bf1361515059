"""The card in the space of a pop-up."""

from httpx import AsyncClient

from card_api.cards.compact import compact
from card_api.cards.places import places
from card_api.cards.render import Knowledge, render
from card_api.lookup.schemas import Found, FoundCustomer, RankedCategory
from shared.contracts.card import Card, CompactCard, Note, Order, PastCall, Ticket
from tests.card_api.conftest import Send, until
from tests.card_api.makers import DIRECTORY, NOON, SITE, at, call, leg, ringing

TICKETS = [Ticket(number=f"T-{n}", subject="Нет интернета", status="открыта", source="crm") for n in range(3)]
ORDERS = [Order(number=f"{n}", title="Роутер", source="crm") for n in range(2)]
PETER = FoundCustomer(
    id="p",
    source="crm",
    external_id="1",
    kind="person",
    name="Иванов Пётр Сергеевич",
    category=RankedCategory(code="vip", label="VIP", colour="#b8860b"),
    tags=["a", "b", "c", "d"],
    tickets=TICKETS,
    orders=ORDERS,
    notes=[Note(id="n", text="перезвонить", author="101", at=at(-60))],
)
PAST = [PastCall(call_id=f"x-{n}", at=at(-900 * n), direction="inbound") for n in range(1, 5)]


def test_the_first_of_each_and_how_many_more() -> None:
    ring = call(legs=(leg("101"),))
    knowledge = Knowledge(Found(customers=[PETER], history=PAST))
    full = render(ring, 7, places(ring, DIRECTORY)[0], knowledge, DIRECTORY, SITE, NOON)
    small = compact(full)
    assert (small.call_id, small.rev, small.state, small.match, small.expires_at) == (
        (full.call_id, full.rev, full.state, full.match, full.expires_at)
    )
    assert (small.call, small.greeting) == (full.call, "Добрый день, Пётр Сергеевич!")
    assert (small.caller.name, small.caller.display_number) == ("Иванов Пётр Сергеевич", "+7 900 111-22-33")
    assert small.caller.category == full.caller.category
    assert small.caller.tags == ["a", "b", "c"]
    assert (small.ticket, small.order) == (TICKETS[0], ORDERS[0])
    assert small.counts.model_dump() == {
        "candidates": 0, "history": 4, "tickets": 3, "orders": 2, "notes": 1, "callbacks": 0,
    }  # fmt: skip
    assert len(small.to_json()) < len(full.to_json()) / 2


async def test_over_http(client: AsyncClient, token: str, send: Send) -> None:
    await send(ringing(number="+79001112233"))

    async def ask(form: str) -> str | None:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.get("/api/v1/cards/main-1.1", params={"form": form}, headers=headers)
        if answer.status_code == 404 or '"customer_id":null' in answer.text:
            return None
        assert answer.status_code == 200, answer.text
        return answer.text

    small = CompactCard.model_validate_json(await until(lambda: ask("compact")))
    full = Card.model_validate_json(await until(lambda: ask("full")))
    assert small == compact(full)
    refused = await client.get(
        "/api/v1/cards/main-1.1", params={"form": "tiny"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status_code == 422
