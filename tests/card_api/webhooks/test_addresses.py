"""What is connected to is what was checked."""

from collections.abc import Sequence

import httpx
import pytest

from card_api.webhooks.addresses import GuardedTransport, Refused
from card_api.webhooks.sender import Receiver as To
from card_api.webhooks.sender import Sender
from tests.card_api.conftest import SECRET
from tests.card_api.webhooks.conftest import Clock
from tests.card_api.webhooks.receiver import Receiver
from tests.card_api.webhooks.test_pure import HOOK


def names(**known: Sequence[str]):  # type: ignore[no-untyped-def]
    async def resolve(host: str, port: int) -> Sequence[str]:
        if host not in known:
            raise OSError(-2, "Name or service not known")
        return known[host]

    return resolve


async def send(
    receiver: Receiver, host: str, allow_private: bool = True, **known: Sequence[str]
) -> str | None:
    url = httpx.URL(receiver.url).copy_with(host=host)
    sender = Sender(SECRET, True, Clock(), GuardedTransport(allow_private, names(**known)))
    try:
        return (await sender.send(To(HOOK, str(url), 1, None), "1", b"{}")).error
    finally:
        await sender.close()


async def test_the_name_is_said_to_the_address_that_was_checked(receiver: Receiver) -> None:
    assert await send(receiver, "crm", crm=["127.0.0.1"]) is None
    assert receiver.got[0].headers["host"].startswith("crm:")


async def test_the_next_address_is_tried(receiver: Receiver) -> None:
    assert await send(receiver, "crm", crm=["127.0.0.2", "127.0.0.1"]) is None
    assert len(receiver.got) == 1


async def test_a_name_for_metadata_gets_nothing(receiver: Receiver) -> None:
    error = await send(receiver, "crm", crm=["169.254.169.254"])
    assert error is not None
    assert "link-local" in error
    assert await send(receiver, "crm", crm=["169.254.169.254", "127.0.0.1"]) is None, "the other is fine"


async def test_private_names_get_nothing_where_the_site_says_so(receiver: Receiver) -> None:
    error = await send(receiver, "crm", allow_private=False, crm=["127.0.0.1", "10.0.0.1"])
    assert error is not None
    assert "CALLCARD_WEBHOOKS__ALLOW_PRIVATE" in error
    assert receiver.got == []


async def test_a_name_nobody_knows_is_a_sentence(receiver: Receiver) -> None:
    assert await send(receiver, "nobody") == (
        "No connection: the name nobody cannot be looked up: Name or service not known."
    )


async def test_an_address_without_a_name_is_checked_too() -> None:
    async with httpx.AsyncClient(transport=GuardedTransport(True)) as client:
        with pytest.raises(Refused):
            await client.post("http://169.254.169.254/latest/meta-data")
        with pytest.raises(Refused):
            await client.post("http://[fe80::1]/")
