"""From a ring on the PBX to the row that says who saw it; and sessions that end."""

import asyncio

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentService
from services.simulator.simulator import Simulator
from shared.contracts.card import CardState
from tests.e2e.conftest import CLIENT
from tests.e2e.stack import DEADLINE, Stack, Tab


async def test_a_ring_says_who_saw_it_and_why_not(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    seen = await pbx.place("direct_did", caller=CLIENT, agent="101", pace="manual")
    unseen = await pbx.place("direct_did", agent="102", pace="manual")
    card = await tab.card(lambda c: c.state is CardState.RINGING)
    for what in ("card.shown", "card.opened"):
        await tab.client.rpc(what, {"call_id": card.call_id, "rev": card.rev})

    (one,) = await stack.rings(card.call_id, lambda ring: ring["opened"])
    assert one["agent"] == "101"
    way = [one[moment] for moment in ("arrived", "rang", "pushed", "shown", "opened")]
    assert way == sorted(way) and one["arrived"] <= one["looked_up"] <= one["shown"]

    (other,) = await stack.rings(f"main-{unseen.uniqueid}", lambda ring: ring["unseen"])
    assert (other["agent"], other["shown"], other["unseen"]) == ("102", None, "no_tab")
    figures = (await stack.http.get("/metrics")).text
    assert 'callcard_rings_unseen_total{reason="no_tab"} 1.0' in figures
    assert 'callcard_ring_seconds_count{stage="rang_to_shown"} 1.0' in figures
    await seen.hang_up()
    await unseen.hang_up()


async def closed(tab: Tab, code: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while tab.disconnected is None:  # noqa: ASYNC110 - the SDK's event only writes it down
            await asyncio.sleep(0.02)
    assert tab.disconnected.code == code


async def test_sessions_end_everywhere(stack: Stack, engine: AsyncEngine, redis: Redis) -> None:
    async def status(token: str) -> int:
        answer = await stack.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    first, second, colleague = await stack.tab("101"), await stack.tab("101"), await stack.tab("102")
    token, other = await stack.token("101"), await stack.token("102")
    answer = await stack.http.post("/api/v1/auth/sign-out", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 204
    await closed(first, 4500)
    await closed(second, 4500)
    assert (await status(token), await status(other)) == (401, 200)
    await (await stack.tab("101")).close()

    done = await AgentService(AgentRepository(engine), redis).switch("102", active=False)
    assert done.told
    await closed(colleague, 4501)
    async with asyncio.timeout(DEADLINE):
        while await status(other) != 401:  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(0.02)
    refused = await stack.http.post(
        "/api/v1/auth/sign-in", json={"login": "102", "password": "whatever it is"}
    )
    assert refused.status_code == 401
