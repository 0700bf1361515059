"""`callcard webhook …` as people meet it, on a real PostgreSQL."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from card_api.webhooks import signing
from services.cli.main import application
from services.cli.webhook_listen import receiver

SECRET = "a secret of the tests, long enough"
HOOK = UUID(int=7)
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


@pytest.mark.parametrize(("secret", "status"), [(None, 204), ("right", 204), ("wrong", 401)])
def test_listening_shows_what_comes_and_checks_it(
    secret: str | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {"right": signing.secret(SECRET, HOOK, 1), "wrong": signing.secret(SECRET, HOOK, 2)}
    body = b'{"type":"call.started"}'
    headers = signing.headers([secrets["right"]], "an id", datetime.now(UTC), body)
    with receiver(0, secrets[secret] if secret else None) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            answer = httpx.post(url, content=body, headers=headers, trust_env=False)
        finally:
            server.shutdown()
    assert answer.status_code == status
    assert (body.decode() in capsys.readouterr().out) is (status == 204)
