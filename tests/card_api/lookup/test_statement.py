"""The one statement: by number, by account, by what was said in the call; merged records; what comes along."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.lookup.repository import FIND, LookupRepository
from card_api.lookup.schemas import Found, FoundCustomer, Question
from shared.contracts.card import DoNotCallReason, MatchedBy

NUMBER = "+79001112233"
OTHER = "+78430001122"
THEN = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)


class Rows:
    """Puts rows into the tables."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, sql: str, **values: Any) -> Any:
        async with self._engine.begin() as connection:
            answer = await connection.execute(text(sql), values)
            return answer.scalar() if answer.returns_rows else None

    async def customer(self, key: str, *numbers: str, source: str = "crm", into: UUID | None = None) -> UUID:
        id_: UUID = await self.put(
            "insert into customers (source, external_id, name, merged_into) values (:s, :k, 'Имя ' || :k, :i) "
            "returning id",
            s=source,
            k=key,
            i=into,
        )
        for number in numbers:
            await self.phone(id_, number)
        return id_

    async def phone(self, customer: UUID, number: str, purpose: str = "contact", source: str = "crm") -> None:
        await self.put(
            "insert into customer_phones (customer_id, e164, as_typed, purpose, source) values (:c, :n, :n, :p, :s)",
            c=customer,
            n=number,
            p=purpose,
            s=source,
        )

    async def account(self, customer: UUID, number: str, key: str | None = None) -> None:
        await self.put(
            "insert into accounts (customer_id, source, external_id, number) values (:c, 'crm', :k, :n)",
            c=customer,
            k=key or number,
            n=number,
        )

    async def call(
        self, call_id: str, number: str | None, days: int = 1, agent: str = "101", answered: bool = True
    ) -> None:
        at = THEN - timedelta(days=days)
        await self.put(
            "insert into calls (call_id, pbx, version, direction, state, customer_number, agents, started_at, "
            "answered_at, document) values (:i, 'main', 1, 'inbound', 'ended', :n, array[:a], :at, :answered, '{}')",
            i=call_id,
            n=number,
            a=agent,
            at=at,
            answered=at if answered else None,
        )

    async def identity(
        self,
        call_id: str,
        customer: UUID | None,
        *,
        person: str | None = None,
        account: str | None = None,
        days: int = 1,
    ) -> None:
        await self.put(
            "insert into call_identities (call_id, customer_id, person, account, by_kind, by, at) "
            "values (:i, :c, :p, :a, 'agent', '101', :at)",
            i=call_id,
            c=customer,
            p=person,
            a=account,
            at=THEN - timedelta(days=days),
        )

    async def note(self, key: str, customer: UUID | None, call_id: str | None = None, days: int = 1) -> None:
        await self.put(
            "insert into notes (customer_id, call_id, text, author_kind, author, at) "
            "values (:c, :i, :t, 'agent', '101', :at)",
            c=customer,
            i=call_id,
            t=key,
            at=THEN - timedelta(days=days),
        )


@pytest.fixture
def rows(engine: AsyncEngine) -> Rows:
    return Rows(engine)


async def find(
    engine: AsyncEngine, number: str | None = None, account: str | None = None, call_id: str | None = None
) -> Found:
    repository = LookupRepository(engine)
    try:
        return await repository.find(Question(number, account, call_id))
    finally:
        await repository.close()


def how(found: Found) -> dict[str | None, tuple[MatchedBy, str | None]]:
    return {c.external_id: (c.matched_by, c.purpose) for c in found.customers}


