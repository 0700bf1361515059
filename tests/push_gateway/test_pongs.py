"""Pings over a real WebSocket: who answers stays, who is silent goes, and a flood of answers is a flood."""

import pytest

from push_gateway import lifetime
from push_gateway.codes import NO_PONG, TOO_MANY_ERRORS
from shared.push import PushPublisher
from tests.push_gateway.helpers import RawClient, Running, make_card, token


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may be a second late.
    monkeypatch.setattr(lifetime, "PING_SECONDS", 1.5)
    monkeypatch.setattr(lifetime, "PONG_SECONDS", 1.2)


async def answer(client: RawClient, pings: int) -> list[dict[str, object]]:
    """Answer so many pings; everything else that came."""
    others = []
    while pings:
        message = await client.hear()
        if message == {}:
            await client.say({})
            pings -= 1
        else:
            others.append(message)
    return others


@pytest.mark.usefixtures("hasty")
async def test_who_answers_stays_and_hears_everything(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect("101")
        # An answer in several parts is one too, and so is one among other commands.
        await client.socket.send(["{", "}"])
        await client.say({}, {"id": 5, "rpc": {"method": "nobody knows"}})
        await publisher.publish_card(make_card())
        others = await answer(client, pings=2)  # one that is not heard is gone before the second
        assert {tuple(message) for message in others} == {("id", "error"), ("push",)}


@pytest.mark.usefixtures("hasty")
async def test_who_is_silent_goes(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect("101")
        assert (await client.closed())[0] == NO_PONG.code


async def test_the_beginning_of_a_command_is_no_answer(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect("101")
        await client.socket.send(["{}", '\n{"id":5,"rpc":{"method":"nobody knows"}}'])
        assert (await client.hear())["id"] == 5


async def test_an_answer_that_comes_with_the_greeting_is_taken(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with gateway.raw() as client:
        await client.say({"id": 1, "connect": {"token": token("101")}})
        await client.say({})
        assert "connect" in await client.hear()


async def test_a_flood_of_answers_is_a_flood(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect("101")
        # As a browser frames it, masked with zeros; more than a second's worth at once.
        client.socket.transport.write(2000 * (b"\x81\x82" + bytes(4) + b"{}"))
        assert (await client.closed())[0] == TOO_MANY_ERRORS.code


async def test_an_answer_before_anything_else_is_no_greeting(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with gateway.raw() as client:
        await client.say({})
        assert (await client.closed())[0] == 3501
