"""`callcard push …` against a real Valkey."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from services.cli.main import application
from services.cli.push_tail import Printer, tail
from shared.push import PushPublisher
from tests.push_gateway.helpers import make_card


class Terminal:
    """What was printed."""

    def __init__(self) -> None:
        self.pushed: asyncio.Queue[tuple[dict[str, Any], datetime]] = asyncio.Queue()
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.printer = Printer(
            lambda push, at: self.pushed.put_nowait((push, at)), lambda text: self.said.put_nowait(text)
        )

    async def push(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return (await self.pushed.get())[0]

    async def say(self) -> str:
        async with asyncio.timeout(10):
            return await self.said.get()


@contextlib.asynccontextmanager
async def tailing(redis_url: str, *channels: str) -> AsyncIterator[Terminal]:
    terminal = Terminal()
    task = asyncio.create_task(tail(redis_url, channels, terminal.printer))
    try:
        yield terminal
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_tail_hears_what_a_tab_hears_also_after_its_link_was_cut(
    redis_url: str, redis: Redis
) -> None:
    publisher = PushPublisher(redis)
    await publisher.rebuild_desk([make_card()], ["101"])
    async with tailing(redis_url, "agent:101", "line:support") as terminal:
        said = {await terminal.say(), await terminal.say()}
        assert "agent:101: at #0, 1 open cards. Listening." in said
        assert any(text.startswith("line:support: nothing was published") for text in said)
        await publisher.publish_card(make_card(rev=2))
        push = await terminal.push()
        assert (push["channel"], push["pub"]["offset"]) == ("agent:101", 1)
        await redis.client_kill_filter(_type="pubsub")
        await publisher.publish_card(make_card(rev=3))
        await publisher.publish("line:support", b'{"type":"line"}')
        pushes = [await terminal.push(), await terminal.push()]
        assert {(p["channel"], p["pub"]["offset"]) for p in pushes} == {("agent:101", 2), ("line:support", 1)}
        await publisher.rebuild_desk([], ["101"])
        assert "begun anew" in await terminal.say()
        await publisher.publish_card(make_card("main-2"))
        assert (await terminal.push())["pub"]["offset"] == 1


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
        monkeypatch.delenv(name)
    return monkeypatch


async def test_the_command_masks_and_ends_at_ctrl_c(
    environment: pytest.MonkeyPatch, redis_url: str, redis: Redis
) -> None:
    environment.setenv("CALLCARD_REDIS__URL", redis_url)
    command = [sys.executable, "-m", "services.cli.main", "push", "tail", "--agent", "101"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Who runs the tests in the background has Ctrl-C ignored, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(50):  # a start is ten seconds of imports where others want the cores, too
        assert b"agent:101: nothing was published" in await process.stderr.readline()
        await PushPublisher(redis).publish_card(make_card())
        line = (await process.stdout.readline()).decode()
        assert "agent:101  #1  card ringing  no number А… К…  main-1 rev 1" in line
        process.send_signal(signal.SIGINT)
        assert (await process.wait(), await process.stderr.read()) == (0, b"")


def test_what_can_not_be_tailed_is_a_sentence(environment: pytest.MonkeyPatch, tmp_path: Any) -> None:
    environment.setenv("CALLCARD_DATA_DIR", str(tmp_path))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(application(["push"]), ["push", "tail", *arguments])
        assert (done.exit_code in (1, 2), done.stdout) == (True, "")
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "--agent LOGIN" in run()
    assert "is no name of a channel" in run("--line", "")
    assert "No Callcard is running" in run("--agent", "101")
    environment.setenv("CALLCARD_REDIS__URL", "redis://:hidden@127.0.0.1:1/0")
    refused = run("--agent", "101")
    assert "Redis at 127.0.0.1:1 cannot be used" in refused
    assert "hidden" not in refused


def test_the_asyncapi_document_is_printed() -> None:
    done = CliRunner().invoke(application(["push"]), ["push", "asyncapi"])
    assert json.loads(done.stdout)["asyncapi"] == "3.0.0"
