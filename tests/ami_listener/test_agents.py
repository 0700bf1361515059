"""The listener's copy of whose phone is which follows Redis, and stays when Redis does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis

from ami_listener.agents import AgentPhoneBook, rules_for
from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.tracker import Tracker
from services.embedded import EmbeddedValkey
from shared.bus import AGENT_PHONES, AGENT_PHONES_CHANGED
from shared.contracts.agents import AgentPhone, AgentPhones
from shared.settings import PbxSettings
from tests.ami_listener.conftest import Logs
from tests.ami_listener.stub import TestClock, until
from tests.ami_listener.tracker.recordings import START

ANNA = AgentPhone(endpoint="PJSIP/alice", agent="anna")
BORIS = AgentPhone(endpoint="PJSIP/alice", pbx="branch", agent="boris")


async def write(redis: Redis, *phones: AgentPhone) -> None:
    """As the card API does."""
    await redis.set(AGENT_PHONES, AgentPhones(phones=list(phones)).to_json())
    await redis.publish(AGENT_PHONES_CHANGED, b"")


class Following:
    """A running copy whose changes can be awaited."""

    def __init__(self, book: AgentPhoneBook, clock: TestClock) -> None:
        self.book = book
        self.clock = clock
        self.changes = 0
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        book.on_change(self._on_change)

    def _on_change(self) -> None:
        self.changes += 1

        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def changed(self, times: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.changes >= times)


@asynccontextmanager
async def following(redis: Redis) -> AsyncIterator[Following]:
    clock = TestClock()
    book = AgentPhoneBook(redis, clock=clock)
    following = Following(book, clock)
    task = asyncio.create_task(book.run())
    try:
        yield following
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def subscribed(redis: Redis) -> None:
    async with asyncio.timeout(10):
        while not (await redis.pubsub_numsub(AGENT_PHONES_CHANGED))[0][1]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


async def reads(redis: Redis) -> int:
    """How often anybody has read a key of this Redis."""
    calls: int = (await redis.info("commandstats"))["cmdstat_get"]["calls"]
    return calls


class TestPhoneBook:
    async def test_what_is_there_at_the_start(self, redis: Redis) -> None:
        await write(redis, ANNA)
        async with following(redis) as copy:
            await copy.changed(1)
            assert copy.book.endpoints("main") == {"PJSIP/alice": "anna"}

    async def test_what_is_said_for_this_pbx_goes_before_what_is_said_for_any(self, redis: Redis) -> None:
        await write(redis, BORIS, ANNA)
        async with following(redis) as copy:
            await copy.changed(1)
            assert copy.book.endpoints("branch") == {"PJSIP/alice": "boris"}
            assert copy.book.endpoints("main") == {"PJSIP/alice": "anna"}

    async def test_a_change_is_taken_over_and_a_repetition_is_none(self, redis: Redis) -> None:
        async with following(redis) as copy:
            await subscribed(redis)
            assert copy.book.endpoints("main") == {}
            await write(redis, ANNA)
            await copy.changed(1)
            before = await reads(redis)
            await write(redis, ANNA)
            async with asyncio.timeout(10):
                while await reads(redis) == before:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.005)
            await write(redis)
            await copy.changed(2)
            assert (copy.changes, copy.book.endpoints("main")) == (2, {})

    async def test_rubbish_and_a_redis_that_lost_its_data_change_nothing(
        self, redis: Redis, logs: Logs
    ) -> None:
        await write(redis, ANNA)
        async with following(redis) as copy:
            await copy.changed(1)
            await redis.set(AGENT_PHONES, b'{"phones": 7}')
            await redis.publish(AGENT_PHONES_CHANGED, b"")
            await until(lambda: any("not readable" in entry["event"] for entry in logs))
            assert copy.book.endpoints("main") == {"PJSIP/alice": "anna"}
            await redis.delete(AGENT_PHONES)
            await redis.publish(AGENT_PHONES_CHANGED, b"")
            await write(redis, ANNA, BORIS)
            await copy.changed(2)
            assert copy.changes == 2

    async def test_redis_goes_away_and_comes_back(
        self, redis: Redis, valkey: EmbeddedValkey, logs: Logs
    ) -> None:
        await write(redis, ANNA)
        async with following(redis) as copy:
            await copy.changed(1)
            await asyncio.to_thread(valkey.stop)
            try:
                await copy.clock.sleeping()
                assert copy.book.endpoints("main") == {"PJSIP/alice": "anna"}
                await copy.clock.advance(1)
                await copy.clock.sleeping()
            finally:
                await asyncio.to_thread(valkey.start)
            await redis.flushall()
            await write(redis, ANNA, BORIS)
            await copy.clock.advance(1)
            await copy.changed(2)
            assert len([entry for entry in logs if "redis is away" in entry["event"]]) == 1


class TestRules:
    def test_settings_agents_and_variables(self) -> None:
        settings = PbxSettings(trunks=["PJSIP/t*"], variables=["CAMPAIGN"], country="KZ")
        rules = rules_for(settings, "RU", {"PJSIP/t-boss": "boss"})
        assert rules.kind("PJSIP/t-boss", "from-pstn", None) is EndpointKind.AGENT
        assert rules.kind("PJSIP/t1", "internal", "101") is EndpointKind.TRUNK
        assert rules.variables == {"CAMPAIGN"}
        assert rules.number("87011112233") == "+77011112233"

    def test_a_call_that_is_open_keeps_the_agents_it_has(self) -> None:
        settings = PbxSettings()
        tracker = Tracker("pbx", rules_for(settings, "RU", {"PJSIP/alice": "anna"}))

        def ring(uniqueid: int) -> list[str | None]:
            name, tail = f"1.{uniqueid}", f"{uniqueid:08x}"
            tracker.handle(
                AmiMessage(
                    Event="Newchannel", Channel=f"PJSIP/alice-{tail}", ChannelState="0", CallerIDNum="",
                    Context="internal", Exten="s", Uniqueid=name, Linkedid="1.1",
                ),
                START,
            )  # fmt: skip
            dialled = AmiMessage(Event="DialBegin", Uniqueid="1.1", DestUniqueid=name)
            (update,) = tracker.handle(dialled, START)
            return [leg.agent for leg in update.call.legs]

        tracker.handle(
            AmiMessage(
                Event="Newchannel", Channel="PJSIP/trunk-00000001", ChannelState="4", CallerIDNum="+79001112233",
                Context="from-pstn", Exten="+78000000003", Uniqueid="1.1", Linkedid="1.1",
            ),
            START,
        )  # fmt: skip
        assert ring(2) == ["anna"]
        tracker.use_rules(rules_for(settings, "RU", {"PJSIP/alice": "olga"}))
        assert ring(3) == ["anna", "olga"]
