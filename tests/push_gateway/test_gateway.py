"""The gateway over real sockets and a real Valkey."""

from shared.contracts.push import DeskSnapshot
from shared.push import PushPublisher
from tests.push_gateway.helpers import Running, make_card


async def test_the_connect_reply_has_the_desk_and_what_follows_has_offsets(
    gateway: Running, publisher: PushPublisher
) -> None:
    card = make_card()
    await publisher.publish_card(card)
    async with gateway.raw() as client:
        result = (await client.connect())["connect"]
        desk = DeskSnapshot.model_validate(result["data"])
        assert desk.cards == [card]
        assert desk.complete
        assert result["ping"] == 25
        assert result["pong"] is True
        subscription = result["subs"]["agent:101"]
        assert subscription["recoverable"]
        assert not subscription["recovered"]
        assert (desk.epoch, desk.offset) == (subscription["epoch"], subscription["offset"])
        assert desk.offset == 1

        answered = make_card(rev=2, state="answered")
        await publisher.publish_card(answered)
        pushed = (await client.hear())["push"]
        assert pushed == {
            "channel": "agent:101",
            "pub": {"data": {"type": "card", "card": answered.to_dict()}, "offset": 2},
        }
