"""A CRM over HTTP that is well, slow, broken, lying, or not there."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from card_api.lookup.schemas import Question
from card_api.metrics import Metrics
from card_api.sources.build import build_sources
from card_api.sources.source import AnswerRefused, SourceFailed
from card_api.sources.watch import WatchedSource
from shared.settings import Settings, SettingsError
from tests.card_api.conftest import until
from tests.card_api.sources.crm import MAP, NUMBER, Crm, answer, crm

ASKED = Question(NUMBER, "77/1")


@pytest.fixture
async def system() -> AsyncIterator[Crm]:
    async with crm() as running:
        yield running


async def test_a_caller_is_asked_about_and_found(system: Crm) -> None:
    source = system.source(token="t0ken", headers={"X-Tenant": "5"})
    (found,) = await source.find(ASKED)
    assert (found.source, found.external_id, found.name, found.manager) == ("crm", "7", "Иванов", "101")
    head = system.requests[0].decode()
    assert head.startswith("GET /clients?phone=%2B79001112233 HTTP/1.1\r\n")
    assert {"Authorization: Bearer t0ken", "X-Tenant: 5", "Accept-Encoding: identity"} <= set(
        head.split("\r\n")
    )
    await source.close()


async def test_a_post_with_json_and_basic_authentication(system: Crm) -> None:
    body = '{"filter": {"phone": "{number}", "contract": "{account}"}}'
    url = f"http://127.0.0.1:{system.port}/find"
    source = system.source(url=url, method="POST", body=body, username="u", password="p")
    assert await source.find(ASKED)
    head, _, sent = system.requests[0].decode().partition("\r\n\r\n")
    assert sent == '{"filter": {"phone": "+79001112233", "contract": "77/1"}}'
    assert "Content-Type: application/json" in head
    assert "Authorization: Basic dTpw" in head
    await source.close()


async def test_who_cannot_be_asked_for_is_not_asked_for(system: Crm) -> None:
    source = system.source()
    assert await source.find(Question(None, "77")) == []
    assert system.requests == []
    await source.close()


@pytest.mark.parametrize(
    "says", [answer(b"", "204 No Content"), answer({"error": "x"}, "404 Not Found"), answer(b""), answer([])]
)
async def test_nobody(system: Crm, says: bytes) -> None:
    system.says = says
    source = system.source()
    assert await source.find(ASKED) == []
    await source.close()


@pytest.mark.parametrize(
    ("says", "kind", "sentence"),
    [
        (answer({}, "500 Oops"), "status", "answers with HTTP 500"),
        (answer({}, "401 No"), "status", "does not let us in"),
        (answer({}, "429 Slow down"), "status", "more often than it allows"),
        (answer(b"<html>Sign in</html>", "200 OK"), "not_json", "no JSON"),
        (answer("Иванов".encode("cp1251")), "not_json", "no JSON in UTF-8"),
        (answer(b"[" * 100_000), "not_json", "no JSON"),
        (answer({"name": "x" * 1_000_001, "id": 1}), "too_large", "larger than 1 MB"),
        (answer(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip"), "encoding", "compresses"),
        (answer(b"", "302 Found", "Location: http://elsewhere.example/x"), "redirect", "another host"),
        (answer(b"", "302 Found", "Location: /clients"), "redirect", "more than 2 times"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "unreachable", "connection to it broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "unreachable", "connection to it broke"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broken_one_fails_with_a_reason(system: Crm, says: bytes, kind: str, sentence: str) -> None:
    system.says = says
    system.hangs_up = True
    source = system.source()
    with pytest.raises(SourceFailed, match=sentence) as error:
        await source.find(ASKED)
    assert error.value.kind == kind
    assert NUMBER[1:] not in str(error.value)
    await source.close()


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ({"name": {"first": "x"}, "id": 1}, "name: an object"),
        ([{"name": f"n{i}", "id": i} for i in range(10_000)], "more than 20 customers"),
        ({"name": "x", "id": 1, "url": "javascript:alert(1)"}, "must begin with https://"),
        ({"name": "x", "id": 1, "phone": "+7 495 123-45-67"}, "other numbers"),
    ],
)
async def test_a_lying_one_is_refused(system: Crm, says: Any, sentence: str) -> None:
    system.says = answer(says)
    source = system.source()
    with pytest.raises(AnswerRefused, match=sentence):
        await source.find(ASKED)
    await source.close()


async def test_a_path_that_moved_is_followed_with_our_credentials(system: Crm) -> None:
    moved = [answer(b"", "308 Moved", "Location: /v2/clients?phone=1"), answer({"name": "A", "id": 1})]

    async def next_answer() -> None:
        system.says = moved.pop(0)

    system.answering = next_answer
    source = system.source(token="t")
    assert [c.name for c in await source.find(ASKED)] == ["A"]
    assert b"Authorization: Bearer t" in system.requests[1]
    await source.close()


async def test_a_dead_one_is_left_alone_after_some_calls_and_tried_again(system: Crm) -> None:
    now = 0.0
    metrics = Metrics()
    async with crm() as other:
        dead = other.port
    source = WatchedSource(
        system.source(url=f"http://127.0.0.1:{dead}/?p={{number}}"), 0, metrics, clock=lambda: now
    )
    kinds = []
    for _ in range(7):
        with pytest.raises(SourceFailed) as error:
            await source.find(ASKED)
        kinds.append(error.value.kind)
    assert kinds == ["unreachable"] * 5 + ["open"] * 2
    assert _value(metrics.registry, "callcard_source_breaker", source="crm") == 2
    now = 5.0
    with pytest.raises(SourceFailed) as error:
        await source.find(ASKED)
    assert error.value.kind == "unreachable"
    assert _value(metrics.registry, "callcard_source_failures_total", source="crm", reason="unreachable") == 6
    assert _value(metrics.registry, "callcard_source_seconds_count", source="crm", outcome="open") == 2
    await source.close()


async def test_a_black_hole_is_given_up_and_its_connection_with_it(system: Crm) -> None:
    system.says = None
    source = WatchedSource(system.source(), 0, Metrics(), hard_end=0.1)
    with pytest.raises(SourceFailed, match=r"no answer within 0\.1 s") as error:
        await source.find(ASKED)
    assert error.value.kind == "timeout"
    async with asyncio.timeout(10):
        await system.left.wait()
    await source.close()


async def test_an_answer_in_time_forgets_the_failures_before_it(system: Crm) -> None:
    well, ill = answer({"name": "A", "id": 1}), answer({}, "500 Oops")
    source = system.watched()
    for _ in range(3):
        system.says = ill
        for _ in range(4):
            with pytest.raises(SourceFailed, match="HTTP 500"):
                await source.find(ASKED)
        system.says = well
        assert [c.name for c in await source.find(ASKED)] == ["A"]
    assert len(system.requests) == 15
    await source.close()


async def test_what_cannot_be_shown_is_no_reason_to_stop_asking(system: Crm) -> None:
    system.says = answer({"name": ["x"], "id": 1})
    source = system.watched()
    for _ in range(8):
        with pytest.raises(AnswerRefused):
            await source.find(ASKED)
    assert len(system.requests) == 8
    await source.close()


async def test_an_answer_is_good_for_the_next_call(system: Crm) -> None:
    source = system.watched(cache=30)
    assert await source.find(Question(NUMBER, None, "call-1")) == await source.find(
        Question(NUMBER, None, "call-2")
    )
    assert len(system.requests) == 1
    await source.close()


async def test_five_late_answers_open_the_breaker_before_they_come(system: Crm) -> None:
    """A black hole that takes connections and is silent."""
    system.says = None
    metrics = Metrics()
    source = system.watched(metrics, deadline=0.01)
    asking = [asyncio.create_task(source.find(ASKED)) for _ in range(5)]

    async def open_() -> bool:
        return _value(metrics.registry, "callcard_source_breaker", source="crm") == 2

    await until(open_)
    with pytest.raises(SourceFailed) as error:
        await source.find(ASKED)
    assert error.value.kind == "open"
    assert not any(task.done() for task in asking)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await source.close()


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def _settings(**crm: Any) -> Settings:
    values = {"url": "https://crm.example/?p={number}", "map": MAP, **crm}
    return Settings.model_validate({"sources": {"crm": values}})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"url": ""}, "CALLCARD_SOURCES__CRM__URL is missing"),
        ({"url": "crm?{number}"}, "CALLCARD_SOURCES__CRM__URL is no web address"),
        ({"url": "https://crm/all"}, "CALLCARD_SOURCES__CRM__URL does not say where the caller goes"),
        ({"body": "{number}"}, "CALLCARD_SOURCES__CRM__BODY needs CALLCARD_SOURCES__CRM__METHOD=POST"),
        ({"method": "POST", "body": "{who}"}, "CALLCARD_SOURCES__CRM__BODY has {who}"),
        ({"map": {}}, "CALLCARD_SOURCES__CRM__MAP is missing"),
        ({"map": {"name": "name", "external_id": "$.id"}}, "CALLCARD_SOURCES__CRM__MAP: name is no JSONPath"),
        ({"items": "$["}, "CALLCARD_SOURCES__CRM__ITEMS: the path is no JSONPath"),
        (
            {"username": "u"},
            "CALLCARD_SOURCES__CRM__USERNAME and CALLCARD_SOURCES__CRM__PASSWORD belong together",
        ),
        ({"headers": {"X A": "1"}}, "CALLCARD_SOURCES__CRM__HEADERS: 'X A' is no name of a header"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "CALLCARD_SOURCES__CRM__HEADERS: the value of X-A has control"),
        ({"verify": Path("/nowhere.pem")}, "CALLCARD_SOURCES__CRM__VERIFY: /nowhere.pem cannot be read"),
        (
            {"plugin": "acme"},
            "CALLCARD_SOURCES__CRM__PLUGIN: no plug-in 'acme' is installed here (installed: none)",
        ),
    ],
)
def test_wrong_settings_stop_the_start_with_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        build_sources(_settings(**given), Metrics())
    assert sentence in str(error.value)


async def test_a_plug_in_is_a_source_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme_source.py").write_text(
        "from card_api.lookup.schemas import FoundCustomer\n"
        "class Acme:\n"
        "    def __init__(self, name, settings, general):\n"
        "        self.name, self.priority, self.deadline = name, settings.priority, settings.deadline\n"
        "        self.who = settings.options['who']\n"
        "    async def find(self, question):\n"
        "        if question.number is None: raise KeyError('number')\n"
        "        return [FoundCustomer(source=self.name, external_id='1', kind='person', name=self.who)]\n"
        "    async def close(self): ...\n"
    )
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[callcard.sources]\nacme = acme_source:Acme\n")
    monkeypatch.syspath_prepend(tmp_path)
    (source,) = build_sources(_settings(plugin="acme", options={"who": "Wile"}), Metrics())
    assert [c.name for c in await source.find(ASKED)] == ["Wile"]
    with pytest.raises(SourceFailed, match="it raised KeyError"):
        await source.find(Question(None, "1"))
