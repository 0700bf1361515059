"""Making, knowing, rotating and revoking keys, on PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.gate import KeyGate
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.scopes import SCOPES, allows
from card_api.api_keys.service import ApiKeyError, ApiKeyService, By, Made
from card_api.audit.models import audit_log
from shared.errors import TooManyRequests, Unauthorised

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Clocks:
    """The wall's and the monotonic one, moved by the test."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def keys(engine: AsyncEngine, clocks: Clocks) -> ApiKeyService:
    return ApiKeyService(ApiKeyRepository(engine), clocks.now, clocks.monotonic)


async def made(keys: ApiKeyService, **more: Any) -> Made:
    return await keys.make("CRM", ["lookup"], **more)


class TestLife:
    async def test_a_revoked_key_stops_here_at_once_and_elsewhere_within_seconds(
        self, keys: ApiKeyService, engine: AsyncEngine, clocks: Clocks
    ) -> None:
        elsewhere = ApiKeyService(ApiKeyRepository(engine), clocks.now, clocks.monotonic)
        key, record = await made(keys)
        assert await keys.verify(key) is not None
        assert await elsewhere.verify(key) is not None
        assert await keys.revoke(record)
        assert await keys.verify(key) is None
        clocks.passed = 5.1
        assert await elsewhere.verify(key) is None
        assert not await keys.revoke(record)

    async def test_a_key_ends_when_it_was_to_end_also_while_it_is_remembered(
        self, keys: ApiKeyService, clocks: Clocks
    ) -> None:
        key, _ = await made(keys, expires_at=NOW + timedelta(seconds=3))
        assert await keys.verify(key) is not None
        clocks.passed = 2.9
        assert await keys.verify(key) is not None
        clocks.passed = 3.0
        assert await keys.verify(key) is None
        clocks.passed = 9.0
        assert await keys.verify(key) is None

    async def test_rotation_gives_the_same_rights_and_lets_the_old_one_live_a_while(
        self, keys: ApiKeyService, clocks: Clocks
    ) -> None:
        old = await keys.make("CRM", ["lookup", "floor"], per_second=7)
        assert await keys.verify(old.key) is not None
        new = await keys.rotate(old.record, timedelta(hours=1))
        record = new.record
        assert (record.name, sorted(record.scopes), record.per_second, record.expires_at) == (
            "CRM",
            ["floor", "lookup"],
            7,
            None,
        )
        assert await keys.verify(old.key) is not None
        clocks.passed = 3600.0
        assert await keys.verify(old.key) is None
        assert await keys.verify(new.key) is not None

    async def test_rotation_makes_no_end_later(self, keys: ApiKeyService) -> None:
        ends = NOW + timedelta(minutes=5)
        old = await made(keys, expires_at=ends)
        new = await keys.rotate(old.record)
        assert [k.expires_at for k in await keys.all()] == [ends, ends]
        later = await keys.rotate(new.record, expires_at=NOW + timedelta(days=9))
        assert later.record.expires_at == NOW + timedelta(days=9)

    async def test_what_does_not_work_is_not_rotated(self, keys: ApiKeyService, clocks: Clocks) -> None:
        revoked, expired = await made(keys), await made(keys, expires_at=NOW + timedelta(seconds=1))
        await keys.revoke(revoked.record)
        clocks.passed = 2.0
        for gone in (revoked, expired):
            with pytest.raises(ApiKeyError, match="nothing to rotate"):
                await keys.rotate(gone.record)
        assert len(await keys.all()) == 2

    async def test_the_secret_is_not_stored(self, keys: ApiKeyService, engine: AsyncEngine) -> None:
        key = await keys.create("CRM", ["lookup"])
        async with engine.connect() as connection:
            tables = "select cast(api_keys as text) from api_keys union all select cast(a as text) from audit_log a"
            rows = " ".join((await connection.execute(text(tables))).scalars())
        assert "CRM" in rows
        assert key[10:] not in rows

    async def test_its_last_use_is_noted(self, keys: ApiKeyService) -> None:
        await keys.verify(await keys.create("CRM", ["lookup"]))
        await keys.note_use()
        assert [k.last_used_at for k in await keys.all()] == [NOW]

    async def test_who_did_what_is_in_the_audit_log(self, keys: ApiKeyService, engine: AsyncEngine) -> None:
        first = await made(keys)
        second = await keys.rotate(first.record, by=By("api_key", "cck_boss"))
        await keys.revoke(second.record)
        async with engine.connect() as connection:
            entries = (await connection.execute(select(audit_log).order_by(audit_log.c.id))).all()
        assert [(e.actor_kind, e.actor, e.action, e.subject) for e in entries] == [
            ("system", "command line", "apikey.created", first.record.prefix),
            ("api_key", "cck_boss", "apikey.rotated", second.record.prefix),
            ("system", "command line", "apikey.revoked", second.record.prefix),
        ]
        assert entries[1].detail["replaces"] == first.record.prefix

    async def test_a_key_that_makes_no_sense(self, keys: ApiKeyService) -> None:
        wrong: list[tuple[str, list[str], dict[str, Any], str]] = [
            ("", ["lookup"], {}, "name is empty"),
            ("a\nb", ["lookup"], {}, "one line"),
            ("x" * 101, ["lookup"], {}, "at most 100"),
            ("x", ["fly"], {}, "no scope 'fly'"),
            ("x", [], {}, "without a scope"),
            ("x", ["lookup"], {"per_second": 0}, "of no use"),
            ("x", ["lookup"], {"expires_at": NOW}, "is over"),
        ]
        for name, scopes, more, says in wrong:
            with pytest.raises(ApiKeyError, match=says):
                await keys.make(name, scopes, **more)
        assert await keys.all() == []


