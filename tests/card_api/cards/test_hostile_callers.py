"""Whatever a trunk sends as caller id: the phone rings, the card is there, the record keeps it."""

from typing import Any

from httpx import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.calls.models import calls
from shared.contracts.call import Caller
from shared.contracts.card import Card, MatchKind
from tests.card_api.conftest import Send, until
from tests.card_api.makers import call, leg, update

HOSTILE = [
    "' or '1'='1",
    "'; drop table customers; --",
    '"><script>alert(1)</script>',
    "\\",
    "%s%s%n{}{number}${jndi:ldap://x}",
    "\u202e33221110097+",
    "+7900\u200b111\u200e2233",
    "+7900111\u0662\u0662\u0663\u0663",
    "📞👩‍👩‍👧",
    "NUL\0NUL",
    "\ud800",
    "line\nbreak\ttab",
    "x" * 10_000,
    "9" * 10_000,
    "+" * 10_000,
    " " * 10_000,
    "*100#",
    "sip:+79001112233@host;user=phone",
    "-1",
    "1e400",
    "null",
]


def sendable(raw: str) -> bool:
    """A lone half of a character cannot be written as UTF-8, so no listener can send it."""
    return not any("\ud800" <= sign <= "\udfff" for sign in raw)


async def test_each_rings_with_a_card_and_is_kept(
    client: AsyncClient, token: str, send: Send, engine: AsyncEngine
) -> None:
    told = [raw for raw in HOSTILE if sendable(raw)]
    for n, raw in enumerate(told):
        caller = Caller(number=raw, name=raw, endpoint="PJSIP/trunk")
        of = call(
            f"main-{n}.1", legs=(leg("101"),), caller=caller, variables={"Contract": raw, raw[:64]: raw}
        )
        await send(update(of, 10))
    headers = {"Authorization": f"Bearer {token}"}
    for n, raw in enumerate(told):

        async def card(call_id: str = f"main-{n}.1") -> Card | None:
            answer = await client.get(f"/api/v1/cards/{call_id}", headers=headers)
            assert answer.status_code in (200, 404), answer.text
            return Card.model_validate(answer.json()) if answer.status_code == 200 else None

        got = await until(card)
        # Signs that nobody can have typed are no part of a number; what is left of it may be one.
        is_customer = raw in ("+7900\u200b111\u200e2233", "+7900111\u0662\u0662\u0663\u0663", HOSTILE[-4])
        assert (got.caller.name is not None) == is_customer, raw[:50]
        nobody = MatchKind.WITHHELD if raw == "null" else MatchKind.NONE
        assert got.match is (MatchKind.ONE if is_customer else nobody), raw[:50]
        shown = got.call.number or ""
        assert len(shown) <= 64
        assert set(shown).isdisjoint("\0\u200b\u202e\n"), "shown as it is read"

    async def kept() -> dict[str, Any]:
        async with engine.connect() as connection:
            rows = await connection.execute(
                select(calls.c.call_id, calls.c.document).where(calls.c.pbx == "main")
            )
            found = {row.call_id: row.document for row in rows}
        return found if len(found) == len(told) else {}

    documents = await until(kept)
    for n, raw in enumerate(told):
        assert documents[f"main-{n}.1"]["caller"]["number"] == raw.replace("\0", ""), raw[:50]

    async def audited() -> bool:
        async with engine.connect() as connection:
            read = text(
                "select count(distinct detail ->> 'call_id') from audit_log where action = 'card.read'"
            )
            return await connection.scalar(read) == len(told)

    assert await until(audited), "no caller id keeps the audit log from being written"
    async with engine.connect() as connection:
        assert await connection.scalar(text("select count(*) from customers")), "the table is still there"


async def test_the_look_up_by_key_answers_or_says_what_is_wrong(client: AsyncClient, api_key: str) -> None:
    for raw in filter(sendable, HOSTILE):
        for asked in ({"number": raw}, {"account": raw}, {"number": "+79990000000", "account": raw}):
            answer = await client.get("/api/v1/lookup", params=asked, headers={"X-API-Key": api_key})
            assert answer.status_code in (200, 422), (asked.keys(), answer.text[:200])
            if answer.status_code == 200 and "account" in asked:
                assert answer.json()["match"] in ("none", "withheld"), "nobody has such an account"
