"""Real servers for the tests: one PostgreSQL and one Valkey a test process, fresh contents a test."""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.migrate import upgrade
from shared.bus import connect_redis
from shared.db import create_engine
from tests.clusters import ValkeyCluster
from tests.databases import Databases
from tests.examples import EXAMPLES
from tests.validators import RememberedValidators

TRACES = Path(__file__).parent / "traces" / "22"
PASSWORD = "correct horse"
"""Of the agents of the samples."""
_TEMPLATE = "migrated"


def pytest_configure() -> None:
    # How long an example takes is the machine's affair, and says nothing of the code.
    hypothesis.settings.register_profile("callcard", deadline=None, max_examples=20 * EXAMPLES)
    hypothesis.settings.load_profile("callcard")
    gc.disable()  # what is collected is not garbage


def pytest_collection_finish() -> None:
    gc.freeze()  # and stays: half a million objects that nobody need look through again and again
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _hasty_passwords() -> Iterator[None]:
    """Hashes are meant to be dear, a quarter of a second of CPU each, and hundreds of tests sign somebody in. What
    hashes really cost is `test_security`'s."""
    with pytest.MonkeyPatch.context() as patch:
        hasty = partial(Argon2Hasher, time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr("shared.security.Argon2Hasher", hasty)
        yield


@pytest.fixture(scope="session", autouse=True)
def _remembered_validators() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastapi._compat.v2.TypeAdapter", RememberedValidators())
        yield


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
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    """The databases of this test process."""
    databases = Databases(postgres.url)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def _migrated(databases: Databases) -> str:
    """Name of a database with the newest schema, to copy from."""
    asyncio.run(upgrade(databases.template(_TEMPLATE)))
    databases.keep(_TEMPLATE)
    return _TEMPLATE


@pytest.fixture(scope="session")
def sampled(databases: Databases, _migrated: str) -> str:
    """Name of a database with the samples, to copy from."""
    from services.samples import load_samples  # with half of the card API, which few folders' tests need

    url = databases.template("sampled", _migrated)

    async def fill() -> None:
        engine = create_engine(url)
        await load_samples(engine, PASSWORD)
        await engine.dispose()

    asyncio.run(fill())
    databases.keep("sampled")
    return "sampled"


@pytest.fixture
def database_template(_migrated: str) -> str:
    """Name of the database that `database_url` is a copy of: an empty one. Folders whose tests want samples have their
    own."""
    return _migrated


@pytest.fixture
def database_url(databases: Databases, database_template: str) -> Iterator[str]:
    """The URL of a database with the newest schema, for this test alone."""
    url = databases.take(database_template)
    yield url
    databases.give_back(url)


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


@pytest.fixture(scope="session")
def formed_cluster(server_folder: Path) -> Iterator[ValkeyCluster]:
    """A Redis Cluster of this test process; tests want `cluster`."""
    cluster = ValkeyCluster(server_folder)
    try:
        asyncio.run(cluster.form())
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def cluster(formed_cluster: ValkeyCluster) -> ValkeyCluster:
    """An empty Redis Cluster; which of two nodes is the master of the first slots is left to the tests before."""
    await formed_cluster.settled()
    await formed_cluster.empty()
    return formed_cluster
