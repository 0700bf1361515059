"""`callcard webhook …` as people meet it, on a real PostgreSQL."""

import asyncio
import os
from collections.abc import Callable

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.main import application

SECRET = "a secret of the tests, long enough"
Command = Callable[..., Result]


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Command:
    for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLCARD_DATABASE__URL", database_url)
    monkeypatch.setenv("CALLCARD_AUTH__SECRET", SECRET)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(application(["webhook"]), ["webhook", *arguments])

    return run


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def test_from_adding_to_replaying(webhook: Command, database_url: str) -> None:
    done = webhook("add", "http://127.0.0.1:1/", "--name", "CRM", "--event", "call.missed")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("whsec_")
    assert "call.missed" in done.stderr
    assert "CRM" in webhook("list").stdout
    failed = webhook("test", "CRM")
    assert (failed.exit_code, "No connection" in failed.stderr) == (1, True)
    assert "Nothing was given up." in webhook("dead", "CRM").stderr
    execute(
        database_url,
        "insert into webhook_deliveries (webhook_id, event_id, type, subject, payload, state, error, finished_at) "
        "select id, gen_random_uuid(), 'call.missed', 'main-1.1', '{}', 'dead', 'Answered 500.', now() "
        "from webhooks, generate_series(1, 2)",
    )
    listed = webhook("dead", "CRM").stdout
    assert "main-1.1" in listed
    assert webhook("replay", "CRM", "1").stdout == "1 sent once more.\n"
    assert webhook("replay", "CRM", "--all").stdout == "1 sent once more.\n"
    again = webhook("replay", "CRM", "1")
    assert (again.exit_code, "on its way" in again.stderr) == (2, True)


def test_mistakes_are_sentences(webhook: Command) -> None:
    for arguments, said in (
        (("add", "crm.example", "--name", "CRM"), "The address: must be a whole address"),
        (("add", "http://crm.example", "--name", "CRM", "--event", "call.rang"), "--event: "),
        (
            ("add", "http://z", "--name", "Z", "--format", "zammad", "--event", "call.missed"),
            "Zammad's CTI knows",
        ),
        (("test", "CRM"), "No web hook is named 'CRM'"),
        (("replay", "CRM"), "Say which delivery, or --all."),
    ):
        done = webhook(*arguments)
        assert (done.exit_code, said in done.stderr) == (2, True), (arguments, done.output)
        assert "Traceback" not in done.output


def test_without_the_sites_secret_nothing_is_made(webhook: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLCARD_AUTH__SECRET")
    done = webhook("list")
    assert (done.exit_code, "CALLCARD_AUTH__SECRET" in done.stderr) == (2, True)
