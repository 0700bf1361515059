"""All SQL about deliveries: sending them, replaying, clearing up, erasing. (About hooks: `hooks.py`.)"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.webhooks import jobs
from card_api.webhooks.models import webhook_deliveries, webhooks
from card_api.webhooks.sender import Outcome, Receiver

# A bite of rows: well within a statement's time, and others get their turn between two.
_BITE = 1000
# Last success is for people: to the minute is exact enough, and a busy hook's row is not written at each delivery.
_SUCCESS_NOTED = timedelta(minutes=1)
GONE = "The receiver answered 410 Gone: it wants no more."

_d, _h = webhook_deliveries.c, webhooks.c


@dataclass(frozen=True, slots=True)
class Due:
    """A pending delivery and where it goes. behind_until: when the earlier event of the same subject, which must arrive
    first, is tried next; None: there is none. payload None: erased. attempts: failed ones so far."""

    id: int
    event_id: UUID
    type: str
    payload: dict[str, Any] | None
    attempts: int
    format: str
    active: bool
    receiver: Receiver
    behind_until: datetime | None


class DeliveryRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def due(self, delivery_id: int) -> Due | None:
        """The delivery, if it is still to be made."""
        earlier = webhook_deliveries.alias("earlier")
        behind = (
            select(earlier.c.next_at)
            .where(
                earlier.c.webhook_id == _d.webhook_id,
                earlier.c.subject == _d.subject,
                earlier.c.id < _d.id,
                earlier.c.state == "pending",
            )
            .order_by(earlier.c.id)
            .limit(1)
            .scalar_subquery()
        )
        statement = (
            select(
                webhook_deliveries,
                _h.url,
                _h.format,
                _h.active,
                _h.secret_version,
                _h.secret_rotated_at,
                behind.label("behind_until"),
            )
            .join_from(webhook_deliveries, webhooks, _h.id == _d.webhook_id)
            .where(_d.id == delivery_id, _d.state == "pending")
        )
        async with self._single.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        receiver = Receiver(row.webhook_id, row.url, row.secret_version, row.secret_rotated_at)
        return Due(
            row.id,
            row.event_id,
            row.type,
            row.payload,
            row.attempts,
            row.format,
            row.active,
            receiver,
            row.behind_until,
        )

    async def delivered(self, due: Due, outcome: Outcome, now: datetime) -> None:
        done = _finish(due, "delivered", now).values(
            attempts=_d.attempts + 1, status_code=outcome.status_code, error=None
        )
        fine = (
            update(webhooks)
            .where(
                _h.id == due.receiver.webhook_id,
                or_(
                    _h.failing_since.is_not(None),
                    _h.last_success_at.is_(None),
                    _h.last_success_at < now - _SUCCESS_NOTED,
                ),
            )
            .values(failing_since=None, last_success_at=now)
        )
        async with self._engine.begin() as connection:
            await connection.execute(done)
            await connection.execute(fine)

    async def failed(self, due: Due, outcome: Outcome, now: datetime, next_at: datetime | None) -> None:
        """A try that failed; `next_at` None: there is no other. A receiver that is gone is sent nothing more."""
        noted = (
            update(webhook_deliveries)
            .where(_d.id == due.id, _d.state == "pending")
            .values(
                attempts=_d.attempts + 1,
                status_code=outcome.status_code,
                error=outcome.error,
                next_at=next_at,
                state="pending" if next_at else "dead",
                finished_at=None if next_at else now,
            )
        )
        hook = update(webhooks).where(_h.id == due.receiver.webhook_id)
        failing = hook.where(_h.failing_since.is_(None)).values(failing_since=now)
        async with self._engine.begin() as connection:
            await connection.execute(noted)
            await connection.execute(failing)
            if outcome.gone:
                await connection.execute(
                    hook.where(_h.active).values(active=False, switched_off=GONE, updated_at=now)
                )

    async def bury(self, due: Due, why: str, now: datetime) -> None:
        """Give it up without a try."""
        async with self._single.connect() as connection:
            await connection.execute(_finish(due, "dead", now).values(error=why))

    async def replay(self, webhook_id: UUID, delivery_id: int, now: datetime) -> bool:
        """Send a finished delivery once more, as if it were new; False if it is not finished, erased or unknown."""
        async with self._engine.begin() as connection:
            return bool(await _revive(connection, _d.id == delivery_id, webhook_id, now))

    async def replay_dead(self, webhook_id: UUID, now: datetime) -> int:
        """Send all that were given up once more; returns how many."""
        total = 0
        while True:
            async with self._engine.begin() as connection:
                revived = await _revive(connection, _d.state == "dead", webhook_id, now)
            total += revived
            if revived < _BITE:
                return total

    async def rescue(self, due_before: datetime) -> int:
        """A new job for each delivery that should have been tried and has none, because its job was lost with a
        process or a database restored; returns how many."""
        jobless = text(
            f"not exists (select from pgqueuer j where j.dedupe_key = {jobs.dedupe_key_sql('webhook_deliveries.id')}"
            " and j.status in ('queued', 'picked'))"
        )
        statement = (
            select(_d.id, _d.webhook_id)
            .where(_d.state == "pending", _d.next_at < due_before, jobless)
            .order_by(_d.id)
            .limit(_BITE)
        )
        async with self._engine.begin() as connection:
            lost = (await connection.execute(statement)).all()
            await jobs.enqueue(connection, [(row.id, row.webhook_id) for row in lost])
        return len(lost)

    async def clear(self, delivered_before: datetime, dead_before: datetime, log_before: datetime) -> int:
        """Delete what is finished and old, and PgQueuer's own log, which it keeps for ever; returns how many
        deliveries."""
        old = (
            select(_d.id)
            .where(
                or_(
                    and_(_d.state == "delivered", _d.finished_at < delivered_before),
                    and_(_d.state == "dead", _d.finished_at < dead_before),
                )
            )
            .limit(_BITE)
        )
        total = 0
        while True:
            async with self._engine.begin() as connection:
                gone = (
                    await connection.execute(
                        delete(webhook_deliveries).where(_d.id.in_(old.scalar_subquery()))
                    )
                ).rowcount
            total += gone
            if gone < _BITE:
                break
        async with self._engine.begin() as connection:
            await connection.execute(
                text("delete from pgqueuer_log where created < :before"), {"before": log_before}
            )
        return total


def _finish(due: Due, state: str, now: datetime) -> Any:
    return (
        update(webhook_deliveries)
        .where(_d.id == due.id, _d.state == "pending")
        .values(state=state, next_at=None, finished_at=now)
    )


async def _revive(connection: AsyncConnection, which: Any, webhook_id: UUID, now: datetime) -> int:
    chosen = (
        select(_d.id)
        .where(which, _d.webhook_id == webhook_id, _d.state != "pending", _d.payload.is_not(None))
        .order_by(_d.id)
        .limit(_BITE)
        .with_for_update()
    )
    ids = list((await connection.execute(chosen)).scalars())
    statement = (
        update(webhook_deliveries)
        .where(_d.id == any_(bindparam("ids", ids, type_=ARRAY(_d.id.type))))
        .values(state="pending", attempts=0, next_at=now, finished_at=None, status_code=None, error=None)
    )
    if ids:
        await connection.execute(statement)
        await jobs.enqueue(connection, [(id_, webhook_id) for id_ in ids])
    return len(ids)


async def erase(connection: AsyncConnection, numbers: Collection[str], about: Collection[str | UUID]) -> int:
    """Take out what deliveries say of a person: events about these customers and calls (their ids), and calls from or
    to these numbers (E.164).

    A part of the transaction of `connection`. What was still on its way is not sent any more. Returns how many held
    something. Events said after this in the same transaction, like the one that the customer was deleted, go out.
    """
    subjects = bindparam("subjects", [str(one) for one in about], type_=ARRAY(Text))
    theirs = bindparam("numbers", list(numbers), type_=ARRAY(Text))
    statement = (
        update(webhook_deliveries)
        .where(
            or_(_d.subject == any_(subjects), _d.number == any_(theirs)),
            or_(_d.payload.is_not(None), _d.number.is_not(None)),
        )
        .values(
            payload=None,
            number=None,
            # A receiver may repeat in its error what it was sent.
            error=case((_d.error.is_not(None), "erased")),
            state=case((_d.state == "pending", "dead"), else_=_d.state),
            finished_at=func.coalesce(_d.finished_at, func.now()),
            next_at=None,
        )
    )
    return (await connection.execute(statement)).rowcount
