"""The AsyncAPI document says what is: against the code's tables, and against what a real gateway sends."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest
from pydantic import BaseModel

from card_api.cards.places import places
from card_api.cards.render import Knowledge, SourceReport, render
from card_api.lookup.schemas import Found, FoundCustomer
from push_gateway import asyncapi, codes
from push_gateway.protocol import METHODS
from shared import contracts, push_control
from shared.contracts.card import Card, SourceStatus, Ticket
from shared.push import PushPublisher, bus_name
from shared.push_rights import Right, right_to_hear
from tests.card_api.makers import DIRECTORY, NOON, SITE, at, call, leg
from tests.push_gateway.helpers import Running, token
from tests.push_gateway.test_transcripts import SCENES

DOCUMENT = asyncapi.document("1.2.3")


def everything(value: Any) -> Iterator[Any]:
    """The value and all that is in it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from everything(one)


def resolve(ref: str) -> Any:
    found: Any = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return found


def closed(value: Any) -> Any:
    """The same schemas, but with no room for fields they do not name."""
    if isinstance(value, list):
        return [closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: closed(one) for name, one in value.items()}
    return {**found, "additionalProperties": False} if isinstance(value.get("properties"), dict) else found


def validator(message: str) -> jsonschema_rs.Draft7Validator:
    payload = closed(DOCUMENT["components"]["messages"][message]["payload"])
    components = {"schemas": closed(DOCUMENT["components"]["schemas"])}
    return jsonschema_rs.Draft7Validator({"allOf": [payload], "components": components})


VALIDATORS = {message: validator(message) for message in DOCUMENT["components"]["messages"]}


def message_of(said: dict[str, Any]) -> str:
    """Which message of the document something that the gateway said is."""
    if "push" in said:
        what = next(name for name in said["push"] if name != "channel")
        return said["push"]["pub"]["data"]["type"] if what == "pub" else f"{what}_push"
    return f"{next(name for name in said if name != 'id')}_reply"


def check(said: dict[str, Any]) -> str:
    message = message_of(said)
    payload = said["push"]["pub"]["data"] if "pub" in said.get("push", {}) else said
    VALIDATORS[message].validate(payload)
    return message


def test_the_document_is_an_asyncapi_document() -> None:
    assert re.fullmatch(r"3\.0\.\d+", DOCUMENT["asyncapi"])
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"] == "1.2.3"
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
        assert set(re.findall(r"{(\w+)}", server["host"])) == server["variables"].keys()
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"] or "")) == channel.get("parameters", {}).keys()
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        for part in (operation, operation.get("reply", operation)):
            inside = f"{part['channel']['$ref']}/messages/"
            assert all(message["$ref"].startswith(inside) for message in part["messages"])
    refs = [one["$ref"] for one in everything(DOCUMENT) if isinstance(one, dict) and "$ref" in one]
    assert refs
    for ref in refs:
        resolve(ref)  # else KeyError
    # Every tool reads draft 7; what came later it does not.
    assert not {"prefixItems", "$defs", "unevaluatedProperties"} & {
        name for one in everything(DOCUMENT) if isinstance(one, dict) for name in one
    }


def test_every_command_error_and_close_code_is_in_it() -> None:
    received = {name for name, one in DOCUMENT["operations"].items() if one["action"] == "receive"}
    assert received == set(METHODS)
    in_code = [one for one in vars(codes).values() if isinstance(one, codes.Close | codes.Unsubscribed)]
    assert all(one.meaning for one in in_code)
    ends = DOCUMENT["x-close-codes"] + DOCUMENT["x-unsubscribe-codes"]
    farewells = [one for one in vars(push_control).values() if isinstance(one, push_control.Farewell)]
    assert {one["code"] for one in ends} == {one.code for one in [*in_code, *farewells]}
    assert {one["code"]: one["reconnect"] for one in DOCUMENT["x-close-codes"]}[4500] is False
    errors = {one.code for one in vars(codes).values() if isinstance(one, codes.Error)}
    assert {one["code"] for one in DOCUMENT["x-errors"]} == errors


