"""Zammad's generic CTI as the receiver: each form its documentation shows, and bridges that take it lightly."""

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import orjson
import pytest
import structlog
from httpx import AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine

from ami_listener.invariants import of_call
from card_api.agents.directory import Agent, Directory
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.calls.repository import CallRepository
from card_api.ingest.story import story
from card_api.ingest.zammad import ZammadError, events_of, fields_of, pbx_of
from shared.contracts.call import Call
from shared.observability import configure_logging, logger
from tests.card_api.conftest import until
from tests.card_api.makers import at

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_PART = b'--xyz\r\nContent-Disposition: form-data; name="user[]"\r\n\r\nx\r\n'
AGENTS = Directory.of(
    [
        Agent("101", "Christopher Miller", "42"),
        Agent("emma@chrispresso.com", "Emma Taylor", "43"),
        Agent("103", "Same Name"),
        Agent("104", "Same Name"),
    ]
)


def told(*said: dict[str, Any], country: str = "DE") -> Call:
    events = []
    for n, one in enumerate(said):
        fields = fields_of(_json({"callId": "c1", "from": "493023125741", "to": "492214710334", **one}), JSON)
        events += events_of(fields, "kazan", AGENTS, country, at(n))
    call = story(events[0].our_call_id, events, country)
    assert of_call(call) == []
    return call


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


NEW = {"event": "newCall", "direction": "in", "user": ["Christopher Miller", "Emma Taylor"]}


class TestWords:
    def test_a_new_call_rings_at_each_user(self) -> None:
        call = told({**NEW, "queue": "support"})
        assert (call.direction, call.state) == ("inbound", "ringing")
        assert (call.caller.number, call.did) == ("+493023125741", "+492214710334")
        assert [leg.agent for leg in call.legs] == ["101", "emma@chrispresso.com"]
        assert call.queue is not None
        assert call.queue.name == "support"

    @pytest.mark.parametrize(
        "answer",
        [{"user": "Emma Taylor"}, {"answeringNumber": "43"}, {"answeringNumber": "emma@chrispresso.com"}],
    )
    def test_an_answer_by_name_number_or_login(self, answer: dict[str, str]) -> None:
        call = told(NEW, {"event": "answer", "direction": "in", **answer})
        assert [(leg.agent, leg.state, leg.end_reason) for leg in call.legs] == [
            ("101", "ended", "answered_elsewhere"),
            ("emma@chrispresso.com", "answered", None),
        ]

    def test_numbers_in_each_writing(self) -> None:
        for said, country, number in [
            ("493055571600", "DE", "+493055571600"),
            ("492214710334", "DE", "+492214710334"),
            ("02214710334", "DE", "+492214710334"),
            ("491711234567890", "DE", "+491711234567890"),
            ("79001112233", "RU", "+79001112233"),
            ("89001112233", "RU", "+79001112233"),
            ("12025550123", "US", "+12025550123"),
            ("2025550123", "US", "+12025550123"),
            ("42", "DE", "42"),
            ("x" * 9000, "DE", "x" * 200),
        ]:
            assert told({"event": "newCall", "from": said}, country=country).caller.number == number, said

    def test_outbound_the_user_calls(self) -> None:
        call = told(
            {"event": "newCall", "direction": "out", "user": "Christopher Miller"},
            {"event": "answer", "direction": "out"},
            {"event": "hangup", "direction": "out", "cause": "normalClearing"},
        )
        assert (call.direction, call.caller.number, call.did) == ("outbound", "101", "+492214710334")
        assert (call.answered_at, call.end_reason) == (at(1), "completed")

    @pytest.mark.parametrize(
        ("cause", "reason", "leg", "missed"),
        [
            ("normalClearing", "abandoned", "cancelled", True),
            ("cancel", "abandoned", "cancelled", True),
            ("busy", "busy", "busy", True),
            ("noAnswer", "no_answer", "no_answer", True),
            ("congestion", "failed", "failed", True),
            ("notFound", "failed", "failed", True),
            ("forwarded", "unknown", "unknown", False),
            ("NO_ANSWER", "no_answer", "no_answer", True),
            ("USER_BUSY", "busy", "busy", True),
            ("whatever", "abandoned", "cancelled", True),
            ("", "abandoned", "cancelled", True),
        ],
    )
    def test_causes_of_a_call_nobody_answered(self, cause: str, reason: str, leg: str, missed: bool) -> None:
        call = told(NEW, {"event": "hangup", "direction": "in", "cause": cause})
        assert (call.end_reason, call.legs[0].end_reason, call.missed) == (reason, leg, missed)

    def test_causes_of_a_call_that_was_answered(self) -> None:
        answer = {"event": "answer", "direction": "in", "user": "Emma Taylor"}
        for cause in ("normalClearing", "busy", "forwarded"):
            assert told(NEW, answer, {"event": "hangup", "cause": cause}).end_reason == "completed"

    def test_who_is_nobody_of_ours_or_not_told_apart(self) -> None:
        call = told({**NEW, "user": ["Same Name", "Ticket System", "", " "]})
        assert [(leg.endpoint, leg.agent) for leg in call.legs] == [
            ("Same Name", None),
            ("Ticket System", None),
        ]
        assert [leg.agent for leg in told({"event": "newCall", "to": "42"}).legs] == ["101"]
        assert told({"event": "newCall", "from": "anonymous"}).caller.presentation == "withheld"

    def test_sent_again_it_is_the_same(self) -> None:
        fields = fields_of(_json({**NEW, "callId": "1"}), JSON)
        first, again = (events_of(fields, "kazan", AGENTS, "DE", at(n)) for n in (0, 5))
        assert [e.key for e in first] == [e.key for e in again]
        assert len({e.key for e in first}) == 3

    def test_the_sender_is_called_by_its_key(self) -> None:
        assert [pbx_of(name) for name in ("Branch Kazan", "  ", "Филиал", "a" * 40)] == [
            *("branch-kazan", "cti", "cti", "a" * 31)
        ]


