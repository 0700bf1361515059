"""Databases for tests: made from a template once, emptied and used again. Making one costs ten times that."""

import asyncio
import itertools
import threading
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

# A test that loaded more leaves dead rows behind that the next one would read past.
_GROWN_BYTES = 8 * 2**20

# Everything a template has beyond an empty schema, kept in it for `_RESET`.
_KEEP = """
do $$
declare name text; filled boolean;
begin
  drop schema if exists pristine cascade;
  create schema pristine;
  for name in select tablename from pg_tables where schemaname = 'public' loop
    execute format('select exists (select from public.%I)', name) into filled;
    if filled then execute format('create table pristine.%I as table public.%I', name, name); end if;
  end loop;
  create table pristine."#sequences" as
    select sequencename as name, last_value from pg_sequences where schemaname = 'public';
end $$
"""

# As it was, whatever refers to what: foreign keys and triggers rest meanwhile. Columns that PostgreSQL computes are
# computed again.
_RESET = """
do $$
declare name text; columns text; last bigint;
begin
  set local session_replication_role = replica;
  for name in select tablename from pg_tables where schemaname = 'public' loop
    execute format('delete from public.%I', name);
  end loop;
  for name in select tablename from pg_tables where schemaname = 'pristine' and tablename <> '#sequences' loop
    select string_agg(quote_ident(attname), ', ') into columns from pg_attribute
      where attrelid = format('public.%I', name)::regclass and attnum > 0 and not attisdropped and attgenerated = '';
    execute format('insert into public.%I (%s) overriding system value select %s from pristine.%I',
      name, columns, columns, name);
  end loop;
  for name, last in select s.name, s.last_value from pristine."#sequences" s loop
    execute format('select setval(%L, %s, %L)', format('public.%I', name), coalesce(last, 1), last is not null);
  end loop;
end $$
"""

# Waited for: who is ended in the middle of a commit may still finish it.
_OTHERS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""

# Tables, columns and triggers: a test that changed them gets nobody else into trouble.
_SHAPE = """
select md5(string_agg(what, '' order by what)) from (
  select c.relname || ' ' || a.attname || ' ' || a.atttypid || c.relkind::text as what from pg_class c
    join pg_attribute a on a.attrelid = c.oid where c.relnamespace = 'public'::regnamespace
  union all select tgname || tgenabled::text from pg_trigger where not tgisinternal
) shapes
"""


class Databases:
    """Of one server. From any thread, whatever loop runs there: the statements run in a loop of their own."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases", daemon=True)
        self._thread.start()
        self._numbers = itertools.count(1)
        self._free: dict[str, list[_Kept]] = defaultdict(list)
        self._taken: dict[str, tuple[str, _Kept]] = {}

    def template(self, name: str, origin: str | None = None) -> str:
        """Make a database to be filled and `keep`-ed; its URL."""
        self._run(self._make(name, origin))
        return self._url(name)

    def keep(self, name: str) -> None:
        """What is in the template now is what each database made of it begins with."""
        self._run(_once(self._url(name), _KEEP))
        self._run(_once(self._url(name), "checkpoint"))  # a crash takes nothing of it

    def take(self, template: str) -> str:
        """The URL of a database like the template, nobody else's until `give_back`."""
        return self._run(self._take(template))

    def give_back(self, url: str) -> None:
        self._run(self._give_back(url))

    def close(self) -> None:
        """Before the server ends."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _url(self, name: str) -> str:
        return self._server_url.rsplit("/", 1)[0] + "/" + name

    async def _make(self, name: str, origin: str | None) -> None:
        await _once(
            self._server_url, f'create database "{name}"' + (f' template "{origin}"' if origin else "")
        )

    async def _take(self, template: str) -> str:
        kept = None
        while kept is None and self._free[template]:
            kept = self._free[template].pop()
            if not await kept.is_there():
                await self._drop(kept)
                kept = None
        if kept is None:
            name = f"test{next(self._numbers)}"
            await self._make(name, template)
            kept = await _Kept.of(self._url(name))
        self._taken[kept.url] = (template, kept)
        return kept.url

    async def _give_back(self, url: str) -> None:
        template, kept = self._taken.pop(url)
        try:
            usable = await kept.reset()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            usable = False  # its server was killed, or its tables are not what they were
        if usable:
            self._free[template].append(kept)
        else:
            await self._drop(kept)

    async def _drop(self, kept: "_Kept") -> None:
        await kept.close()
        name = kept.url.rsplit("/", 1)[1]
        await _once(self._server_url, f'drop database if exists "{name}" with (force)')

    async def _close(self) -> None:
        for kept in itertools.chain.from_iterable(self._free.values()):
            await kept.close()


class _Kept:
    """A database with the connection that empties it."""

    def __init__(self, url: str, connection: "asyncpg.Connection[asyncpg.Record]", shape: str) -> None:
        self.url = url
        self._connection = connection
        self._shape = shape
        self._size = 0

    @classmethod
    async def of(cls, url: str) -> "_Kept":
        connection = await asyncpg.connect(url)
        kept = cls(url, connection, await connection.fetchval(_SHAPE))
        kept._size = await kept._bytes()
        return kept

    async def reset(self) -> bool:
        """Put it back to what it was; False if that cannot be."""
        await self._connection.execute(_OTHERS)
        if await self._connection.fetchval(_SHAPE) != self._shape:
            return False
        await self._connection.execute(_RESET)
        return await self._bytes() < self._size + _GROWN_BYTES

    async def is_there(self) -> bool:
        """False after a crash of the server: servers of tests write to disk when they like, so what was emptied may be
        full again."""
        try:
            await self._connection.execute("select")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True

    async def close(self) -> None:
        self._connection.terminate()

    async def _bytes(self) -> int:
        size: int = await self._connection.fetchval("select pg_database_size(current_database())")
        return size


async def _once(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
