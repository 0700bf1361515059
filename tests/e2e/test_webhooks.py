"""From a call on the PBX to another system's address."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from services.runtime import Target
from services.simulator.simulator import Simulator
from tests.card_api.webhooks.receiver import Receiver, receiving
from tests.card_api.webhooks.zammad_rules import Zammad
from tests.e2e.conftest import CLIENT, Start
from tests.e2e.stack import PIECES


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as it:
        yield it


async def test_one_call_is_told_from_ring_to_end(
    pbx: Simulator, start: Start, engine: AsyncEngine, receiver: Receiver
) -> None:
    async with receiving() as helpdesk, start(targets=(*PIECES, Target.WORKER)) as stack:
        helpdesk.answer = zammad = Zammad()
        key = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", ["webhooks"])
        for name, to, format_ in (("CRM", receiver, "callcard"), ("Zammad", helpdesk, "zammad")):
            made = await stack.http.post(
                "/api/v1/webhooks",
                headers={"X-API-Key": key},
                json={"name": name, "url": to.url, "format": format_},
            )
            assert made.status_code == 201, made.text

        call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
        (started,) = await receiver.came(1)
        assert started.json["type"] == "call.started"
        assert started.json["data"]["state"] in ("new", "queued", "ringing")
        await call.proceed()
        await receiver.came(2)
        await call.hang_up()
        got = await receiver.came(3)
        assert [r.json["type"] for r in got] == ["call.started", "call.answered", "call.ended"]
        call_id = f"main-{call.uniqueid}"
        assert {r.json["data"]["call_id"] for r in got} == {call_id}
        ended = got[-1].json["data"]
        assert (ended["customer_number"], ended["agents"], ended["end_reason"]) == (
            CLIENT.number,
            ["101"],
            "completed",
        )
        await helpdesk.came(3)
        assert [said["event"] for said in zammad.said] == ["newCall", "answer", "hangup"]
        assert (zammad.said[0]["from"], zammad.said[-1]["cause"]) == (
            (CLIENT.number or "").lstrip("+"),
            "normalClearing",
        )
        ready = (await stack.http.get("/readyz")).json()
        assert ready["pieces"]["worker"]["status"] == "ready"
        listed = await stack.http.get("/api/v1/webhooks", headers={"X-API-Key": key})
        assert [hook["failing_since"] for hook in listed.json()["items"]] == [None, None]
