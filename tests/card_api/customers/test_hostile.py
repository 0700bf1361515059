"""Whatever is sent: an answer that says what is wrong, never a 500, never half a customer."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from tests.card_api.customers.conftest import CUSTOMERS, made, peter
from tests.card_api.test_rest import assert_problem

TEXTS = [
    "\0",
    "a\0b",
    "x" * 10_000,
    "📞" * 300,
    "\u202eабв",
    "\ufffe\uffff",
    "'; drop table customers; --",
    "</script><script>alert(1)</script>",
    "\ud800",
    "\\ud800\\u0000",
    " ",
    "",
]
FIELDS = ("external_id", "name", "greet_as", "category", "manager", "url", "source", "country", "kind")
LISTS: dict[str, Any] = {
    "tags": lambda t: [t],
    "names": lambda t: [t],
    "phones": lambda t: [t, {"number": t}],
    "people": lambda t: [{"name": t, "role": t}],
    "accounts": lambda t: [{"number": t, "status": t}],
    "orders": lambda t: [{"number": t, "title": t, "amount": "1", "currency": "RUB"}],
    "tickets": lambda t: [{"number": t, "subject": t, "status": t}],
    "attributes": lambda t: {t: [t, {t: t}]},
    "preferences": lambda t: {t: t},
}
VALUES: list[tuple[str, Any]] = [
    ("name", None),
    ("name", 5),
    ("name", ["x"]),
    ("nmae", "x"),
    ("attributes", {"n": 10**30}),
    ("attributes", {"n": [float("nan")]}),
    ("attributes", {"n": {"n": float("inf")}}),  # what Python makes of 1e999
    ("attributes", []),
    ("attributes", {"x": "y" * 20_000}),
    ("orders", [{"number": "1", "title": "x", "amount": "1e30"}]),
    ("orders", [{"number": "1", "title": "x", "amount": "1.005"}]),
    ("orders", [{"number": "1", "title": "x", "amount": "NaN"}]),
    ("orders", [{"number": "1", "title": "x", "ordered_at": "0001-01-01T00:00:00+14:00"}]),
    ("orders", [{"number": "1", "title": "x", "ordered_at": "9999-12-31T23:59:59-14:00"}]),
    ("tickets", [{"number": "1", "subject": "x", "status": "x", "opened_at": 1e300}]),
    ("phones", ["1"] * 201),
    ("url", "javascript:alert(1)"),
    ("country", "ZZZ"),
    ("source", "A b"),
    ("kind", "robot"),
]


def raw(body: Any) -> bytes:
    """JSON with half characters as escapes, as a broken client sends it."""
    return json.dumps(body).encode()


async def test_texts_of_all_kinds_in_every_field(crm: httpx.AsyncClient) -> None:
    for number, hostile in enumerate(TEXTS):
        bodies = [peter(f"{number}-{field}") | {field: hostile} for field in FIELDS]
        bodies += [peter(f"{number}-{name}") | {name: make(hostile)} for name, make in LISTS.items()]
        for body in bodies:
            answer = await crm.post(
                CUSTOMERS, content=raw(body), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in (201, 422), (body, answer.text)
            if answer.status_code == 201:
                again = await crm.get(answer.headers["location"])
                assert again.json() == answer.json()
            else:
                assert_problem(answer, 422, "invalid")
                assert answer.json()["errors"][0]["field"].startswith("body")


async def test_wrong_values_are_named_and_nothing_is_written(
    crm: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    for field, value in VALUES:
        answer = await crm.post(
            CUSTOMERS, content=raw(peter() | {field: value}), headers={"Content-Type": "application/json"}
        )
        assert_problem(answer, 422, "invalid")
        [first, *_] = answer.json()["errors"]
        assert first["field"].startswith(f"body.{field}"), first
    async with engine.connect() as connection:
        assert await connection.scalar(text("select count(*) from customers")) == 0


async def test_bodies_that_are_no_customers(crm: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for body, status in [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b"\xff\xfe", (400, 422)),
        (b'{"name": "\xff"}', (400, 422)),
        (b"[" * 100_000, (400, 422)),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, (400, 422)),
        (raw({"\ud800": 1, "\0": 2}), 422),
        (raw({str(n): n for n in range(5_000)}), 422),
    ]:
        answer = await crm.post(CUSTOMERS, content=body, headers=headers)
        assert answer.status_code in (status if isinstance(status, tuple) else (status,)), body[:20]
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 100_000
    answer = await crm.post(CUSTOMERS, content=raw(peter()), headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported-media-type")


async def test_too_much_is_refused_before_it_is_read(crm: httpx.AsyncClient) -> None:
    big = raw(peter(name="x" * 2_000_000))
    assert_problem(await crm.post(CUSTOMERS, content=big), 413, "too-large")

    sent = 0

    async def unannounced() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    answer = await crm.post(CUSTOMERS, content=unannounced(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "too-large")
    assert sent < 20, "nobody reads on after it was too much"


async def test_headers_of_all_kinds(crm: httpx.AsyncClient) -> None:
    at = f"{CUSTOMERS}/{(await made(crm))['id']}"
    for value in ('"', '"1', "W/", ",,,", "*, *", "x" * 999, "\xe4", '"1"' * 300):
        none_match = await crm.get(at, headers=[(b"If-None-Match", value.encode("latin-1"))])
        assert none_match.status_code in (200, 304, 422), value
        match = await crm.delete(f"{at[:-1]}x", headers=[(b"If-Match", value.encode("latin-1"))])
        assert match.status_code == 422
        patch = await crm.patch(at, json={"name": "N"}, headers=[(b"If-Match", value.encode("latin-1"))])
        assert patch.status_code in (412, 422) or value == "*, *", value


async def test_paths_of_all_kinds(crm: httpx.AsyncClient) -> None:
    for path in ("%00", "crm/%00", "crm/" + "x" * 201, "CRM/1", "crm/%ff%fe", "crm/"):
        answer = await crm.put(f"{CUSTOMERS}/{path}", json={"name": "N"})
        assert answer.status_code in (201, 404, 405, 422), answer.text
        assert answer.status_code != 201 or answer.json()["external_id"]
    of_a_note = f"{CUSTOMERS}/{UUID(int=1)}/notes/{UUID(int=2)}"
    assert_problem(await crm.put(of_a_note, json={"name": "N"}), 405, "method-not-allowed")
