"""Customers in mass over HTTP, by clients of all kinds, on a real server."""

import asyncio
import csv
import io
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import card_api, now_utc
from card_api.customers.bulk.spool import Spool
from services.front import listen, serving
from shared.settings import Settings
from tests.card_api.conftest import SECRET, until

BULK = "/api/v1/customers/bulk"
EXPORT = "/api/v1/customers/export"
NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
async def app(database_url: str, redis_url: str) -> AsyncIterator[FastAPI]:
    async with card_api(
        Settings(), database_url=database_url, redis_url=redis_url, auth_secret=SECRET
    ) as made:
        yield made


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """It listens on a port: streams show their manners over a socket only."""
    async with serving(app, listen("127.0.0.1", 0)) as at:
        yield at


async def key(engine: AsyncEngine, *scopes: str) -> dict[str, str]:
    made = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", list(scopes))
    return {"Authorization": f"Bearer {made}"}


@pytest.fixture
async def http(address: str, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    """A CRM's client that may write and read customers."""
    headers = await key(engine, "customers:write", "customers:read")
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=40) as client:
        yield client


def customer(external_id: object, **fields: Any) -> bytes:
    said = {"source": "crm", "external_id": str(external_id), "name": "Иванов"} | fields
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def lines(answer: httpx.Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *reports, last = (json.loads(line) for line in answer.text.splitlines())
    return reports, last["summary"]


async def count(engine: AsyncEngine, what: str = "customers") -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(text(f"select count(*) from {what}"))).scalar_one()
    return found