class TestForms:
    WANTED = {"event": ["newCall"], "callid": ["25-1"], "from": ["+493055571600"], "user": ["Alice B", "Bob"]}

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'{"event":"newCall","callId":"25-1","from":"+493055571600","user":["Alice B","Bob"]}', JSON),
            (b'{"event":"newCall","call_id":"25-1","from":"+493055571600","user":["Alice B","Bob"]}', ""),
            (b"event=newCall&callId=25-1&from=%2B493055571600&user[]=Alice+B&user[]=Bob", FORM),
            (b"event=newCall&callid=25-1&from=%2B493055571600&user%5B%5D=Alice%20B&user%5B%5D=Bob", ""),
        ],
    )
    def test_json_and_forms(self, body: bytes, kind: str) -> None:
        assert fields_of(body, kind) == self.WANTED

    def test_form_data_as_curl_sends_it(self) -> None:
        pairs = [("event", "newCall"), ("callId", "25-1"), ("from", "+493055571600"), ("user[]", "Alice B")]
        parts = [
            f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in [*pairs, ("user[]", "Bob")]
        ]
        body = "".join([*parts, "--xyz--\r\n"]).encode()
        assert fields_of(body, "multipart/form-data; boundary=xyz") == self.WANTED

    def test_form_data_is_flat(self) -> None:
        """A value may hold what looks like a boundary in the middle of a line, and empty lines."""
        head = b'--xyz\r\nContent-Type: a/b\r\nContent-Disposition: form-data; filename="f"; name="event"\r\n\r\n'
        found = fields_of(
            head + b"a--xyz\r\n\r\nb\r\n--xyz--", 'multipart/form-data; charset=x; boundary="xyz"'
        )
        assert found == {"event": ["a--xyz\r\n\r\nb"]}

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            (b"", "not in the body"),
            (
                b"--xyz\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--xyz--",
                "multipart itself",
            ),
            (b"--xyz\r\n\r\nx\r\n--xyz--", "no name"),
            (_PART, "breaks off"),
            (_PART * 101 + b"--xyz--", "more than 100"),
            (_PART * 200, "more than 100"),
        ],
    )
    def test_form_data_that_is_none(self, body: bytes, says: str) -> None:
        with pytest.raises(ZammadError, match=says):
            fields_of(body, "multipart/form-data; boundary=xyz")

    def test_parts_within_parts_cost_nothing(self) -> None:
        """A MIME parser goes down into them: a recursion without end."""
        deep = b"".join(
            b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(1100)
        )
        with pytest.raises(ZammadError):
            fields_of(deep, "multipart/form-data; boundary=b0")

    @pytest.mark.parametrize(
        ("body", "kind", "says"),
        [
            (b"{", JSON, "no JSON"),
            (b"[]", JSON, "one JSON object"),
            (b"\xff=1", FORM, "no form"),
            (b"&".join([b"a=1"] * 200), FORM, "no form"),
            (b"x", "multipart/form-data", "no parts"),
            (b"", "", "`callId`"),
            (b"callId=1", FORM, "`event` is 'missing'"),
            (b"callId=1&event=fly", FORM, "`event` is 'fly'"),
            (b"callId=1&event=newCall&direction=up", FORM, "in or out"),
            (b"event=newCall&callId=" + b"1" * 300, FORM, "`call_id`"),
        ],
    )
    def test_what_is_none(self, body: bytes, kind: str, says: str) -> None:
        with pytest.raises(ZammadError, match=says):
            events_of(fields_of(body, kind), "kazan", AGENTS, "DE", at(0))


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The log as the product writes it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = StringIO()
    configure_logging("debug", "json", out)
    yield out
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class TestHttp:
    async def key(self, engine: AsyncEngine, *scopes: str) -> str:
        return await ApiKeyService(ApiKeyRepository(engine), now_utc).create("Branch Kazan", scopes)

    async def test_a_bridge_with_the_key_in_its_url(
        self, client: AsyncClient, engine: AsyncEngine, token: str
    ) -> None:
        key = await self.key(engine, "calls:write")
        url = f"/api/v1/cti/zammad/{key}"
        common = {"from": "79001112233", "to": "78432000000", "direction": "in", "callId": "c-1"}
        for said in (
            {"event": "newCall", "user[]": "101"},
            {"event": "answer", "answeringNumber": "101"},
            {"event": "hangup", "cause": "normalClearing", "answeringNumber": "101"},
        ):
            answer = await client.post(url, data={**common, **said})
            assert (answer.status_code, answer.json()) == (200, {}), answer.text

        async def over() -> Call | None:
            found = await CallRepository(engine).get("branch-kazan-c-1")
            return found.call if found is not None and found.call.state == "ended" else None

        call = await until(over)
        assert call is not None
        assert (call.caller.number, call.end_reason) == ("+79001112233", "completed")
        card = await client.get(
            "/api/v1/cards/branch-kazan-c-1", headers={"Authorization": f"Bearer {token}"}
        )
        assert (card.json()["state"], card.json()["caller"]["name"]) == ("closed", "Иванов Пётр Сергеевич")

    async def test_the_same_with_a_header_and_json(self, client: AsyncClient, engine: AsyncEngine) -> None:
        said = {"event": "newCall", "from": "anonymous", "to": "1", "direction": "in", "callId": "c-2"}
        for headers in (
            {"X-API-Key": await self.key(engine, "calls:write")},
            {"Authorization": f"Bearer {await self.key(engine, 'calls:write', 'lookup')}"},
        ):
            answer = await client.post("/api/v1/cti/zammad", json=said, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {})
        wrong = await client.post("/api/v1/cti/zammad", json={**said, "event": "fly"}, headers=headers)
        assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:callcard:error:invalid")
        large = await client.post("/api/v1/cti/zammad", content=b" " * 70_000, headers=headers)
        assert (large.status_code, large.json()["type"]) == (413, "urn:callcard:error:too-large")

    async def test_a_key_in_a_url_may_do_nothing_else(self, client: AsyncClient, engine: AsyncEngine) -> None:
        said = {"event": "newCall", "callId": "c-3"}
        for scopes in (("calls:write", "lookup"), ("lookup",), ("admin",)):
            answer = await client.post(f"/api/v1/cti/zammad/{await self.key(engine, *scopes)}", json=said)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:callcard:error:forbidden")
            assert "--scope calls:write" in answer.json()["detail"]
        for unknown in ("cck_nobody", "x", "%00"):
            assert (await client.post(f"/api/v1/cti/zammad/{unknown}", json=said)).status_code == 401

    async def test_the_key_is_in_no_answer_no_log_and_no_metric(
        self, client: AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, log: StringIO
    ) -> None:
        key = await self.key(engine, "calls:write")
        url = f"/api/v1/cti/zammad/{key}"

        async def broken(*_: Any) -> None:
            raise RuntimeError(f"a bug that speaks of {url}")

        monkeypatch.setattr("card_api.ingest.service.IngestService.take", broken)
        client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
        answers = [
            await client.post(url, json={"event": "newCall", "callId": "1"}),
            await client.post(url, json={"event": "fly", "callId": "1"}),
            await client.post(f"{url}/more", json={}),
            await client.get(url),
            await client.get("/metrics"),
        ]
        assert [a.status_code for a in answers] == [500, 422, 404, 405, 200]
        logger("some library").warning(f'127.0.0.1 - "POST {url} HTTP/1.1" 200')
        for said in [log.getvalue(), *(a.text for a in answers)]:
            assert key[10:] not in said
        assert log.getvalue().count(f"{key[:10]}…") >= 3
