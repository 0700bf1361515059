"""Real servers for the tests: one PostgreSQL and one Valkey a test process, fresh contents a test."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.migrate import upgrade
from shared.bus import connect_redis
from shared.db import create_engine

TRACES = Path(__file__).parent / "traces" / "22"
_TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder the servers' own user may reach. Not pytest's: every run that starts closes that to other users."""
    with tempfile.TemporaryDirectory(prefix="callcard-tests-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of this test process; most tests want `database_url` or `engine`."""
    server = EmbeddedPostgres(server_folder, durable=False).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _migrated(postgres: EmbeddedPostgres) -> str:
    """Name of a database with the newest schema, to copy from."""

    async def make() -> None:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(f'create database "{_TEMPLATE}"')
        await connection.close()
        await upgrade(_named(postgres.url, _TEMPLATE))

    asyncio.run(make())
    return _TEMPLATE


def _named(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + database


_numbers = itertools.count(1)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, _migrated: str) -> Iterator[str]:
    """The URL of an empty database with the newest schema, for this test alone."""
    name = f"t{next(_numbers)}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run(f'create database "{name}" template "{_migrated}"'))
    yield _named(postgres.url, name)
    asyncio.run(run(f'drop database if exists "{name}" with (force)'))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def valkey(server_folder: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey of this test process; a test that kills it must start it again."""
    server = EmbeddedValkey(server_folder, durable=False).start()
    yield server
    server.stop()


@pytest.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = connect_redis(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def redis_url(redis: Redis, valkey: EmbeddedValkey) -> str:
    """The URL of the same Redis, emptied."""
    return valkey.url
