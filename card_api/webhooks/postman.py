"""The worker's loop: PgQueuer's jobs to the courier, and what has to be put in order now and then."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

import asyncpg
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import PgqException, RetryRequested
from pgqueuer.domain.models import Job, TableChangedEvent, TracebackRecord, utc_now

from card_api.background import end
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, sentence
from card_api.webhooks.delivery import Courier
from card_api.webhooks.hooks import HookRepository
from card_api.webhooks.jobs import delivery_of, entrypoint
from card_api.webhooks.repository import DeliveryRepository
from shared.db import CONNECT_SECONDS, server_settings
from shared.observability import logger

# Requests at a time to one receiver, from all workers together. One that hangs holds these and nothing of the others.
_AT_ONCE = 4
# Jobs a statement takes.
_BATCH = 20
# A worker that is killed tells nobody; its jobs are taken over when they have not beaten for so long.
HEARTBEAT = timedelta(seconds=30)
# PostgreSQL tells of new jobs and PgQueuer knows when the next retry is due; this is for a notice that was lost, and
# for the jobs of a hook that was just made known.
_LOOK_AGAIN = timedelta(seconds=5)
# A new hook's jobs are taken so soon.
_KNOW_SECONDS = 1.0
# By then it listens, after one round trip.
_LISTENS_SECONDS = 1.0
# PostgreSQL went away while a job was worked on.
_AGAIN = timedelta(seconds=3)
# At the end: time to hand back what is on its way, within the five seconds that Ctrl-C promises.
_STOP_SECONDS = 1.5
_RESCUE_SECONDS = 60.0
# A job is there with its delivery; so long after its time without one, it is lost.
_LOST_AFTER = timedelta(minutes=2)
_CLEAR_SECONDS = 3600.0
# PgQueuer's own log is of use for a look at what just happened.
_KEEP_LOG = timedelta(days=1)


class _Queries(Queries):
    """PostgreSQL tells a worker of new jobs, not of one that is put back for later: a worker that fell asleep while the
    job was worked on would look again when its time is long over."""

    async def retry_job(self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None) -> None:
        await super().retry_job(job, delay, traceback_record)
        settings = self.qbe.settings
        changed = TableChangedEvent(
            channel=settings.channel,
            sent_at=utc_now(),
            type="table_changed_event",
            operation="update",
            table=settings.queue_table,
        )
        await self.driver.notify(settings.channel, changed.model_dump_json())


class _Manager(QueueManager):
    """PgQueuer asks whether it hears PostgreSQL while it begins to listen. On a busy machine the first question is too
    early now and then: nobody hears it, and ten seconds later everything begins anew."""

    async def _run_periodic_health_check(self, interval: timedelta = timedelta(seconds=10)) -> None:
        await asyncio.sleep(_LISTENS_SECONDS)
        await super()._run_periodic_health_check(interval)


class Postman:
    """`run()` until cancelled; survives PostgreSQL going away. keep_*: how long finished deliveries stay."""

    def __init__(
        self,
        database_url: str,
        hooks: HookRepository,
        courier: Courier,
        deliveries: DeliveryRepository,
        now: Callable[[], datetime],
        keep_delivered: timedelta,
        keep_dead: timedelta,
        heartbeat: timedelta = HEARTBEAT,
    ) -> None:
        self._url = database_url
        self._hooks = hooks
        self._courier = courier
        self._deliveries = deliveries
        self._now = now
        self._keep_delivered = keep_delivered
        self._keep_dead = keep_dead
        self._heartbeat = heartbeat
        self._stopping = asyncio.Event()
        self._log = logger("webhooks")
        self.working = False
        """Are jobs being taken?"""

    async def run(self) -> None:
        # At INFO it tells of each job it takes and each retry, which our own lines do better.
        logging.getLogger("pgqueuer").setLevel(logging.WARNING)
        order = asyncio.create_task(self._keep_order())
        backoff = Backoff()
        try:
            while True:
                try:
                    await self._work(backoff)
                # RuntimeError: PgQueuer does not find its tables, before the migration.
                except (*DATABASE_ERRORS, PgqException, RuntimeError) as error:
                    if backoff.fresh:
                        self._log.error("web hooks wait: no jobs from postgresql", reason=sentence(error))
                except Exception as error:
                    self._log.error("the worker of web hooks failed and begins anew", exc_info=error)
                finally:
                    self.working = False
                await asyncio.sleep(backoff.next())
        finally:
            await end([order])

    async def _work(self, backoff: Backoff) -> None:
        """Take jobs over one set of connections, until they break."""
        async with asyncpg.create_pool(
            self._url,
            min_size=2,  # one of them listens
            max_size=4,
            timeout=CONNECT_SECONDS,
            server_settings=server_settings(),
        ) as pool:
            queue = _Manager(_Queries.from_asyncpg_pool(pool))
            await self._know_hooks(queue)
            taking = asyncio.create_task(
                queue.run(
                    dequeue_timeout=min(_LOOK_AGAIN, self._heartbeat),
                    batch_size=_BATCH,
                    heartbeat_timeout=self._heartbeat,
                    shutdown_on_listener_failure=True,
                    log_aggregation_interval=timedelta(0),  # nobody reads its statistics
                )
            )
            knowing = asyncio.create_task(self._know_hooks_forever(queue))
            self.working = True
            backoff.reset()
            try:
                await asyncio.wait({taking})
                await taking
            finally:
                # Never cancel the queue's own tasks: PgQueuer deletes a job that is cancelled, and with it the
                # delivery would be lost until it is rescued. They are told to hand their jobs back instead.
                self._stopping.set()
                queue.shutdown.set()
                await end([knowing])
                await asyncio.wait({taking}, timeout=_STOP_SECONDS)
                await end([taking])
                self._stopping.clear()

    async def _know_hooks_forever(self, queue: QueueManager) -> None:
        while True:
            await asyncio.sleep(_KNOW_SECONDS)
            try:
                await self._know_hooks(queue)
            except DATABASE_ERRORS:
                continue  # whoever takes jobs says that PostgreSQL is away

    async def _know_hooks(self, queue: QueueManager) -> None:
        """Take the jobs of every hook there is; a hook that is no more keeps its name, it has no jobs."""
        for webhook_id in await self._hooks.ids():
            name = entrypoint(webhook_id)
            if name not in queue.entrypoint_registry:
                queue.entrypoint(name, concurrency_limit=_AT_ONCE)(self._job)

    async def _job(self, job: Job) -> None:
        delivering = asyncio.create_task(self._courier.deliver(delivery_of(job.payload)))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({delivering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not delivering.done():
                raise RetryRequested(reason="the worker ends")
            wait = await delivering
        except DATABASE_ERRORS as error:
            raise RetryRequested(_AGAIN, sentence(error)) from None
        except RetryRequested:
            raise
        except Exception as error:
            # A bug; the delivery stays, with its job.
            self._log.error("a delivery could not be made", exc_info=error)
            raise RetryRequested(_LOST_AFTER, type(error).__name__) from None
        finally:
            await end([delivering, stopping])
        if wait is not None:
            raise RetryRequested(wait, "not delivered yet")

    async def _keep_order(self) -> None:
        """Until cancelled: new jobs for those that were lost, and away with what is old."""
        clear_at = 0.0
        while True:
            try:
                await self.rescue()
                if monotonic() >= clear_at:
                    await self.clear()
                    clear_at = monotonic() + _CLEAR_SECONDS
            except DATABASE_ERRORS:
                pass  # whoever takes jobs says that PostgreSQL is away
            except Exception as error:
                self._log.error("deliveries could not be put in order", exc_info=error)
            await asyncio.sleep(_RESCUE_SECONDS)

    async def rescue(self) -> None:
        """New jobs for deliveries that have lost theirs."""
        if rescued := await self._deliveries.rescue(self._now() - _LOST_AFTER):
            self._log.warning("deliveries had lost their jobs and have new ones", deliveries=rescued)

    async def clear(self) -> None:
        """Delete finished deliveries that are old."""
        now = self._now()
        cleared = await self._deliveries.clear(
            now - self._keep_delivered, now - self._keep_dead, now - _KEEP_LOG
        )
        if cleared:
            self._log.info("old deliveries were cleared away", deliveries=cleared)