class TestWhoIsFound:
    async def test_by_account_exactly(self, engine: AsyncEngine, rows: Rows) -> None:
        await rows.account(await rows.customer("A"), "Д-1")
        assert how(await find(engine, account="Д-1")) == {"A": (MatchedBy.ACCOUNT, None)}
        for other in ("д-1", "Д-1 ", "Д-", "%", "1"):
            assert (await find(engine, account=other)).customers == [], other

    async def test_by_number_and_account_one_customer_each_with_the_best_that_is_known(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        both = await rows.customer("both", NUMBER)
        await rows.account(both, "7")
        await rows.customer("number", NUMBER)
        await rows.account(await rows.customer("account"), "7")
        assert how(await find(engine, NUMBER, "7")) == {
            "both": (MatchedBy.ACCOUNT, "contact"),
            "number": (MatchedBy.NUMBER, "contact"),
            "account": (MatchedBy.ACCOUNT, None),
        }

    async def test_by_what_somebody_said_in_the_call(self, engine: AsyncEngine, rows: Rows) -> None:
        await rows.customer("number", NUMBER)
        await rows.identity("main-1", await rows.customer("said"), person="Анна")
        found = await find(engine, NUMBER, call_id="main-1")
        assert how(found) == {"number": (MatchedBy.NUMBER, "contact"), "said": (MatchedBy.AGENT, None)}
        assert found.person == "Анна"
        assert how(await find(engine, NUMBER, call_id="main-2")) == {"number": (MatchedBy.NUMBER, "contact")}

    async def test_an_account_said_to_an_agent_beats_the_one_typed(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        await rows.account(await rows.customer("typed"), "1")
        await rows.account(await rows.customer("said"), "2")
        await rows.identity("main-1", None, account="2")
        assert how(await find(engine, account="1", call_id="main-1")) == {"said": (MatchedBy.ACCOUNT, None)}

    async def test_the_best_purpose_of_a_number_that_a_customer_has_twice(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        customer = await rows.customer("A")
        await rows.phone(customer, NUMBER, "fax")
        await rows.phone(customer, NUMBER, "mobile", source="callcard")
        assert how(await find(engine, NUMBER)) == {"A": (MatchedBy.NUMBER, "mobile")}

    @pytest.mark.parametrize("nothing", ["", "null", "NUL\0", "\ud800", "x" * 10_000])
    async def test_what_nobody_can_have_finds_nobody(
        self, engine: AsyncEngine, rows: Rows, nothing: str
    ) -> None:
        await rows.account(await rows.customer("A", NUMBER), "1")
        found = await find(engine, nothing, nothing, nothing)
        assert (found.customers, found.history, found.notes) == ([], [], [])

    async def test_nothing_is_known_of_a_call_without_number(self, engine: AsyncEngine, rows: Rows) -> None:
        await rows.customer("A", NUMBER)
        await rows.call("x", None)
        assert await find(engine) == Found()


class TestMerged:
    async def test_records_of_one_customer_are_one_with_the_children_of_all(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        survivor = await rows.customer("S")
        merged = await rows.customer("M", NUMBER, source="billing", into=survivor)
        await rows.put("update customers set manager = '102', tags = '{new}' where id = :i", i=merged)
        for customer, number in ((survivor, "1"), (merged, "2")):
            await rows.account(customer, number)
            await rows.note(number, customer)
        [one] = (await find(engine, NUMBER)).customers
        assert (one.external_id, one.source, one.id) == ("S", "crm", str(survivor))
        assert (one.manager, one.origins, one.tags) == ("102", {"manager": "billing"}, ["new"])
        assert [(n.name, n.source) for n in one.names] == [("Имя M", "billing")]
        assert sorted(a.number for a in one.accounts) == ["1", "2"]
        assert sorted(n.text for n in one.notes) == ["1", "2"]
        assert [(r.source, r.external_id) for r in one.also] == [("billing", "M")]

    async def test_found_by_several_of_its_records_it_is_still_one(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        survivor = await rows.customer("S", NUMBER)
        merged = await rows.customer("M", NUMBER, source="billing", into=survivor)
        await rows.account(merged, "1")
        assert how(await find(engine, NUMBER)) == {"S": (MatchedBy.NUMBER, "contact")}
        assert how(await find(engine, NUMBER, "1")) == {"S": (MatchedBy.ACCOUNT, "contact")}

    async def test_history_by_the_numbers_of_all_records(self, engine: AsyncEngine, rows: Rows) -> None:
        survivor = await rows.customer("S", NUMBER)
        await rows.customer("M", OTHER, source="billing", into=survivor)
        await rows.call("own", NUMBER, 1)
        await rows.call("merged", OTHER, 2)
        assert [c.call_id for c in (await find(engine, NUMBER)).history] == ["own", "merged"]


class TestHistory:
    async def test_of_whom_somebody_named_by_all_their_numbers(self, engine: AsyncEngine, rows: Rows) -> None:
        await rows.customer("number", NUMBER)
        await rows.identity("main-1", await rows.customer("said", OTHER))
        await rows.call("by-number", NUMBER, 1)
        await rows.call("by-other", OTHER, 2)
        assert [c.call_id for c in (await find(engine, NUMBER)).history] == ["by-number"]
        found = await find(engine, NUMBER, call_id="main-1")
        assert [c.call_id for c in found.history] == ["by-number", "by-other"]
        hidden = await find(engine, None, call_id="main-1")
        assert [c.call_id for c in hidden.history] == ["by-other"]

    async def test_of_who_shares_an_account_and_alone_has_the_number(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        caller = await rows.customer("A", NUMBER, OTHER)
        for customer in (caller, await rows.customer("B", "+71")):
            await rows.account(customer, "7")
        await rows.call("other", OTHER, 2)
        assert [c.call_id for c in (await find(engine, NUMBER, "7")).history] == ["other"]
        assert (await find(engine, account="7")).history == []

    async def test_calls_in_which_the_customer_was_named_from_any_number_each_once(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        customer = await rows.customer("A", NUMBER)
        await rows.call("own", NUMBER, 1)
        await rows.call("strange", "+79998887766", 2)
        await rows.call("hidden", None, 3)
        for call_id in ("own", "strange", "hidden"):
            await rows.identity(call_id, customer)
        assert [c.call_id for c in (await find(engine, NUMBER)).history] == ["own", "strange", "hidden"]

    async def test_the_newest_of_many(self, engine: AsyncEngine, rows: Rows) -> None:
        await rows.customer("A", NUMBER, OTHER)
        for day in range(20):
            await rows.call(f"c-{day:02}", NUMBER if day % 2 else OTHER, day)
        assert [c.call_id for c in (await find(engine, NUMBER)).history] == [f"c-{n:02}" for n in range(11)]


class TestWhatComesAlong:
    async def test_notes_of_the_customer_and_of_the_call(self, engine: AsyncEngine, rows: Rows) -> None:
        customer = await rows.customer("A", NUMBER)
        for day in range(12):
            await rows.note(f"n-{day:02}", customer, days=day)
        await rows.note("call", None, "main-1", days=2)
        await rows.note("other call", None, "main-2")
        found = await find(engine, NUMBER, call_id="main-1")
        assert [n.text for n in found.customers[0].notes] == [f"n-{day:02}" for day in range(10)]
        assert [(n.text, n.author, n.call_id) for n in found.notes] == [("call", "101", "main-1")]

    async def test_the_last_talk_of_each_of_several(self, engine: AsyncEngine, rows: Rows) -> None:
        one, two = await rows.customer("A", NUMBER), await rows.customer("B", NUMBER)
        await rows.customer("C", NUMBER)
        for call_id, customer, days, agent in (
            ("1", one, 9, "101"),
            ("2", one, 3, "102"),
            ("3", two, 5, "103"),
        ):
            await rows.call(call_id, NUMBER, days, agent)
            await rows.identity(call_id, customer, days=days)
        await rows.call("missed", NUMBER, 1, answered=False)
        await rows.identity("missed", one, days=1)
        await rows.call("main-1", NUMBER, 0)
        await rows.identity("main-1", two, days=0)

        def talks(customers: list[FoundCustomer]) -> dict[str, tuple[int, str | None] | None]:
            return {
                c.external_id: ((THEN - c.last_talk.at).days, c.last_talk.agent) if c.last_talk else None
                for c in customers
            }

        found = await find(engine, NUMBER, call_id="main-1")
        assert talks(found.customers) == {"A": (3, "102"), "B": (5, "103"), "C": None}, (
            "not the call that goes on"
        )

    async def test_do_not_call_and_the_black_list_of_the_number(
        self, engine: AsyncEngine, rows: Rows
    ) -> None:
        await rows.put(
            "insert into do_not_call (e164, reason, comment, by_kind, by) values (:n, 'asked', 'x', 'agent', '101')",
            n=NUMBER,
        )
        for number, until in (
            (NUMBER, None),
            (OTHER, "now() - interval '1 s'"),
            ("+71", "now() + interval '1 h'"),
        ):
            await rows.put(
                f"insert into black_list (e164, until, by_kind, by) values (:n, {until or 'null'}, 'agent', '104')",
                n=number,
            )
        found = await find(engine, NUMBER)
        assert found.do_not_call is not None
        assert found.do_not_call.reason is DoNotCallReason.ASKED
        assert found.black_listed is not None
        over = await find(engine, OTHER)
        assert (over.do_not_call, over.black_listed) == (None, None)
        still = (await find(engine, "+71")).black_listed
        assert still is not None
        assert still.until is not None


async def test_every_table_of_any_size_is_read_by_an_index(database_url: str) -> None:
    """With ten thousand customers no step reads a table whole: so a million cost what ten thousand do."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            """
            insert into customers (source, external_id, name, merged_into)
                select 'crm', n::text, 'N', null from generate_series(1, 10000) n;
            update customers set merged_into = (select id from customers where external_id = '1')
                where external_id between '2' and '20' and length(external_id) < 3;
            insert into customer_phones (customer_id, e164, as_typed)
                select id, '+79' || lpad(external_id, 9, '0'), external_id from customers;
            insert into accounts (customer_id, source, external_id, number)
                select id, 'crm', external_id, external_id from customers;
            insert into tickets (customer_id, source, external_id, number, subject, status)
                select id, 'crm', external_id, external_id, 's', 'open' from customers;
            insert into orders (customer_id, source, external_id, number, title)
                select id, 'crm', external_id, external_id, 't' from customers;
            insert into customer_names (customer_id, name, source) select id, 'n', 'crm' from customers;
            insert into customer_people (customer_id, name, source) select id, 'n', 'crm' from customers;
            insert into calls (call_id, pbx, version, direction, state, customer_number, started_at, document)
                select external_id, 'main', 1, 'inbound', 'ended', '+79' || lpad(external_id, 9, '0'), now(), '{}'
                from customers;
            insert into agents (login, name) select n::text, 'A' from generate_series(1, 5000) n;
            insert into notes (customer_id, call_id, text, author_kind, author)
                select id, external_id, 't', 'agent', '101' from customers;
            insert into call_identities (call_id, customer_id, by_kind, by)
                select external_id, id, 'agent', '101' from customers;
            insert into do_not_call (e164, reason, by_kind, by)
                select e164, 'asked', 'agent', '101' from customer_phones;
            insert into black_list (e164, by_kind, by) select e164, 'agent', '101' from customer_phones;
            analyze;
            set plan_cache_mode = force_generic_plan;
            """
        )
        await connection.execute("prepare find as " + FIND)
        plan = [row[0] for row in await connection.fetch("explain execute find('+79000000001', '1', '1')")]
    finally:
        await connection.close()
    read_whole = [line for line in plan if "Seq Scan" in line and "on categories" not in line]
    assert read_whole == [], "\n".join(plan)
    for index in (
        "customer_phones_e164_idx",
        "customers_merged_into_idx",
        "calls_customer_number_idx",
        "call_identities_customer_id_idx",
        "accounts_number_idx",
        "notes_customer_id_idx",
        "notes_call_id_idx",
        "tickets_",
        "orders_",
        "accounts_customer_id_",
        "do_not_call_pkey",
        "black_list_pkey",
        "agents_login_key",
    ):
        assert any(index in line for line in plan), "\n".join([index, *plan])
