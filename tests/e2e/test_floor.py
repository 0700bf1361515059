"""Queues and phones as the PBX sees them, from its events to the REST API."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.simulator.config import LEAST_ACCOUNT
from services.simulator.simulator import Simulator
from tests.e2e.conftest import CLIENT, Start
from tests.e2e.stack import Stack

# The floor is written four times a second; nobody has an event for a key that changed in Redis through HTTP.
_LOOK_AGAIN = 0.05
_DEADLINE = 10.0


async def seen(stack: Stack, path: str, token: str, want: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the API answers, once it is as wanted."""
    answer: dict[str, Any] = {}
    try:
        async with asyncio.timeout(_DEADLINE):
            while True:
                response = await stack.http.get(path, headers={"Authorization": f"Bearer {token}"})
                assert response.status_code in (200, 404), response.text
                answer = response.json()
                if response.status_code == 200 and want(answer):
                    return answer
                await asyncio.sleep(_LOOK_AGAIN)
    except TimeoutError:
        raise AssertionError(f"{path} never was as wanted: {answer}") from None


async def test_who_waits_and_what_the_phones_do(pbx: Simulator, start: Start) -> None:
    """With the least account, too: queues and phones are of the classes call and agent."""
    async with start(LEAST_ACCOUNT) as stack:
        token = await stack.token("101")
        support, phones = "/api/v1/pbx/main/queues/support", "/api/v1/pbx/main/phones"
        before = await seen(stack, support, token, lambda a: len(a["queue"]["members"]) == 4)
        assert before["queue"]["waiting"] == []
        assert [m["agent"] for m in before["queue"]["members"]] == ["101", "102", "103", "104"]

        call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
        waits = await seen(stack, support, token, lambda a: bool(a["queue"]["waiting"]))
        (caller,) = waits["queue"]["waiting"]
        assert (caller["call_id"], caller["position"]) == (f"main-{call.uniqueid}", 1)
        assert "1112233" not in caller["caller"]["number"]  # masked for an agent
        assert waits["version"] > before["version"]
        rings = await seen(
            stack, phones, token, lambda a: any(i["phone"]["state"] == "ringing" for i in a["items"])
        )
        (phone,) = [i["phone"] for i in rings["items"] if i["phone"]["state"] == "ringing"]
        assert (phone["device"], phone["agent"]) == ("PJSIP/agent101", "101")

        await call.proceed()
        talks = await seen(stack, support, token, lambda a: any(m["in_call"] for m in a["queue"]["members"]))
        assert talks["queue"]["waiting"] == []
        await call.hang_up()
        over = await seen(stack, support, token, lambda a: a["queue"]["completed"] == 1)
        assert [m["calls_taken"] for m in over["queue"]["members"]] == [1, 0, 0, 0]
