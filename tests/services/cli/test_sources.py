"""`callcard sources test`, for whoever writes a mapping."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.main import application
from tests.card_api.sources.crm import Crm, answer, crm

MAP = "name=$.name; external_id=$.id; manager=$.manager; accounts[]=$.contracts[*]; accounts[].number=$"
Ask = Callable[..., Result]


@pytest.fixture
def system() -> Iterator[Crm]:
    """A CRM in a thread of its own: the command has the loop of this one."""
    loop, found, stop = asyncio.new_event_loop(), [], asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with crm() as running:
            found.append(running)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def ask(system: Crm, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def run(*arguments: str, **settings: str) -> Result:
        for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
            monkeypatch.delenv(name)
        url = f"http://127.0.0.1:{system.port}/?phone={{number}}&contract={{account}}"
        known = {"URL": url, "MAP": MAP, **settings}
        for name, value in known.items():
            monkeypatch.setenv(f"CALLCARD_SOURCES__CRM__{name}", value)
        return CliRunner().invoke(application(["sources"]), ["sources", "test", *arguments])

    return run


def test_what_came_is_shown_field_by_field(system: Crm, ask: Ask) -> None:
    system.says = answer({"name": "Иванов", "id": 7, "manager": "101", "contracts": ["77-1", "77-2"]})
    done = ask("8 (900) 111-22-33", "--account", "77-1")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("crm: ok after ")
    assert ", 1 customer\n" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["manager", "101"] in lines
    assert ["accounts", "number", "77-1"] in lines
    assert ["matched_by", "account"] in lines
    assert b"phone=%2B79001112233&contract=77-1 " in system.requests[0]


def test_a_wrong_answer_says_why_and_the_exit_code_is_1(system: Crm, ask: Ask) -> None:
    system.says = answer({"name": {"first": "Иванов"}, "id": 7})
    done = ask("+79001112233")
    assert done.exit_code == 1
    assert "customer 1: name: an object where a text belongs" in done.stderr
    as_json = json.loads(ask("+79001112233", "--json").stdout)
    assert (as_json["source"], as_json["status"], as_json["customers"]) == ("crm", "failed", [])


def test_nobody_is_an_answer(system: Crm, ask: Ask) -> None:
    system.says = answer(b"", "404 Not Found")
    done = ask("+79001112233", "--source", "crm")
    assert (done.exit_code, done.stdout.rsplit(", ", 1)[1]) == (0, "nobody\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("hello",), "'hello' is no phone number"),
        (("+79001112233", "--source", "erp"), "There is no source 'erp': use crm."),
    ],
)
def test_what_cannot_be_asked_is_said(ask: Ask, arguments: tuple[str, ...], sentence: str) -> None:
    done = ask(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
