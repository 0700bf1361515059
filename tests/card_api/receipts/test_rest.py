"""Rings over HTTP: for supervisors and API keys."""

from typing import Any

from httpx import AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.receipts.query import RingFilter, statement
from card_api.receipts.repository import RingRepository
from card_api.receipts.ring import Ring, Unseen
from tests.card_api.conftest import sign_in
from tests.card_api.makers import at

RINGS = "/api/v1/rings"


def ring(n: int, login: str = "101", unseen: Unseen | None = None, shown: float | None = None) -> Ring:
    """The call main-n rings at this agent at second n."""
    seen = None if shown is None else at(shown)
    return Ring(f"main-{n}", login, at(n), 1, at(0), None, at(n), shown=seen, unseen=unseen)


async def test_rings_are_for_supervisors_and_keys(client: AsyncClient, engine: AsyncEngine) -> None:
    repository = RingRepository(engine)
    many = [ring(n, shown=n + 0.1) for n in range(1, 4)]
    await repository.add([*many, ring(3, "102"), ring(4, "102")])
    await repository.judge([ring(3, "102", Unseen.NO_TAB), ring(4, "102", Unseen.SLOW)])
    boss = {"Authorization": f"Bearer {await sign_in(client, '104')}"}

    async def names(headers: dict[str, str], **query: Any) -> list[tuple[str, str]]:
        answer = await client.get(RINGS, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return [(one["call_id"], one["agent"]) for one in answer.json()["items"]]

    everything = [
        ("main-4", "102"),
        ("main-3", "102"),
        ("main-3", "101"),
        ("main-2", "101"),
        ("main-1", "101"),
    ]
    assert await names(boss) == everything
    assert await names(boss, agent="102", unseen="true") == everything[:2]
    assert await names(boss, unseen="false") == everything[2:]
    assert await names(boss, since=at(2).isoformat(), until=at(4).isoformat()) == everything[1:4]

    pages: list[tuple[str, str]] = []
    following: str | None = ""
    while following is not None:
        query = {"limit": 2, **({"cursor": following} if following else {})}
        body = (await client.get(RINGS, params=query, headers=boss)).json()
        pages += [(one["call_id"], one["agent"]) for one in body["items"]]
        following = body["next"]
    assert pages == everything

    of_call = (await client.get("/api/v1/calls/main-3/rings", headers=boss)).json()["items"]
    assert of_call == [
        {
            "call_id": "main-3",
            "agent": agent,
            "arrived": "2126-11-21T09:00:00.000Z",
            "looked_up": None,
            "rang": "2126-11-21T09:00:03.000Z",
            "pushed": "2126-11-21T09:00:03.000Z",
            "shown": shown,
            "opened": None,
            "unseen": unseen,
        }
        for agent, shown, unseen in (("101", "2126-11-21T09:00:03.100Z", None), ("102", None, "no_tab"))
    ]

    keys = ApiKeyService(ApiKeyRepository(engine), now_utc)
    assert await names({"X-API-Key": await keys.create("CRM", ["calls:read"])}) == everything
    agent = {"Authorization": f"Bearer {await sign_in(client, '101')}"}
    for headers in (agent, {"X-API-Key": await keys.create("CRM", ["lookup"])}):
        for path in (RINGS, "/api/v1/calls/main-3/rings"):
            assert (await client.get(path, headers=headers)).status_code == 403
    unknown = await client.get("/api/v1/calls/main-99/rings", headers=boss)
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:callcard:error:not-found")
    assert (await client.get(RINGS, params={"cursor": "x"}, headers=boss)).status_code == 422


async def test_each_filter_finds_its_index(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:  # never committed
        await connection.execute(
            text(
                "insert into rings (call_id, agent, rang, rev, arrived, pushed, unseen) "
                "select 'c' || n, (n % 50)::text, now() - n * interval '1 minute', 1, now(), now(), "
                "case when n % 100 = 0 then 'no_tab' end from generate_series(1, 20000) n"
            )
        )
        await connection.execute(text("analyze rings"))
        for wanted, index in (
            (RingFilter(), "rings_rang_idx"),
            (RingFilter(agent="7"), "rings_agent_idx"),
            (RingFilter(unseen=True), "rings_unseen_idx"),
        ):
            compiled = statement(wanted, 50).compile(
                connection.engine, compile_kwargs={"literal_binds": True}
            )
            plan = "\n".join((await connection.execute(text(f"explain {compiled}"))).scalars())
            assert index in plan, plan