async def test_a_report_a_row_and_a_summary(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    body = (
        customer(1)
        + b"{broken\n\n"
        + customer(2, phones=[{"number": ""}])
        + b'{"name": "\xff"}\n'
        + customer(3)
    )
    reports, summary = lines(await http.post(BULK, content=body, headers=NDJSON))
    assert [(r["line"], r["status"]) for r in reports] == [
        (1, "created"),
        (2, "failed"),
        (4, "failed"),
        (5, "failed"),
        (6, "created"),
    ]
    assert reports[0]["id"] and reports[0]["external_id"] == "1"
    assert reports[2]["errors"][0].startswith("phones.0.number: ")
    assert summary == {
        "rows": 5, "created": 2, "updated": 0, "unchanged": 0, "failed": 3, "dry_run": False, "complete": True,
    }  # fmt: skip
    reports, summary = lines(await http.post(BULK, content=body, headers=NDJSON, params={"report": "failed"}))
    assert [r["line"] for r in reports] == [2, 4, 5]
    assert summary["unchanged"] == 2

    async def audited() -> bool:
        return await count(engine, "audit_log where action = 'customers.bulk.done'") == 2

    await until(audited)


async def test_csv_as_spreadsheets_write_it(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    body = 'external_id;name;phone;tags\n1;"Рога; копыта";"8 903 123-45-67; 8 495 123-45-67";vip; \n2;Ёлкин;;'.encode(
        "cp1251"
    )
    headers = {"Content-Type": "text/csv; charset=windows-1251"}
    reports, _ = lines(await http.post(BULK, content=body, headers=headers, params={"source": "excel"}))
    assert [r["status"] for r in reports] == ["failed", "created"], "a value too many"
    body = b"\xef\xbb\xbf" + body.decode("cp1251").replace("vip; ", "vip").encode()
    reports, _ = lines(await http.post(BULK, content=body, headers=CSV, params={"source": "excel"}))
    assert [(r["line"], r["status"]) for r in reports] == [(2, "created"), (3, "unchanged")]
    assert await count(engine, "customer_phones where e164 in ('+79031234567', '+74951234567')") == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415, "Send Content-Type: application/x-ndjson"),
        (b"", {"Content-Type": "text/csv; charset=utf-16"}, 415, "windows-1251"),
        (b"", {**NDJSON, "Content-Encoding": "gzip"}, 415, "without a Content-Encoding"),
        (b"", CSV, 422, "There is nothing in it"),
        (b"source;external_id;nmae\n", CSV, 422, "Did you mean name?"),
        (b'"source;\n' * 2, CSV, 422, "No column is|no field"),
        (b'"source;\n', CSV, 422, "a quote is opened"),
    ],
)
async def test_what_is_refused_at_once(
    http: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await http.post(BULK, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(word in answer.json()["detail"] for word in said.split("|")), answer.text


async def test_scopes(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    reader, writer = await key(engine, "customers:read"), await key(engine, "customers:write")
    assert (await http.post(BULK, content=customer(1), headers=NDJSON | reader)).status_code == 403
    assert (await http.get(EXPORT, headers=writer)).status_code == 403
    assert (await http.get(EXPORT, headers=reader)).status_code == 200


async def test_a_dry_run_stores_nothing(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    answer = await http.post(BULK, content=customer(1) + b"x\n", headers=NDJSON, params={"dry_run": "true"})
    reports, summary = lines(answer)
    assert [r["status"] for r in reports] == ["created", "failed"]
    assert summary["dry_run"] is True
    assert await count(engine) == 0


async def test_one_load_a_key_at_a_time(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield customer(1)
        await more.wait()
        yield customer(2)

    first = asyncio.create_task(http.post(BULK, content=slowly(), headers=NDJSON))

    async def stored() -> bool:
        return await count(engine) == 1

    await until(stored)  # while the sender pauses
    second = await http.post(BULK, content=customer(3), headers=NDJSON)
    assert second.status_code == 409, second.text
    another = await http.post(
        BULK, content=customer(4), headers=NDJSON | await key(engine, "customers:write")
    )
    assert lines(another)[1]["created"] == 1
    more.set()
    assert lines(await first)[1]["created"] == 2
    assert lines(await http.post(BULK, content=customer(3), headers=NDJSON))[1]["created"] == 1


async def test_a_client_that_reads_only_when_all_is_sent_is_served(
    app: FastAPI, http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    chunks = [b"".join(customer(1000 * n + k) for k in range(300)) for n in range(3)]
    all_sent = asyncio.Event()
    answer = b""

    async def receive() -> dict[str, Any]:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": True}
        if not all_sent.is_set():

            async def stored() -> bool:
                return await count(engine) >= 750  # reports of these wait for the client

            await until(stored)
            all_sent.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal answer
        await all_sent.wait()
        answer += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": BULK,
        "raw_path": BULK.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"authorization", http.headers["authorization"].encode()),
            (b"content-type", b"application/x-ndjson"),
        ],
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert answer.count(b'"created"') == 901, "with the one in the summary"


async def test_a_client_that_goes_away_stops_its_load(
    address: str, http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    _, writer = await asyncio.open_connection(*address.removeprefix("http://").split(":"))
    request = f"POST {BULK} HTTP/1.1\r\nHost: x\r\nAuthorization: {http.headers['authorization']}\r\n"
    request += "Content-Type: application/x-ndjson\r\nContent-Length: 999999999\r\n\r\n"
    writer.write(request.encode() + b"".join(customer(n) for n in range(600)))
    await writer.drain()

    async def begun() -> bool:
        return await count(engine) > 0

    await until(begun)
    writer.transport.abort()

    async def ended() -> Any:
        async with engine.connect() as connection:
            return await connection.scalar(
                text("select detail ->> 'error' from audit_log where action = 'customers.bulk.done'")
            )

    assert await until(ended) == "the sender went away"
    again = await http.post(BULK, content=customer(1), headers=NDJSON)
    assert again.status_code == 200, "its turn is over"


async def test_postgresql_that_goes_away_is_said_in_the_last_line(
    http: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield customer(1)

        async def stored() -> bool:
            return await count(engine) == 1

        await until(stored)
        async with engine.begin() as connection:
            await connection.execute(text("alter table customers rename to gone"))
        yield customer(2)

    reports, summary = lines(await http.post(BULK, content=cut(), headers=NDJSON))
    assert [r["line"] for r in reports] == [1]
    assert (summary["complete"], summary["rows"]) == (False, 1)
    assert "Send it all again" in summary["error"]


FULL = [
    customer(
        1,
        kind="company",
        category="gold",
        country="GB",
        tags=["a", "b;c"],
        attributes={"floor": 3, "none": None},
        preferences={"call after": "18:00"},
        phones=[
            "020 7946 0123 ext. 5",
            "8 (495) 123-45-67/68, Анна",
            {"number": "+7 903 123-45-67", "purpose": "sms"},
            "101",
            "нечто",
        ],
        names=["Рога", "Копыта; и ко"],
        people=[{"name": "Инна", "role": "бухгалтер"}, {"name": "Пётр"}],
        accounts=[{"number": "Д-1", "status": "ok", "external_id": "77"}],
        orders=[{"number": "7", "title": "Роутер", "amount": "3990.50", "currency": "RUB",
                 "ordered_at": "2026-01-02T03:04:05.678+03:00"}],
        tickets=[{"number": "T-1", "subject": "Нет связи", "status": "открыта", "url": "https://crm/1"}],
    ),
    customer(2, phones=["8 (903) 765-43-21 (моб)", "8 800 555-35-35"], accounts=[{"number": "Д-2"}], names=["Пётр"]),
    customer(3, source="billing"),
]  # fmt: skip
SAME = """
    select json_agg(to_jsonb(x) order by x::text)::text from (
        select c.source, c.external_id, c.kind, c.name, c.category, c.country, c.tags, c.attributes, c.preferences,
            (select json_agg(jsonb_build_array(p.e164, p.purpose, p.kind, p.extension, p.remark) order by p.id)
             from customer_phones p where p.customer_id = c.id) as phones,
            (select json_agg(n.name order by n.id) from customer_names n where n.customer_id = c.id) as names,
            (select json_agg(jsonb_build_array(n.name, n.role) order by n.id)
             from customer_people n where n.customer_id = c.id) as people,
            (select json_agg(to_jsonb(a) - '{id,customer_id}'::text[]) from accounts a where a.customer_id = c.id) as a,
            (select json_agg(to_jsonb(a) - '{id,customer_id}'::text[]) from orders a where a.customer_id = c.id) as o,
            (select json_agg(to_jsonb(a) - '{id,customer_id}'::text[]) from tickets a where a.customer_id = c.id) as t
        from customers c
    ) x
"""


async def everybody(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return json.loads(await connection.scalar(text(SAME)) or "[]")


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_what_is_exported_can_be_loaded_into_an_empty_database(
    http: httpx.AsyncClient, engine: AsyncEngine, form: str
) -> None:
    headers = NDJSON if form == "ndjson" else CSV
    lines(await http.post(BULK, content=b"".join(FULL), headers=NDJSON))
    before = await everybody(engine)
    assert len(before) == 3
    exported = await http.get(EXPORT, params={"format": form})
    assert exported.headers["content-type"].startswith(headers["Content-Type"])
    async with engine.begin() as connection:
        await connection.execute(text("truncate customers cascade"))
    _, summary = lines(await http.post(BULK, content=exported.content, headers=headers))
    assert summary["created"] == 3, summary
    assert await everybody(engine) == before
    _, summary = lines(await http.post(BULK, content=exported.content, headers=headers))
    assert summary["unchanged"] == 3


async def test_filters_of_an_export_and_its_pages(http: httpx.AsyncClient, engine: AsyncEngine) -> None:
    body = b"".join(customer(n, category="gold" if n % 3 == 0 else None) for n in range(450))
    lines(await http.post(BULK, content=body + customer(1, source="billing"), headers=NDJSON))

    async def said(**params: str) -> list[tuple[str, str]]:
        answer = await http.get(EXPORT, params=params)
        assert answer.status_code == 200, answer.text
        return [(c["source"], c["external_id"]) for c in map(json.loads, answer.text.splitlines())]

    assert len(set(await said())) == len(await said()) == 451
    assert await said(source="billing") == [("billing", "1")]
    assert len(await said(category="gold")) == 150
    async with engine.connect() as connection:
        last = await connection.scalar(text("select max(updated_at) from customers"))
    assert 0 < len(await said(updated_since=last.isoformat())) < 451
    assert (await http.get(EXPORT, params={"updated_since": "0001-01-01T00:00:00+14:00"})).status_code == 422
    assert await said(category="\0nothing") == []

    async def audited() -> bool:
        return await count(engine, "audit_log where action = 'customers.export'") >= 5

    await until(audited)
    records = list(csv.DictReader(io.StringIO((await http.get(EXPORT, params={"format": "csv"})).text)))
    assert records[3]["name"] == "Иванов"


async def test_the_spool_gives_all_in_order_and_is_empty_when_it_was_read() -> None:
    with Spool() as spool:
        got = b""

        async def read() -> None:
            nonlocal got
            async for piece in spool:
                got += piece

        reading = asyncio.create_task(read())
        for n in range(50):
            spool.write(b"%d," % n * 3000)
            await asyncio.sleep(0)
        spool.end()
        await reading
        assert got == b"".join(b"%d," % n * 3000 for n in range(50))
        assert os.fstat(spool._file.fileno()).st_size == 0