def test_every_channel_and_every_publication_is_in_it() -> None:
    addresses = [one["address"] for one in DOCUMENT["channels"].values() if one["address"]]
    for address in addresses:
        name = address.format(login="101", name="support")
        assert right_to_hear("101", "supervisor", (), name) is Right.GRANTED
    assert {address.partition(":")[0] for address in addresses} == {"agent", "line", "notices"}
    modules = [
        importlib.import_module(f"shared.contracts.{m.name}")
        for m in pkgutil.iter_modules(contracts.__path__)
    ]
    published = {
        one
        for module in modules
        for name, one in vars(module).items()
        if name.endswith("Publication") and isinstance(one, type) and issubclass(one, BaseModel)
    }
    documented = {model for one in asyncapi.CHANNELS.values() for model in one.publications.values()}
    assert documented == published
    for model in published:
        assert model.model_fields["type"].default in DOCUMENT["components"]["messages"]


REPLIES = [
    (f"{file}: {scene.name}", text)
    for file, scene in SCENES
    for mark, text in scene.lines
    if mark == "<" and '"call_id":"c"' not in text  # a card of one field, which no card is
]


@pytest.mark.parametrize("text", [text for _, text in REPLIES], ids=[name for name, _ in REPLIES])
def test_every_reply_of_the_transcripts_is_as_it_says(text: str) -> None:
    said = orjson.loads(text)
    if said != {}:  # a ping
        check(said)


def rendered(version: int = 7) -> Card:
    """A card as the card API renders it."""
    ticket = Ticket(number="T-1", subject="Не работает интернет", status="открыта", source="crm")
    customer = FoundCustomer(
        id="p",
        source="crm",
        external_id="1",
        kind="person",
        name="Ким Анна",
        purpose="mobile",
        tickets=[ticket],
    )
    reports = (SourceReport("customers", SourceStatus.OK, 0.8),)
    knowledge = Knowledge(Found(customers=[customer], history=[]), reports, at(0.5), 8)
    of = call(legs=(leg("101"),))
    return render(of, version, places(of, DIRECTORY)[0], knowledge, DIRECTORY, SITE, NOON)


async def test_what_a_real_gateway_sends_is_as_it_says(
    gateway: Running, publisher: PushPublisher, redis: Any
) -> None:
    await publisher.publish_card(rendered())
    heard = set()
    async with gateway.raw() as tab:
        connected = await tab.connect()
        assert connected["connect"]["data"]["cards"][0]["tickets"]
        heard.add(check(connected))
        await publisher.publish_card(rendered(8))
        heard.add(check(await tab.hear()))
        for number, command in enumerate(
            (
                {"subscribe": {"channel": "notices"}},
                {"history": {"channel": "agent:101", "limit": 10}},
                {"refresh": {"token": token()}},
                {"rpc": {"method": "card.shown", "data": {"call_id": "main-1.1", "rev": 1}}},
                {"sub_refresh": {"channel": "notices"}},
            ),
            2,
        ):
            heard.add(check(await tab.ask({"id": number, **command})))
        async with gateway.raw() as other:
            await other.connect()
            heard.add(check(await tab.hear()))
        heard.add(check(await tab.hear()))
        await redis.delete(*[key async for key in redis.scan_iter(f"{bus_name('notices')}:*")])
        await publisher.publish("notices", b'{"type":"notice"}')
        heard.add(check(await tab.hear()))
    stale = {"id": 1, "connect": {"token": token(secret="forged, but long enough to be a secret")}}
    async with httpx.AsyncClient() as http:
        heard.add(check((await http.post(gateway.stream_url, json=stale)).json()))
    assert heard == {
        *("connect_reply", "card", "subscribe_reply", "history_reply", "refresh_reply", "rpc_reply"),
        *("error_reply", "join_push", "leave_push", "unsubscribe_push", "disconnect_push"),
    }


def test_a_document_that_is_not_true_is_found() -> None:
    card = {"type": "card", "card": rendered().to_dict()}
    VALIDATORS["card"].validate(card)
    card["card"]["tomorrow"] = 1
    with pytest.raises(jsonschema_rs.ValidationError):
        VALIDATORS["card"].validate(card)