def test_admin_may_do_everything_others_what_they_were_given() -> None:
    for scope in SCOPES:
        assert allows({"admin"}, scope)
        assert allows({scope}, scope)
    assert not allows({"customers:read", "calls:write"}, "customers:write")
    # Erasing is no part of writing: the list says so to who gives out keys.
    assert [scope for scope, what in SCOPES.items() if "eras" in what] == ["admin"]


class TestGate:
    async def test_a_key_has_its_own_limit_or_the_sites(self, keys: ApiKeyService, clocks: Clocks) -> None:
        gate = KeyGate(keys, 3, clocks.monotonic)
        wild, own = await made(keys), await made(keys, per_second=10)
        for _ in range(6):
            await gate.admit(wild.key, "a")
        with pytest.raises(TooManyRequests, match="3 times a second") as refused:
            await gate.admit(wild.key, "a")
        assert (refused.value.headers or {})["RateLimit-Policy"] == '"key";q=3;w=1'
        for _ in range(20):
            await gate.admit(own.key, "a")
        with pytest.raises(TooManyRequests):
            await gate.admit(own.key, "a")
        clocks.passed = 1 / 3
        assert (await gate.admit(wild.key, "a")).id == wild.record.id

    async def test_guessing_is_limited_by_address_and_locks_no_good_key_out(
        self, keys: ApiKeyService, clocks: Clocks
    ) -> None:
        gate = KeyGate(keys, 100, clocks.monotonic)
        good, fresh = await made(keys), await made(keys)
        await gate.admit(good.key, "proxy")
        for n in range(20):
            with pytest.raises(Unauthorised):
                await gate.admit("cck_guess" if n % 2 else "nonsense", "proxy")
        with pytest.raises(TooManyRequests, match="wrong API keys"):
            await gate.admit("cck_guess", "proxy")
        clocks.passed = 0.5
        with pytest.raises(TooManyRequests):
            await gate.admit(fresh.key, "proxy")
        await gate.admit(good.key, "proxy")
        await gate.admit(fresh.key, "elsewhere")
        # From now on it is one that was good, also when it must be looked up again.
        clocks.passed = 0.6
        await gate.admit(fresh.key, "proxy")

    async def test_guesses_are_forgiven_with_time(self, keys: ApiKeyService, clocks: Clocks) -> None:
        gate = KeyGate(keys, 100, clocks.monotonic)
        fresh = await made(keys)
        for _ in range(20):
            with pytest.raises(Unauthorised):
                await gate.admit("cck_guess", "a")
        clocks.passed = 1.0
        await gate.admit(fresh.key, "a")
