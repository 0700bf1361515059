"""The embedded servers: they keep data, refuse a second owner, and end with their owner."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from services.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey


def _sql(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_postgres_keeps_its_data_over_a_crash(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / "keeps").start()
    try:
        _sql(server.url, "create table t as select 7 as x")
        server.kill()
        server.start()
        assert _sql(server.url, "select x from t") == 7
    finally:
        server.stop()


def test_a_second_owner_of_the_data_is_refused_with_a_sentence(
    postgres: EmbeddedPostgres, server_folder: Path
) -> None:
    with pytest.raises(EmbeddedError, match="already uses this data folder"):
        EmbeddedPostgres(server_folder).start()


def test_valkey_keeps_its_data(server_folder: Path) -> None:
    server = EmbeddedValkey(server_folder / "keeps").start()
    try:
        Redis.from_url(server.url).set("a", "b")
        server.stop()
        server.start()
        assert Redis.from_url(server.url).get("a") == b"b"
    finally:
        server.stop()


def test_children_end_when_the_owner_is_killed(server_folder: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, signal, pathlib\n"
            "from services.embedded import EmbeddedValkey\n"
            "v = EmbeddedValkey(pathlib.Path(sys.argv[1]), durable=False).start()\n"
            "print(v.pid, flush=True)\n"
            "signal.pause()\n",
            str(server_folder / "killed"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    # The pipe is inherited by nobody else, so a pidfd tells when the child is gone.
    child = os.pidfd_open(pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    ended, _, _ = select.select([child], [], [], 10)
    assert ended, "the embedded server outlived its owner"
